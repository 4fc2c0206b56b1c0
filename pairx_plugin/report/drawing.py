"""Links as a drawing over the plain pair: sharp at any size, and as many of them as a reader wants, without a script.

Everything is in pixels of the plain picture, where :func:`pairx_plugin.rendering.layout.lay_out` says the photographs
stand; so no picture of lines is needed, and the page is smaller for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pairx_hooks import Artifact

from ..rendering.labels import place_plates
from ..rendering.layout import Box, Layout, lay_out
from ..rendering.palettes import SAFE
from ..rendering.paths import bows, path
from ..rendering.style import Style
from .reading import Grid, Link, Place, RecordFacts

__all__ = ["COUNTS", "USUAL_COUNT", "DrawnLink", "PairDrawing", "draw_pair"]

COUNTS = (5, 8, 12, 20)  # how many links a reader can choose to see
USUAL_COUNT = 8  # more bring clearly wrong ones along
_LEAST_RADIUS = 6.5
_MOST = 60  # beyond, lines are a thicket, and the page grows for nothing


@dataclass(frozen=True, kw_only=True)
class DrawnLink:
    """One link in pixels of the drawing.

    Attributes:
        hue: index of its colour, or "none" where only its number tells it apart.
        line: the line's path data.
        dash: pattern in pixels; empty for an unbroken line.
        rings: (x, y, radius in x, radius in y) at either end.
        plates: (x, y, width, height) of the two numbers.
        crosses: path data of a cross in each ring that lies outside of the animal.
        ring_dashes: pattern of either ring in pixels; empty for one that is not outside of the animal.
        beyond: the counts of :data:`COUNTS` at which it is not shown.
    """

    rank: int
    hue: str
    line: str
    width: float
    dash: str
    rings: tuple[tuple[float, ...], ...]
    plates: tuple[tuple[float, ...], ...]
    beyond: tuple[int, ...]
    crosses: tuple[str, ...] = ()
    ring_dashes: tuple[str, str] = ("", "")


@dataclass(frozen=True, kw_only=True)
class PairDrawing:
    """The links of a pair over its plain picture, the most relevant last, so that it lies on top.

    Attributes:
        plain: the picture below.
        unit: everything drawn grows with the picture by it.
        counts: what a reader may choose between; empty where there is nothing to choose.
    """

    plain: Artifact
    width: int
    height: int
    unit: float
    links: Sequence[DrawnLink]
    counts: Sequence[int]


def draw_pair(facts: RecordFacts, plain: Artifact) -> PairDrawing | None:
    """Return the links of a record's first layer over its plain picture.

    None where the record does not say where they go, or the picture is not laid out as ours are.
    """
    layer = facts.layers[0] if facts.layers else None
    if layer is None or facts.sizes is None or layer.grids is None:
        return None
    layout = lay_out(*facts.sizes, Style())
    if (layout.width, layout.height) != (plain.width, plain.height):
        return None
    leading = layer.links[:_MOST]
    placed = [link for link in leading if link.place_0 is not None and link.place_1 is not None]
    if not placed:
        return None
    return PairDrawing(
        plain=plain,
        width=layout.width,
        height=layout.height,
        unit=layout.unit,
        links=_links(placed, layout, layer.grids)[::-1],
        counts=_counts(len(leading)),
    )


def _counts(n: int) -> list[int]:
    return [count for count in COUNTS if count < n] + [n] if n > COUNTS[0] else []


def _links(links: Sequence[Link], layout: Layout, grids: tuple[Grid, Grid]) -> list[DrawnLink]:
    boxes, unit = (layout.box_0, layout.box_1), layout.unit
    ends = _ends([link.place_0 for link in links], boxes[0]), _ends([link.place_1 for link in links], boxes[1])
    radii = _radii(boxes[0], grids[0], unit), _radii(boxes[1], grids[1], unit)
    bent = bows(ends[0], ends[1], 9.0 * unit, float(layout.height))
    plates = [_plates(ends[side], ends[1 - side], radii[side], boxes[side], unit) for side in (0, 1)]
    drawn = []
    for index, link in enumerate(links):
        away = [side for side in (0, 1) if link.inside[side] is False]
        pen = SAFE.pen(link.rank - 1)
        width = max(2.0, 3.0 * pen.weight * unit)
        points = path(ends[0][index], ends[1][index], radii, float(bent[index]))
        drawn.append(
            DrawnLink(
                rank=link.rank,
                hue="none" if pen.shared else str((link.rank - 1) % len(SAFE.hues)),
                line="M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points),
                width=round(width, 2),
                dash=" ".join(f"{max(part, 0.01) * (width + 2.0 * unit):.1f}" for part in pen.dash),
                rings=tuple((*map(float, ends[side][index].round(1)), *radii[side]) for side in (0, 1)),
                plates=tuple(found[index + 1] for found in plates if index + 1 in found),
                beyond=tuple(count for count in COUNTS if link.rank > count),
                crosses=tuple(_cross(ends[side][index], radii[side]) for side in away),
                ring_dashes=(_ring_dash(0 in away, unit), _ring_dash(1 in away, unit)),
            )
        )
    return drawn


def _ring_dash(outside: bool, unit: float) -> str:
    return f"{8.0 * unit:.1f} {5.0 * unit:.1f}" if outside else ""


def _cross(centre: NDArray[np.float64], radii: tuple[float, float]) -> str:
    x, y = map(float, centre)
    dx, dy = (radius * math.sqrt(0.5) for radius in radii)
    return f"M{x - dx:.1f},{y - dy:.1f}L{x + dx:.1f},{y + dy:.1f}M{x - dx:.1f},{y + dy:.1f}L{x + dx:.1f},{y - dy:.1f}"


def _ends(places: Sequence[Place | None], box: Box) -> NDArray[np.float64]:
    return np.array([_point(place, box) for place in places], np.float64)


def _radii(box: Box, grid: Grid, unit: float) -> tuple[float, float]:
    """Half a cell, but never too small to be seen."""
    width, height = box.cell_radii(grid)
    return max(_LEAST_RADIUS * unit, width), max(_LEAST_RADIUS * unit, height)


def _plates(
    ends: NDArray[np.float64], others: NDArray[np.float64], radii: tuple[float, float], box: Box, unit: float
) -> dict[int, tuple[float, ...]]:
    """Return (x, y, width, height) of the numbers of one side, by their place in the list from 1."""
    across = ends - others
    away = np.arctan2(across[:, 1], across[:, 0])
    size = (30.0 * unit, 25.0 * unit)
    found = place_plates(ends, away, radii, [size] * len(ends), box, 2.0 * unit)
    return {plate.rank: (*plate.centre, *plate.size) for plate in found}


def _point(place: Place | None, box: Box) -> tuple[float, float]:
    assert place is not None  # the caller has left those out
    return box.x + place[0] * box.width, box.y + place[1] * box.height
