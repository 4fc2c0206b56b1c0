"""The commands as a Markdown table, read from the commands themselves, for cog to write into the README."""

from __future__ import annotations

from typing import Any

import typer.main

from .app import app

__all__ = ["command_names", "command_table"]


def command_names() -> list[str]:
    """Return the commands in the order in which the help lists them."""
    return list(_commands())


def command_table() -> str:
    """Return one row for each command: how it is called, and the first paragraph of its help."""
    rows = ["| Command | What it does |", "| --- | --- |"]
    for name, command in _commands().items():
        arguments = [_metavar(parameter) for parameter in command.params if parameter.param_type_name == "argument"]
        call = " ".join(["pairx-plugin", name, *arguments])
        summary = " ".join((command.help or "").split("\n\n")[0].split()).replace("|", "\\|")
        rows.append(f"| `{call}` | {summary} |")
    return "\n".join(rows)


def _commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def _metavar(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return f"{name.rstrip('S')}..." if parameter.nargs == -1 else str(name)
