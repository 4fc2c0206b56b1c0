"""``pairx-plugin layers``: what an explanation of a network can stand on."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ModelError
from .display import output, print_json, steps, table
from .options import MODELS, InputSize, ModelOptions, parse_model_options, parse_size

if TYPE_CHECKING:
    from ..models.embedding import EmbeddingModel
    from ..models.layer_reasons import LayerReasons
    from ..models.layers import LayerInfo
    from ..relevance.program.skips import Skips

__all__ = ["layers", "skips_of"]


def layers(
    model: Annotated[str, typer.Argument(help=MODELS)],
    input_size: InputSize = None,
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
        from ..models.layer_reasons import main_layers, reasons_of
        from ..models.layers import get_layer, list_layers
        from ..models.provided import load_model

        loaded = load_model(model, **chosen)
        default = loaded.default_layer
        if default is not None:
            get_layer(loaded.network, default)
        found = list_layers(loaded.network, loaded.input_size)
        treated = _canonizations(loaded)
    main = found if everything else main_layers(found)
    shown = [layer for layer in found if layer in main or layer.key == default]
    start = next((layer for layer in found if layer.key == default or (default is None and layer.suggested)), None)
    above = skips_of(loaded, "reference", {layer.key for layer in shown})
    copied = {key: skips.n_copied for key, skips in above.items()}
    reasons = {
        layer.key: reasons_of(layer, start, loaded.input_size, copied.get(layer.key), main) for layer in shown
    }
    if as_json:
        print_json(
            {
                "model_id": loaded.model_id,
                "input_size": list(loaded.input_size),
                "default_layer": default,
                "layers": [
                    {
                        **dataclasses.asdict(layer),
                        "sums_above": above[layer.key].n_sums if layer.key in above else None,
                        "inflating_sums_above": copied.get(layer.key),
                        "for": list(reasons[layer.key].pro),
                        "against": list(reasons[layer.key].contra),
                    }
                    for layer in shown
                ],
                "n_layers": len(found),
                "canonization": treated,
                "notes": list(loaded.notes),
            }
        )
        return
    _print_table(shown, above, start, loaded.input_size)
    for layer in [] if everything else shown:
        _print_reasons(layer, reasons[layer.key], default)
    if shown and not everything:
        output().print("\nRules of thumb: `pairx-plugin sweep A B` shows a pair's layers, `choose-layer` measures.")
    if len(shown) < len(found):
        output().print(f"{len(shown)} of {len(found)} layers; --all shows the rest.")
    for note in loaded.notes:
        output().print(note)
    for sentence in _sentences(treated):
        output().print(sentence)


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


def _sentences(treated: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return what the rules of each mode find, for people; one sentence where none of them fits for one reason."""
    errors = {report.get("error") for report in treated.values()}
    if len(errors) == 1 and None not in errors:
        return [f"Relevance rules: none, in any mode. {_capital(errors.pop())}."]
    return [_sentence(mode, report) for mode, report in treated.items()]


def _sentence(mode: str, report: dict[str, Any]) -> str:
    if "error" in report:
        return f"Relevance rules, mode {mode}: none. {_capital(report['error'])}."
    kinds = {name.replace("_", " "): count for name, count in report.items() if isinstance(count, int)}
    counts = ", ".join(f"{kind} {count}" for kind, count in kinds.items() if count)
    return f"Relevance rules, mode {mode}: {report['architecture']}; {counts or 'nothing to treat'}."


def _capital(text: Any) -> str:
    return f"{str(text)[:1].upper()}{str(text)[1:]}"


def skips_of(model: EmbeddingModel, mode: str, keys: Collection[str]) -> dict[str, Skips]:
    """Return how many sums lie above layers; nothing where the mode has no rules for the network."""
    from ..relevance.propagation import RelevanceModel
    from ..relevance.program.skips import skips_above

    try:
        relevance_model = RelevanceModel(model.network, mode=mode, allow_uncanonized=True)
        return skips_above(relevance_model.program((1, 3, *model.input_size)), keys)
    except ModelError:
        return {}


def _print_table(
    shown: list[LayerInfo], above: Mapping[str, Skips], start: LayerInfo | None, size: tuple[int, int]
) -> None:
    console = output()
    if not shown:
        console.print("No layer of this network returns a feature map, so there is nothing to match.")
        return
    right = ("grid", "channels", "stride", "receptive\nfield", "sums\nabove")
    rows = table("layer", *right, "", right=right, whole=("layer",))
    for layer in shown:
        field, skips = layer.receptive_field, above.get(layer.key)
        rows.add_row(
            layer.key,
            f"{layer.grid[0]} x {layer.grid[1]}",
            str(layer.channels),
            " x ".join(f"{round(side, 1):g}" for side in layer.stride),
            "unknown" if field is None else f"{field[0]} x {field[1]}",
            "" if skips is None else str(skips.n_sums),
            "begin here" if layer is start else "",
            style="bold" if layer is start else None,
        )
    console.print(rows)
    console.print(
        f"Input {size[0]} x {size[1]} pixels. Grid and stride in cells and pixels, height x width. Sums above: of two "
        "branches, between the layer and the embedding."
    )


def _print_reasons(layer: LayerInfo, reasons: LayerReasons, default: str | None) -> None:
    own = "the model's own choice; " if layer.key == default else ""
    own += "suggested; " if layer.suggested else ""
    console = output()
    console.print(f"\n{layer.key}  {own.rstrip('; ')}".rstrip())
    for text in reasons.pro:
        console.print(f"  + {text}")
    for text in reasons.contra:
        console.print(f"  - {text}")
