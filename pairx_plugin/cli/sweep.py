"""``pairx-plugin sweep``: one pair at many layers, as a contact sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import ModelError
from ..settings import Settings
from .display import Steps, output, print_json, steps, table
from .options import InputSize, ModelId, ModelOptions, parse_box, parse_model_options, parse_size, usable_folder

if TYPE_CHECKING:
    from ..chips import Chip
    from ..layer_sweep import Sweep
    from ..models.embedding import EmbeddingModel
    from ..models.layers import LayerInfo
    from ..relevance.program.skips import Skips
    from ..report.sweep_page import SheetLayer

__all__ = ["sweep"]

_MOST_CELLS = 15_000  # of layers that nobody named: finer ones take minutes to match


@dataclass(frozen=True, kw_only=True, eq=False)
class _Known:
    """The network's layers, and what is known of them."""

    model: EmbeddingModel
    infos: dict[str, LayerInfo]
    skips: dict[str, Skips]
    start: str | None


def sweep(
    query: Annotated[Path, typer.Argument(help="The query photograph.", metavar="A")],
    candidate: Annotated[Path, typer.Argument(help="The photograph to compare it with.", metavar="B")],
    model: ModelId = "sample",
    model_option: ModelOptions = None,
    input_size: InputSize = None,
    layer: Annotated[
        Optional[list[str]], typer.Option(help="Key of a layer instead of all stages; may be given again.")
    ] = None,
    explainer: Annotated[str, typer.Option(help="Id of a registered explainer.")] = "pairx",
    mode: Annotated[str, typer.Option(help="Relevance rules: reference or corrected.")] = "reference",
    k_lines: Annotated[int, typer.Option(min=0, help="How many matches are drawn as lines.")] = 20,
    k_colors: Annotated[
        int, typer.Option(min=0, help="How many matches are carried back to pixels, at every layer.")
    ] = 0,
    bbox_query: Annotated[
        Optional[str], typer.Option(metavar="X,Y,W,H", help="Box of the animal in the query.")
    ] = None,
    theta_query: Annotated[float, typer.Option(help="Turn of that box about its centre, in radians.")] = 0.0,
    bbox_candidate: Annotated[
        Optional[str], typer.Option(metavar="X,Y,W,H", help="Box of the animal in the other photograph.")
    ] = None,
    theta_candidate: Annotated[float, typer.Option(help="Turn of that box.")] = 0.0,
    output_folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for sweep.html.")] = Path("pairx-sweep"),
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Explain one pair at many layers at once, and write them side by side as a contact sheet.

    Every layer shows its lines, grid, matches, plausibility figures, seconds, and what speaks for and against it. One
    forward pass serves all layers. Without --layer they are the network's stages, those apart whose grid is so fine
    that matching takes minutes.
    """
    folder = usable_folder(output_folder)
    options = parse_model_options(model_option, input_size=parse_size(input_size))
    settings = Settings(explainer=explainer, mode=mode, k_lines=k_lines, k_colors=k_colors)
    boxes = parse_box(bbox_query, "--bbox-query"), parse_box(bbox_candidate, "--bbox-candidate")
    with steps() as progress:
        chips = _chip(query, boxes[0], theta_query), _chip(candidate, boxes[1], theta_candidate)
        known = _known(model, options, settings, progress)
        found = _swept(known, chips, layer, settings, progress)
        progress.begin("report")
        path = _write(folder / "sweep.html", known, chips, found, settings)
    if as_json:
        print_json({**_json(known, found), "page": str(path)})
        return
    _print(known, found)
    output().print(f"contact sheet: {path}", soft_wrap=True)


def _chip(path: Path, box: tuple[float, float, float, float] | None, theta: float) -> Chip:
    from ..chips import cut_chip
    from ..photographs import read_photograph
    from .pair_host import Subject

    return cut_chip(read_photograph(Subject(path=path).image), bbox=box, theta=theta)


def _known(name: str, options: dict[str, Any], settings: Settings, progress: Steps) -> _Known:
    progress.begin("load")
    from ..models.layers import list_layers
    from ..models.provided import load_model
    from .layers import skips_of

    model = load_model(name, **options)
    infos = {info.key: info for info in list_layers(model.network, model.input_size)}
    suggested = next((info.key for info in infos.values() if info.suggested), None)
    return _Known(
        model=model,
        infos=infos,
        skips=skips_of(model, settings.mode, infos),
        start=model.default_layer or suggested,
    )


def _swept(
    known: _Known, chips: tuple[Chip, Chip], layers: list[str] | None, settings: Settings, progress: Steps
) -> Sweep:
    from ..layer_sweep import sweep_layers
    from ..models.layer_reasons import main_layers, within
    from ..pipeline import find_explainer

    offered = within(main_layers(list(known.infos.values())), _MOST_CELLS)
    keys = list(dict.fromkeys(layers or [info.key for info in offered]))
    if not keys:
        raise ModelError("no layer of this network returns a feature map, so there is nothing to sweep")
    progress.begin("explain")
    return sweep_layers(known.model, *chips, keys, settings, find_explainer(settings.explainer))


def _write(path: Path, known: _Known, chips: tuple[Chip, Chip], found: Sweep, settings: Settings) -> Path:
    from ..report.sweep_page import SheetHead, write_sweep_page

    names = [Path(chip.uri).name if chip.uri else role for chip, role in zip(chips, ("query", "candidate"))]
    head = SheetHead(
        query=names[0],
        candidate=names[1],
        model_id=known.model.model_id,
        similarity=found.similarity,
        input_size=known.model.input_size,
        seconds=found.seconds,
        doubts=[doubt.message for doubt in found.doubts],
    )
    cards = [_card(known, found, place, settings) for place in range(len(found.layers))]
    write_sweep_page(path, head, cards, (chips[0].pixels, chips[1].pixels))
    return path


def _card(known: _Known, found: Sweep, place: int, settings: Settings) -> SheetLayer:
    from ..models.layer_reasons import LayerReasons, main_layers, reasons_of
    from ..report.sweep_page import SheetLayer

    swept = found.layers[place]
    key = swept.evidence.layer_key
    info, skips = known.infos.get(key), known.skips.get(key)
    start = known.infos.get(known.start or "")
    reasons, facts = LayerReasons(pro=(), contra=()), dict[str, str]()
    if info is not None:
        copied = skips.n_copied if skips is not None and settings.mode == "reference" else None
        reasons = reasons_of(info, start, known.model.input_size, copied, main_layers(list(known.infos.values())))
        field = info.receptive_field
        facts = {
            "Cell, pixels": " x ".join(f"{round(side, 1):g}" for side in info.stride),
            "Receptive field": "unknown" if field is None else f"{field[0]} x {field[1]}",
            "Channels": str(info.channels),
        }
    if skips is not None:
        inflating = "all" if skips.n_copied == skips.n_sums else skips.n_copied
        facts["Sums above"] = f"{skips.n_sums}, {inflating} inflating" if skips.n_copied else str(skips.n_sums)
    tags = ["the model's own choice"] if key == known.model.default_layer else []
    if info is not None and info.suggested:
        tags.append("suggested")
    return SheetLayer(
        evidence=swept.evidence, seconds=swept.seconds, facts=facts, pro=reasons.pro, contra=reasons.contra,
        begin=key == known.start, tags=tags,
    )


def _print(known: _Known, found: Sweep) -> None:
    right = ("grid", "matches", "fit", "chance", "residual", "coverage", "seconds")
    rows = table("layer", *right, right=right, whole=("layer",))
    for swept in found.layers:
        item, figures = swept.evidence, swept.evidence.plausibility
        cells = [item.layer_key, f"{item.grid_0[0]} x {item.grid_0[1]}", str(len(item.matches))]
        if figures is None or figures.n_inliers is None:
            cells += ["", "", ""]
        else:
            cells += [f"{figures.n_inliers} of {figures.n_tested}", str(figures.n_chance), f"{figures.irm_rob:.2f}"]
        coverage = figures.match_coverage if figures is not None else None
        cells += ["" if number is None else f"{number:.2f}" for number in (coverage, swept.seconds)]
        rows.add_row(*cells, style="bold" if item.layer_key == known.start else None)
    console = output()
    console.print(rows)
    shared = ", ".join(f"{stage} {spent:.2f} s" for stage, spent in found.seconds.items())
    alone = any(swept.seconds is not None for swept in found.layers)
    told = "Seconds of each layer alone; all layers shared" if alone else "All layers together took"
    console.print(f"Cosine {found.similarity:.3f}. {told}: {shared}.")


def _json(known: _Known, found: Sweep) -> dict[str, Any]:
    layers = [
        {
            "layer_key": swept.evidence.layer_key,
            "grid": list(swept.evidence.grid_0),
            "n_matches": len(swept.evidence.matches),
            "seconds": swept.seconds,
            "plausibility": swept.evidence.plausibility.to_json() if swept.evidence.plausibility else None,
        }
        for swept in found.layers
    ]
    return {
        "model_id": known.model.model_id,
        "similarity": found.similarity,
        "shared_seconds": dict(found.seconds),
        "begin_with": known.start,
        "layers": layers,
    }
