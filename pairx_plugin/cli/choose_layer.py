"""``pairx-plugin choose-layer``: the layer that serves best on pairs that reviewers decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import ChipError, HostError, SettingsError
from .databases import find_database
from .display import Steps, output, print_json, steps, table
from .options import ModelOptions, parse_model_options

if TYPE_CHECKING:
    from ..hosts.local.judged_pairs import Judgement
    from ..layer_choice import LayerFindings
    from ..layer_sweep import DecidedPair

__all__ = ["choose_layer"]

_CHIP_SIDE = 1024


def choose_layer(
    where: Annotated[str, typer.Argument(help="Output folder of a run, its SQLite file, or a database URL.")],
    layer: Annotated[
        Optional[list[str]], typer.Option(help="Key of a layer to choose from instead of all stages; may be repeated.")
    ] = None,
    pairs: Annotated[
        int, typer.Option(min=5, help="How many confirmed pairs are explained at most, and as many rejected ones.")
    ] = 40,
    output_file: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="File for the choice; beside the database by default.")
    ] = None,
    model_option: ModelOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Choose the layer whose plausibility figures are best on pairs that reviewers confirmed, for `layers = auto`.

    The file lies beside the database, and runs and review pages of it whose setting `layers` is `auto` use it, for the
    network and settings that it was made with and for no other. Rejected pairs count against a layer whose figures are
    high on them too.
    """
    url, _ = find_database(where)
    options = parse_model_options(model_option, input_size=None)
    with steps() as progress:
        from ..hosts.local.calibrated import layer_choice_path

        path = output_file.expanduser() if output_file else layer_choice_path(url)
        if path is None:
            raise SettingsError("the database is no file that a choice could lie beside; name a file with --output")
        findings = _measured(url, layer or (), pairs, options, progress)
        findings.write(path)
    if as_json:
        print_json({**findings.to_json(), "file": str(path)})
    else:
        _print(findings, path)


def _measured(
    url: str, layers: Sequence[str], most: int, options: dict[str, Any], progress: Steps
) -> LayerFindings:
    progress.begin("load")
    from ..hosts.local.database import ReviewDatabase
    from ..hosts.local.judged_pairs import read_judgements
    from ..layer_sweep import measure_layers
    from ..models.layers import get_layer
    from ..models.provided import load_model
    from ..settings import PREFIX, Settings

    with ReviewDatabase(url, read_only=True) as database:
        runs, judgements = database.runs(), read_judgements(database)
    if not runs:
        raise HostError("there is no run in this database; make one with `pairx-plugin run CONFIG`")
    config = runs[0].config
    settings = Settings.from_mapping(config.get("pairx") or {}, prefix=PREFIX)
    if settings.explainer != "pairx":
        raise SettingsError(
            f"the newest run explains by '{settings.explainer}', which takes a layer of its own; only 'pairx' has "
            f"plausibility figures to choose by"
        )
    chosen = [*_in_turns(judgements, True, most), *_in_turns(judgements, False, most)]
    model = load_model(str(config.get("model")), **options)
    for key in layers:
        get_layer(model.network, key)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress("explain", done, len(chosen))

    side = int(config.get("chip_side") or _CHIP_SIDE)
    return measure_layers(model, _decided(chosen, side, advance), layers, settings, advance=advance)


def _in_turns(judgements: Sequence[Judgement], same: bool, most: int) -> list[Judgement]:
    """Return up to `most` pairs, individuals taking turns, so that few pairs still show many animals."""
    turns: dict[str, int] = {}
    keyed = []
    for place, item in enumerate(judgements):
        if item.same == same and item.annotations is not None:
            turn = turns[item.individual_0] = turns.get(item.individual_0, -1) + 1
            keyed.append((turn, place))
    return [judgements[place] for _, place in sorted(keyed)[:most]]


def _decided(judgements: Sequence[Judgement], side: int, advance: Any) -> Iterator[DecidedPair]:
    """Yield the pairs with their chips, cut one pair at a time; photographs that are gone are passed over."""
    from ..chips import cut_chip
    from ..layer_sweep import DecidedPair
    from ..photographs import read_photograph

    for item in judgements:
        try:
            query, candidate = (
                cut_chip(read_photograph(each.image), bbox=each.bbox, theta=each.theta, max_side=side)
                for each in item.annotations or ()
            )
        except ChipError:
            advance()
            continue
        yield DecidedPair(individual=item.individual_0, query=query, candidate=candidate, same=item.same)


def _print(findings: LayerFindings, path: Path) -> None:
    right = ("grid", "confirmed", "rejected", "score", "gain", "std. error", "seconds")
    rows = table("layer", *right, right=right)
    for layer in findings.layers:
        rejected = "" if layer.rejected is None else f"{layer.rejected:.2f}"
        rows.add_row(
            layer.layer_key, f"{layer.grid[0]} x {layer.grid[1]}", f"{layer.confirmed:.2f}", rejected,
            f"{layer.score:.2f}", f"{layer.gain:+.2f}", f"{layer.gain_error:.2f}", f"{layer.seconds:.2f}",
            style="bold" if layer.layer_key == findings.layer_key else None,
        )
    console = output()
    console.print(rows)
    console.print("Share of tested matches that fit one pose beyond chance, mean over individuals.")
    console.print(f"{findings.layer_key}: {findings.reason}.")
    if findings.n_left_out:
        console.print(f"{findings.n_left_out} pairs could not be explained and are left out.")
    console.print(f"choice: {path}", soft_wrap=True)
