"""The application: global options, and the commands by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated, Optional

import typer

from . import attributes, benchmark, calibrate, choose_layer, demo, evaluate, explain, hooks, layers
from . import report, run, serve, serve_api, sweep
from .failures import CarefulGroup, watch_logging
from .versions import print_versions

__all__ = ["app"]

app = typer.Typer(
    name="pairx-plugin",
    cls=CarefulGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="See why a wildlife re-identification model finds two photographs similar.",
    epilog="Exit codes: 0 done, 1 failed, 2 the input is wrong, 3 done in part, 130 interrupted.",
)


@app.callback()
def common(
    version: Annotated[
        Optional[bool],
        typer.Option(
            "--version", callback=print_versions, is_eager=True, help="Print the versions of what matters, and end."
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the log.")] = False,
) -> None:
    """See why a wildlife re-identification model finds two photographs similar."""
    # Threads that spin while they wait cost torch several times its work where other programs want the processor too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    watch_logging(debug)


def _add(name: str, command: Callable[..., None]) -> None:
    # Rich keeps the line ends of a docstring; each paragraph is to be as wide as the terminal.
    paragraphs = (command.__doc__ or "").split("\n\n")
    app.command(name, help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs))(command)


_add("demo", demo.demo)
_add("explain", explain.explain)
_add("run", run.run)
_add("report", report.report)
_add("serve", serve.serve)
_add("serve-api", serve_api.serve_api)
_add("layers", layers.layers)
_add("sweep", sweep.sweep)
_add("choose-layer", choose_layer.choose_layer)
_add("hooks", hooks.hooks)
_add("train-attributes", attributes.train_attributes)
_add("measure-attributes", attributes.measure_attributes)
_add("evaluate", evaluate.evaluate)
_add("calibrate", calibrate.calibrate)
_add("benchmark", benchmark.benchmark)
