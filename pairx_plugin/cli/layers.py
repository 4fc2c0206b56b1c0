"""``pairx-plugin layers``: what an explanation of a network can stand on."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import ModelError
from .display import output, print_json, steps, table
from .options import ModelOptions, parse_model_options, parse_size

if TYPE_CHECKING:
    from ..models.embedding import EmbeddingModel
    from ..models.layers import LayerInfo

__all__ = ["layers"]


def layers(
    model: Annotated[
        str, typer.Argument(help="Id of a known model, 'timm:NAME', 'torchvision:NAME', or a checkpoint.")
    ],
    input_size: Annotated[
        Optional[str], typer.Option(metavar="HxW", help="Size of the network's input in pixels instead of its own.")
    ] = None,
    model_option: ModelOptions = None,
    everything: Annotated[bool, typer.Option("--all", help="List the layers inside of stages as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """List the layers of a network whose cells can be matched, say which one to begin with and why.

    Below them stands what each mode of PAIR-X's relevance rules finds on the network.
    """
    size = parse_size(input_size)
    chosen = parse_model_options(model_option, input_size=size)
    with steps() as progress:
        progress.begin("load")
        from ..models.catalogue import ModelCatalogue
        from ..models.layers import get_layer, list_layers

        loaded = ModelCatalogue().load(model, **chosen)
        default = loaded.default_layer
        if default is not None:
            get_layer(loaded.network, default)
        found = list_layers(loaded.network, loaded.input_size)
        treated = _canonizations(loaded)
    main = found if everything else _main(found)
    shown = [layer for layer in found if layer in main or layer.key == default]
    if as_json:
        print_json(
            {
                "model_id": loaded.model_id,
                "input_size": list(loaded.input_size),
                "default_layer": default,
                "layers": [dataclasses.asdict(layer) for layer in shown],
                "n_layers": len(found),
                "canonization": treated,
                "notes": list(loaded.notes),
            }
        )
        return
    _print(shown, len(found), default, loaded.input_size, loaded.notes)
    for mode, report in treated.items():
        output().print(_sentence(mode, report))


def _canonizations(model: EmbeddingModel) -> dict[str, dict[str, Any]]:
    """Return, by mode of the relevance rules, what they find on a network, or why they do not fit it."""
    from ..relevance.propagation import RelevanceModel

    found: dict[str, dict[str, Any]] = {}
    for mode in ("reference", "corrected"):
        try:
            relevance_model = RelevanceModel(model.network, mode=mode)
            found[mode] = relevance_model.program((1, 3, *model.input_size)).canonization.to_json()
        except ModelError as error:
            found[mode] = {"mode": mode, "error": str(error)}
    return found


def _sentence(mode: str, report: dict[str, Any]) -> str:
    """Return what a mode's rules find, for people."""
    if "error" in report:
        return f"Relevance rules, mode {mode}: none. {report['error']}"
    kinds = {name.replace("_", " "): count for name, count in report.items() if isinstance(count, int)}
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.items() if count)
    return f"Relevance rules, mode {mode}: {report['architecture']}; {counts or 'nothing to treat'}."


def _main(found: list[LayerInfo]) -> list[LayerInfo]:
    """Return the stages; in a network without them, the layers of known receptive field, or else all there are."""
    stages = [layer for layer in found if layer.is_stage]
    return stages or [layer for layer in found if layer.receptive_field is not None] or found


def _print(
    shown: list[LayerInfo], n_all: int, default: str | None, size: tuple[int, int], notes: tuple[str, ...]
) -> None:
    console = output()
    if not shown:
        console.print("No layer of this network returns a feature map, so there is nothing to match.")
        return
    right = ("grid", "channels", "stride", "receptive field")
    rows = table("layer", *right, "", right=right)
    rows.columns[0].no_wrap = True  # keys are there to be copied
    for layer in shown:
        note = f"suggested: {layer.reason}" if layer.suggested else layer.reason
        if layer.key == default and not layer.suggested:
            note = f"the model's own choice; {note}"
        field = layer.receptive_field
        rows.add_row(
            layer.key,
            f"{layer.grid[0]} x {layer.grid[1]}",
            str(layer.channels),
            f"{layer.stride[0]:g} x {layer.stride[1]:g}",
            "unknown" if field is None else f"{field[0]} x {field[1]}",
            note,
            style="bold" if layer.suggested else None,
        )
    console.print(rows)
    console.print(f"Input {size[0]} x {size[1]} pixels. Grid and stride in cells and pixels, height x width.")
    if len(shown) < n_all:
        console.print(f"{len(shown)} of {n_all} layers; --all shows the rest.")
    for note in notes:
        console.print(note)
