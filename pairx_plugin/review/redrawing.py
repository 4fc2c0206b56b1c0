"""Pictures of a finished explanation, drawn again from its record and its masks, which are kept in place of arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..chips import Chip
from ..errors import EvidenceError
from ..evidence import LayerEvidence, Matches
from ..pixels import Pixels
from ..rendering.panels import render
from ..rendering.pictures import decode
from ..rendering.style import Style
from .evidence_parts import EvidenceParts

__all__ = ["draw_again", "layer_of"]

_STYLE = Style(max_width=1616, max_height=800)


def draw_again(view: str, query: Chip, candidate: Chip, parts: EvidenceParts | None) -> Pixels:
    """Return a view of a pair: (H, W, 3) uint8 RGB, query left.

    Args:
        view: ``clean``, ``matches`` or ``heatmask``.
        parts: what there is of the explanation; not needed for ``clean``.

    Raises:
        EvidenceError: there is nothing to draw.
    """
    if view != "clean" and (parts is None or not parts.record.get("matches")):
        raise EvidenceError(f"there is no evidence of this pair to draw as '{view}'")
    layer = layer_of(parts) if view != "clean" and parts is not None else _nothing()
    if view == "heatmask" and not len(layer.pixels_0) and not layer.relevance_0.any():
        raise EvidenceError("there are no colours of this pair yet; links are there, or ask for colours")
    return render(view, query.pixels, candidate.pixels, layer, _STYLE)


def layer_of(parts: EvidenceParts) -> LayerEvidence:
    """Return the evidence of a record's first layer, its maps as exact as their masks of eight bits.

    Raises:
        EvidenceError: the record does not hold together, as those of other plugins may not.
    """
    record = parts.record
    try:
        grids = [tuple(int(part) for part in record["grid"][side]) for side in ("0", "1")]
        cells = [np.array([match[f"coord{side}"] for match in record["matches"]], np.int32) for side in (0, 1)]
        relevance = np.array([_number(match.get("relevance")) for match in record["matches"]], np.float64)
        distance = np.array([_number(match.get("distance")) for match in record["matches"]], np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"the record cannot be drawn: {type(error).__name__}: {error}") from error
    maps = [_pixel_maps(parts, side, len(relevance)) for side in (0, 1)]
    n = min(map(len, maps))
    return LayerEvidence(
        layer_key=str(record.get("layer_key") or ""),
        relevance_0=_layer_map(parts, 0, grids[0]),
        relevance_1=_layer_map(parts, 1, grids[1]),
        matches=Matches(
            cells_0=cells[0].reshape(-1, 2), cells_1=cells[1].reshape(-1, 2), distance=distance, relevance=relevance
        ),
        pixels_0=_stacked(maps[0][:n]),
        pixels_1=_stacked(maps[1][:n]),
        k_lines=len(relevance),
    )


def _nothing() -> LayerEvidence:
    none, empty = np.zeros((0, 2), np.int32), np.zeros((0, 1, 1), np.float32)
    matches = Matches(cells_0=none, cells_1=none, distance=np.zeros(0, np.float32), relevance=np.zeros(0, np.float64))
    flat = np.zeros((1, 1), np.float32)
    return LayerEvidence(
        layer_key="", relevance_0=flat, relevance_1=flat, matches=matches, pixels_0=empty, pixels_1=empty
    )


def _pixel_maps(parts: EvidenceParts, side: int, most: int) -> list[NDArray[np.float32]]:
    """Return the maps of the leading matches, as far as they come without a gap."""
    found: dict[int, NDArray[np.float32]] = {}
    for number, item in _of_side(parts, side, "pixel"):
        rank, values = int(item["rank"]), _signed(parts, number, item)
        found[rank] = found[rank] + values if rank in found else values
    leading: list[NDArray[np.float32]] = []
    while len(leading) + 1 in found and len(leading) < most:
        leading.append(found[len(leading) + 1])
    return leading


def _layer_map(parts: EvidenceParts, side: int, grid: Sequence[int]) -> NDArray[np.float32]:
    total = np.zeros((grid[0], grid[1]), np.float32)
    for number, item in _of_side(parts, side, "intermediate"):
        values = _signed(parts, number, item)
        if values.shape == total.shape:
            total += values
    return total


def _signed(parts: EvidenceParts, number: int, item: Mapping[str, Any]) -> NDArray[np.float32]:
    values = _strength(parts.masks[number], float(item["gamma"]))
    return -values if item.get("sign") == "against" else values


def _of_side(parts: EvidenceParts, side: int, kind: str) -> list[tuple[int, Mapping[str, Any]]]:
    listed = enumerate(parts.record.get("maps") or ())
    return [
        (number, item)
        for number, item in listed
        if number in parts.masks and item.get("kind") == kind and item.get("side") == side
    ]


def _strength(mask: bytes, gamma: float) -> NDArray[np.float32]:
    """Undo what was written into a mask: values as shares of the largest."""
    grey = decode(mask).astype(np.float32) / np.float32(255)
    values: NDArray[np.float32] = np.power(grey, np.float32(1 / gamma))
    return values


def _stacked(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.stack(maps) if maps else np.zeros((0, 1, 1), np.float32)


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(value)
    return number
