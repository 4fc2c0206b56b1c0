"""Matches as lines between two photographs: rings as large as a cell, dashes, numbers at both ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import canvas
from .canvas import Pixels, Size
from .labels import BLACK, WHITE, Plate, draw_plate, place_plates, plate_size
from .layout import Box, Layout
from .lettering import Lettering
from .palettes import RGB, Palette, Pen
from .paths import bows, dashes, path, rim

__all__ = ["draw_fine_rings", "draw_matches", "draw_numbers", "draw_rings", "draw_strokes", "ring_radii"]

_MAX_NUMBERS = 60  # beyond, numbers would hide the animals
_MIN_RADIUS = 6.5  # of a ring, in units
_CORE = 3.0  # width of the strongest line, in units
_OUTLINE = 1.0  # width of each of the two outlines on each side, in units


def draw_matches(
    pixels: Pixels,
    layout: Layout,
    cells: tuple[NDArray[Any], NDArray[Any]],
    grids: tuple[Size, Size],
    palette: Palette,
    opacity: float,
) -> Pixels:
    """Return the picture with every match drawn, the most relevant on top.

    Args:
        pixels: (H, W, 3) uint8 RGB, both photographs in their boxes.
        layout: where they are.
        cells: (n, 2) integers (row, col) of each side, most relevant first.
        grids: (rows, cols) of each side's feature map.
        palette: which pen is whose.
        opacity: of the lines, in [0, 1].
    """
    ends = layout.box_0.points(cells[0], grids[0]), layout.box_1.points(cells[1], grids[1])
    radii = ring_radii(layout.box_0, grids[0], layout.unit), ring_radii(layout.box_1, grids[1], layout.unit)
    pens = [palette.pen(index) for index in range(len(cells[0]))]
    pixels = _lined(pixels, ends, radii, pens, layout.unit, opacity)
    crowded = len(pens) > _MAX_NUMBERS
    for side in (0, 1):
        if crowded:
            draw_fine_rings(pixels, ends[side][_MAX_NUMBERS:], radii[side], layout.unit)
        draw_rings(pixels, ends[side][:_MAX_NUMBERS], radii[side], pens[:_MAX_NUMBERS], layout.unit)
    for side, box in enumerate((layout.box_0, layout.box_1)):
        draw_numbers(pixels, box, ends[side], ends[1 - side], radii[side], pens, layout.unit)
    return pixels


def ring_radii(box: Box, grid: Size, unit: float) -> tuple[float, float]:
    """Return half the (width, height) of a ring: half a cell, but never too small to be seen."""
    half_width, half_height = box.cell_radii(grid)
    return max(half_width, _MIN_RADIUS * unit), max(half_height, _MIN_RADIUS * unit)


def draw_rings(
    pixels: Pixels, points: NDArray[Any], radii: tuple[float, float], pens: Sequence[Pen], unit: float
) -> None:
    """Draw a ring around every point, the first on top: the pen's colour, outlined in white, then black."""
    for point, pen in reversed(list(zip(points, pens))):
        for colour, width in _strokes(pen, 0.75 * unit):
            canvas.draw_ring(pixels, point, radii, colour, width)


def draw_fine_rings(pixels: Pixels, points: NDArray[Any], radii: tuple[float, float], unit: float) -> None:
    """Draw a thin ring, white outlined in black, around every point, so that colour below stays visible."""
    for colour, width in ((BLACK, 3.0 * unit), (WHITE, 1.0 * unit)):
        for point in points:
            canvas.draw_ring(pixels, point, radii, colour, width)


def draw_numbers(
    pixels: Pixels,
    box: Box,
    points: NDArray[Any],
    others: NDArray[Any],
    radii: tuple[float, float],
    pens: Sequence[Pen],
    unit: float,
) -> list[Plate]:
    """Draw each match's rank beside its ring, away from its line if there is room, and return the plates."""
    count = min(len(points), _MAX_NUMBERS)
    large, small = Lettering(14.0 * unit), Lettering(10.0 * unit)
    letterings = [small if pen.shared else large for pen in pens[:count]]
    sizes = [
        tuple(length + 4.5 * unit for length in plate_size(lettering.mask(str(index + 1))))
        for index, lettering in enumerate(letterings)
    ]
    away = np.arctan2(points[:, 1] - others[:, 1], points[:, 0] - others[:, 0])
    plates = place_plates(points[:count], away, radii, [(w, h) for w, h in sizes], box, 2.0 * unit)
    for plate in plates:
        _draw_leader(pixels, plate, radii, pens[plate.rank - 1], unit)
    for plate in reversed(plates):
        draw_plate(pixels, plate, pens[plate.rank - 1], letterings[plate.rank - 1], unit)
    return plates


def _lined(
    pixels: Pixels,
    ends: tuple[NDArray[Any], NDArray[Any]],
    radii: tuple[tuple[float, float], tuple[float, float]],
    pens: Sequence[Pen],
    unit: float,
    opacity: float,
) -> Pixels:
    """Return the picture with all lines; those that share a pen lie below, the fainter the more there are."""
    bow = bows(ends[0], ends[1], 9.0 * unit, pixels.shape[0])
    shared = [index for index, pen in enumerate(pens) if pen.shared]
    own = [index for index, pen in enumerate(pens) if not pen.shared]
    groups: list[tuple[list[list[int]], float]] = []
    if shared:
        groups.append(([shared[::-1]], opacity * min(0.9, max(0.15, 15.0 / len(shared)))))
    if own:
        groups.append(([[index] for index in reversed(own)], opacity))
    for group, strength in groups:
        over = np.array(pixels)
        for indices in group:
            for pen in dict.fromkeys(
                pens[index] for index in indices
            ):  # one pen, or the few of a palette that repeats
                width = _strokes(pen, unit)[0][1]
                mine = [index for index in indices if pens[index] == pen]
                strokes = [dashes(path(ends[0][i], ends[1][i], radii, bow[i]), pen.dash, width) for i in mine]
                draw_strokes(over, np.concatenate(strokes), pen, unit)
        pixels = canvas.blend(over, pixels, strength)
    return pixels


def draw_strokes(pixels: Pixels, segments: NDArray[Any], pen: Pen, unit: float) -> None:
    """Draw segments (n, 2, 2) with a pen: its colour, outlined in white, outlined in black."""
    for colour, width in _strokes(pen, unit):
        canvas.draw_segments(pixels, segments, colour, width)


def _strokes(pen: Pen, unit: float) -> list[tuple[RGB, float]]:
    """Colours and widths of one line, from the outermost outline to the core."""
    core, outline = max(2.0, _CORE * pen.weight * unit), max(1.0, _OUTLINE * unit)
    if pen.shared:
        return [(BLACK, core + 2.0 * outline), (pen.colour, core)]
    return [(BLACK, core + 4.0 * outline), (WHITE, core + 2.0 * outline), (pen.colour, core)]


def _draw_leader(pixels: Pixels, plate: Plate, radii: tuple[float, float], pen: Pen, unit: float) -> None:
    """Join a plate that stands apart with its ring."""
    dx, dy = plate.centre[0] - plate.anchor[0], plate.centre[1] - plate.anchor[1]
    angle = math.atan2(dy, dx)
    edge = rim(radii, angle)
    if math.hypot(dx, dy) - edge < plate.size[1] * 1.1:
        return
    start = (plate.anchor[0] + edge * math.cos(angle), plate.anchor[1] + edge * math.sin(angle))
    segment = np.array([[start, plate.centre]])
    for colour, width in ((BLACK, 4.0 * unit), (pen.colour, 2.0 * unit)):
        canvas.draw_segments(pixels, segment, colour, width)
