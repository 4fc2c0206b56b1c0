"""``pairx-plugin hooks``: which plugins are there, and what each provides."""

from __future__ import annotations

from typing import Annotated

import typer

from pairx_hooks import ReviewManager, build_manager

from .display import output, print_json, table

__all__ = ["hooks"]


def hooks(
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """List the plugins that are installed, the hooks and explainers that each provides, and what failed."""
    manager = build_manager()
    described, failures = manager.describe(), manager.failures
    if as_json:
        explainers = [
            {"explainer_id": key, "title": entry.title, "summary": entry.summary, "version": entry.version}
            for key, entry in sorted(manager.explainers().items())
        ]
        print_json(
            {
                "plugins": [plugin.to_json() for plugin in described],
                "explainers": explainers,
                "failures": [failure.to_json() for failure in failures],
            }
        )
        return
    _print(manager)


def _print(manager: ReviewManager) -> None:
    console = output()
    rows = table("plugin", "from", "hooks", "explainers")
    for plugin in manager.describe():
        source = " ".join(filter(None, (plugin.distribution, plugin.version))) or plugin.module
        if plugin.error is not None:
            rows.add_row(plugin.name, source, f"not loaded: {plugin.error}", "", style="red")
        else:
            rows.add_row(plugin.name, source, ", ".join(plugin.hooks), ", ".join(plugin.explainers) or "none")
    console.print(rows)
    for key, entry in sorted(manager.explainers().items()):
        console.print(f"{key}: {entry.title}. {entry.summary}")
    for failure in manager.failures:
        console.print(f"failed: {failure.plugin}, {failure.hook or 'while it was loaded'}: {failure.error}")
