"""The application: global options, and the commands by name."""

from __future__ import annotations

import os
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


app.command("demo")(demo.demo)
app.command("explain")(explain.explain)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.command("serve-api")(serve_api.serve_api)
app.command("layers")(layers.layers)
app.command("sweep")(sweep.sweep)
app.command("choose-layer")(choose_layer.choose_layer)
app.command("hooks")(hooks.hooks)
app.command("train-attributes")(attributes.train_attributes)
app.command("measure-attributes")(attributes.measure_attributes)
app.command("evaluate")(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
app.command("benchmark")(benchmark.benchmark)
