"""Numbers on rounded plates beside the places they name, none covering another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import canvas
from .canvas import Pixels
from .layout import Box
from .lettering import Lettering
from .palettes import RGB, Pen

__all__ = ["BLACK", "WHITE", "Plate", "draw_plate", "place_plates", "plate_size", "readable_on"]

BLACK: RGB = (0, 0, 0)
WHITE: RGB = (255, 255, 255)

_ALWAYS = 15  # leading matches whose numbers are drawn even where they must overlap
_TURNS = np.array([0.0, 30, -30, 60, -60, 90, -90, 120, -120, 150, -150, 180]) * math.pi / 180.0
_REACHES = (0.0, 0.8, 1.8, 3.0, 4.5, 6.5)  # distance beyond the ring, in plate heights


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A number in its place: rank (from 1), the plate's middle and (width, height), the point it names."""

    rank: int
    centre: tuple[float, float]
    size: tuple[float, float]
    anchor: tuple[float, float]


def readable_on(colour: RGB) -> RGB:
    """Return black or white, whichever stands out more from `colour` by WCAG 2 contrast."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255.0 for v in colour)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else WHITE


def plate_size(mask: Pixels) -> tuple[float, float]:
    """Return the (width, height) of the plate that carries a lettering's mask."""
    height = mask.shape[0] * 0.82
    return max(height, mask.shape[1] + 0.5 * height), height


def place_plates(
    points: NDArray[Any],
    away: NDArray[Any],
    radii: tuple[float, float],
    sizes: list[tuple[float, float]],
    box: Box,
    margin: float,
) -> list[Plate]:
    """Find a place for each number beside its ring, strongest first.

    Args:
        points: (n, 2) middles of the rings, most relevant first.
        away: (n,) angles in radians that point away from the lines.
        radii: half the (width, height) of every ring.
        sizes: (width, height) of every plate, outlines included.
        box: the photograph, which the plates stay in.
        margin: pixels between ring and plate.

    Returns:
        Plates without overlap, up to n; beyond the leading ones a number that finds no free place is left
        out.
    """
    placed: list[Plate] = []
    taken = np.empty((0, 4))
    for index, size in enumerate(sizes):
        spots, price = _spots(points[index], float(away[index]), radii, size, box, margin)
        overlap = _overlap(spots, size, taken)
        covered = _rings_covered(spots, size, points, index)
        if overlap.min() > 0 and index >= _ALWAYS:
            continue
        best = spots[np.argmin(price + 0.7 * covered + 100.0 * overlap)]
        placed.append(
            Plate(
                rank=index + 1,
                centre=(float(best[0]), float(best[1])),
                size=size,
                anchor=(float(points[index][0]), float(points[index][1])),
            )
        )
        taken = np.vstack([taken, [*best, *size]])
    return placed


def draw_plate(pixels: Pixels, plate: Plate, pen: Pen, lettering: Lettering, unit: float) -> None:
    """Draw a number on its plate, in the pen's colour, white outlined in black."""
    (x, y), (width, height) = plate.centre, plate.size
    half = max(0.0, (width - height) / 2.0)
    bar = np.array([[[x - half, y], [x + half, y]]])
    for colour, grown in ((BLACK, 0.0), (WHITE, -2.0 * unit), (pen.colour, -4.5 * unit)):
        canvas.draw_segments(pixels, bar, colour, height + grown)
    mask = lettering.mask(str(plate.rank))
    corner = (int(round(x - mask.shape[1] / 2.0)), int(round(y - mask.shape[0] / 2.0)))
    canvas.draw_mask(pixels, mask, corner, readable_on(pen.colour))


def _spots(
    point: NDArray[Any],
    away: float,
    radii: tuple[float, float],
    size: tuple[float, float],
    box: Box,
    margin: float,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Middles that a plate might take around a point, kept inside the box, and how unwelcome each is."""
    angles = (away + _TURNS)[None, :]
    reaches = np.array(_REACHES)[:, None] * size[1]
    cos, sin = np.cos(angles), np.sin(angles)
    rim = 1.0 / np.hypot(cos / max(radii[0], 1e-6), sin / max(radii[1], 1e-6))
    half = np.minimum(
        size[0] / 2.0 / np.maximum(np.abs(cos), 1e-9), size[1] / 2.0 / np.maximum(np.abs(sin), 1e-9)
    )
    distance = rim + margin + np.minimum(half, max(size) / 2.0) + reaches
    spots = np.stack([point[0] + cos * distance, point[1] + sin * distance], axis=-1).reshape(-1, 2)
    low = np.array([box.x + size[0] / 2.0, box.y + size[1] / 2.0])
    high = np.maximum(low, [box.x + box.width - size[0] / 2.0, box.y + box.height - size[1] / 2.0])
    inside = np.clip(spots, low, high)
    price = np.broadcast_to(
        np.abs(_TURNS)[None, :] * 0.12 + np.array(_REACHES)[:, None], (len(_REACHES), len(_TURNS))
    )
    return inside, price.reshape(-1) + 3.0 * np.abs(inside - spots).sum(axis=1) / size[1]


def _overlap(spots: NDArray[Any], size: tuple[float, float], taken: NDArray[Any]) -> NDArray[Any]:
    """Share of a plate that other plates cover at every spot."""
    if not len(taken):
        return np.zeros(len(spots))
    reach = (np.array(size) + taken[None, :, 2:]) / 2.0 - np.abs(spots[:, None, :] - taken[None, :, :2])
    shared = np.maximum(reach, 0.0).prod(axis=2).sum(axis=1)
    result: NDArray[Any] = shared / (size[0] * size[1])
    return result


def _rings_covered(
    spots: NDArray[Any], size: tuple[float, float], points: NDArray[Any], own: int
) -> NDArray[np.float64]:
    """Count the rings' middles that a plate would cover at every spot, its own four times over."""
    gap = np.abs(spots[:, None, :] - points[None, :100]) - np.array(size) / 2.0
    hit = (gap < 0.35 * size[1]).all(axis=2).astype(np.float64)
    if own < hit.shape[1]:
        hit[:, own] *= 4.0
    result: NDArray[np.float64] = hit.sum(axis=1)
    return result
