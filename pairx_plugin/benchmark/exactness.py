"""How far two implementations' evidence of one pair differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evidence import LayerEvidence

__all__ = ["PIXEL_LIMIT", "RELEVANCE_LIMIT", "Exactness", "Found", "compare"]

RELEVANCE_LIMIT, PIXEL_LIMIT = 1e-4, 1e-3  # what was wanted of mode `reference`, as shares of the maximum

Cells = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What one implementation found on one pair, at one layer.

    Attributes:
        relevances: both sides' (h, w) relevance maps.
        matches: (col_0, row_0, col_1, row_1) of the lines, most relevant first.
        pixels: for both sides, the (H, W) pixel maps of the leading matches, in the same order.
    """

    relevances: tuple[NDArray[np.float32], NDArray[np.float32]]
    matches: Sequence[Cells]
    pixels: tuple[Sequence[NDArray[np.float32]], Sequence[NDArray[np.float32]]]

    @classmethod
    def of_public(cls, result: Mapping[str, Any], index: int) -> Found:
        """Take pair `index` out of one layer's result of ``pairx``, the public code's or ours."""
        maps_0, maps_1 = result["intermediate_relevances"]
        pixels_0, pixels_1 = ([maps[index] for maps in side] for side in result["pixel_relevances"])
        matches = [
            (int(match["coord0"][0]), int(match["coord0"][1]), int(match["coord1"][0]), int(match["coord1"][1]))
            for match in result["matches"][index]
        ]
        return cls(relevances=(maps_0[index], maps_1[index]), matches=matches, pixels=(pixels_0, pixels_1))

    @classmethod
    def of_layer(cls, layer: LayerEvidence) -> Found:
        """Take what :func:`pairx_plugin.explain_ranking` found."""
        lines = layer.lines
        matches = [
            (int(col_0), int(row_0), int(col_1), int(row_1))
            for (row_0, col_0), (row_1, col_1) in zip(lines.cells_0, lines.cells_1)
        ]
        return cls(
            relevances=(layer.relevance_0, layer.relevance_1),
            matches=matches,
            pixels=(list(layer.pixels_0), list(layer.pixels_1)),
        )


@dataclass(frozen=True, kw_only=True)
class Exactness:
    """The largest differences over all pairs that were compared.

    Attributes:
        relevance: of relevance maps, as a share of the other map's maximum.
        pixels: of pixel maps of the same cell, likewise; None where none could be compared.
        n_pixels: how many pixel maps were compared, of `n_pixels_there`; the others belong to matches that only one
            implementation carried to pixels.
        n_agreeing: how many matches of the other implementation's lines are among ours, of `n_lines`, as sets.
    """

    relevance: float
    pixels: float | None
    n_pixels: int
    n_pixels_there: int
    n_agreeing: int
    n_lines: int

    @property
    def is_met(self) -> bool:
        """Whether maps differ no more than was wanted; of matches nothing was, as equal ones may change places."""
        return self.relevance <= RELEVANCE_LIMIT and (self.pixels is None or self.pixels <= PIXEL_LIMIT)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; a difference is null where maps do not fit or are not finite, which `is_met` denies."""
        return {
            "relevance": _finite(self.relevance),
            "pixels": _finite(self.pixels),
            "is_met": self.is_met,
            "pixel_maps_compared": self.n_pixels,
            "pixel_maps": self.n_pixels_there,
            "matches_agreeing": self.n_agreeing,
            "matches": self.n_lines,
        }


def compare(pairs: Iterable[tuple[Found, Found]]) -> Exactness | None:
    """Compare ours with the other implementation's evidence, pair by pair; None without any.

    Args:
        pairs: (ours, theirs).
    """
    relevance, pixels = list[float](), list[float]()
    n_there = n_agreeing = n_lines = 0
    for ours, theirs in pairs:
        relevance += [_difference(own, other) for own, other in zip(ours.relevances, theirs.relevances)]
        n_agreeing += len(set(ours.matches) & set(theirs.matches))
        n_lines += len(theirs.matches)
        for side in (0, 1):
            own_maps, other_maps = _by_cell(ours, side), _by_cell(theirs, side)
            pixels += [_difference(own_maps[cell], other_maps[cell]) for cell in other_maps if cell in own_maps]
            n_there += len(other_maps)
    if not relevance:
        return None
    return Exactness(
        relevance=max(relevance),
        pixels=max(pixels) if pixels else None,
        n_pixels=len(pixels),
        n_pixels_there=n_there,
        n_agreeing=n_agreeing,
        n_lines=n_lines,
    )


def _by_cell(found: Found, side: int) -> dict[tuple[int, int], NDArray[np.float32]]:
    """Return pixel maps by the cell that they belong to: equal relevances may come in another order."""
    cells = [match[2 * side : 2 * side + 2] for match in found.matches]
    return {(cell[0], cell[1]): values for cell, values in zip(cells, found.pixels[side])}


def _difference(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return the largest difference as a share of the other's maximum; infinite where shapes or values do not fit."""
    if ours.shape != theirs.shape or not np.isfinite(ours).all() or not np.isfinite(theirs).all():
        return float("inf")
    difference, most = float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())
    return difference / most if most > 0 else (0.0 if difference == 0 else float("inf"))


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
