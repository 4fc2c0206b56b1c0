"""A contact sheet of layers: the same pair at each of them, as one HTML page that opens from disk."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..atomic_files import unwritten, write_whole
from ..evidence import LayerEvidence
from ..rendering.panels import render
from ..rendering.pictures import encode
from ..rendering.style import Style
from .bands import band_of
from .page_templates import page_templates

__all__ = ["SheetHead", "SheetLayer", "write_sweep_page"]

_WIDTH, _HEIGHT = 1200, 800
_DASH = "\N{EN DASH}"


@dataclass(frozen=True, kw_only=True)
class SheetHead:
    """What the top of the page says.

    Attributes:
        query, candidate: names of the photographs.
        seconds: what served all layers, by stage.
        doubts: sentences without a full stop.
    """

    query: str
    candidate: str
    model_id: str
    similarity: float
    input_size: tuple[int, int] | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    doubts: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class SheetLayer:
    """One layer of the sheet.

    Attributes:
        seconds: what it took alone; None where nobody measured.
        facts: further terms and values, ready to be read.
        pro, contra: reasons.
        begin: whether it is the layer to begin with.
        tags: words beside the key.
    """

    evidence: LayerEvidence
    seconds: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    pro: Sequence[str] = ()
    contra: Sequence[str] = ()
    begin: bool = False
    tags: Sequence[str] = ()


def write_sweep_page(
    path: Path, head: SheetHead, layers: Sequence[SheetLayer], chips: tuple[Any, Any], *, style: Style | None = None
) -> int:
    """Write the page, whole or not at all, and return its size in bytes.

    Args:
        chips: (H, W, 3) uint8 RGB of query and candidate.
        style: of the pictures.

    Raises:
        MissingExtra: Jinja2 or OpenCV cannot be imported.
        StoreError: the file cannot be written.
    """
    templates = page_templates("pairx_plugin.report", purpose="writing the contact sheet")
    style = style or Style(max_width=_WIDTH, max_height=_HEIGHT, legend=False)
    page = templates.get_template("sweep.html.j2").render(
        title="One pair, layer by layer",
        query=head.query,
        candidate=head.candidate,
        model_id=head.model_id,
        similarity=head.similarity,
        input_size=head.input_size,
        shared=head.seconds,
        doubts=head.doubts,
        cards=[_card(layer, chips, style) for layer in layers],
    )
    return _write(path, page.encode("utf-8"))


def _card(layer: SheetLayer, chips: tuple[Any, Any], style: Style) -> dict[str, Any]:
    evidence, figures = layer.evidence, layer.evidence.plausibility
    known = figures is not None and figures.n_inliers is not None
    views = ["matches"] if len(evidence.matches) else []
    if len(evidence.pixels_0) or not views:
        views.append("heatmask")
    return {
        "key": evidence.layer_key,
        "grid": " and ".join(dict.fromkeys(f"{rows} x {cols}" for rows, cols in (evidence.grid_0, evidence.grid_1))),
        "n_matches": len(evidence.matches),
        "fit": f"{figures.n_inliers} of {figures.n_tested}" if figures is not None and known else _DASH,
        "chance": figures.n_chance if figures is not None and known else _DASH,
        "band": _band(evidence),
        "residual": _number(figures.irm_rob if figures is not None else None),
        "coverage": _number(figures.match_coverage if figures is not None else None),
        "seconds": _number(layer.seconds),
        "facts": layer.facts,
        "pro": layer.pro,
        "contra": layer.contra,
        "begin": layer.begin,
        "tags": layer.tags,
        "pictures": [_picture(view, evidence, chips, style) for view in views],
    }


def _band(evidence: LayerEvidence) -> str:
    figures = evidence.plausibility
    if figures is None:
        return "not assessed"
    return band_of(figures.n_inliers, figures.n_chance, figures.n_tested).value.replace("_", " ")


def _picture(view: str, evidence: LayerEvidence, chips: tuple[Any, Any], style: Style) -> dict[str, Any]:
    pixels = render(view, *chips, evidence, style)
    shown = f"the {len(evidence.lines)} strongest matches as lines" if view == "matches" else "relevance as colours"
    return {
        "uri": "data:image/webp;base64," + base64.b64encode(encode(pixels, "webp", quality=82)).decode("ascii"),
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "alt": f"Query left, candidate right, with {shown} at layer {evidence.layer_key}",
    }


def _number(value: float | None) -> str:
    return _DASH if value is None else f"{value:.2f}"


def _write(path: Path, data: bytes) -> int:
    try:
        return write_whole(path, data)
    except OSError as error:
        raise unwritten("the contact sheet", path, error) from error
