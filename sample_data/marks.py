"""Distinctive marks: scars, bites out of an edge, blotches. Each is placed by the individual's own
generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np

from .fields import mix, soft_step
from .silhouettes import Body

KINDS = ("scar", "notch", "blotch")

SPOTS = {
    "striped_horse": {
        "scar": ((0.48, 0.34), (0.86, 0.50)),
        "notch": ((0.308, 0.070), (0.318, 0.095)),
        "blotch": ((0.50, 0.38), (0.84, 0.48)),
    },
    "spotted_cat": {
        "scar": ((0.45, 0.34), (1.10, 0.52)),
        "notch": ((0.312, 0.182), (0.338, 0.195)),
        "blotch": ((0.50, 0.36), (1.05, 0.50)),
    },
    "star_shark": {
        "scar": ((0.35, 0.36), (1.40, 0.58)),
        "notch": ((1.29, 0.135), (1.36, 0.30)),
        "blotch": ((0.45, 0.36), (1.30, 0.56)),
    },
    "ridge_whale": {
        "scar": ((0.25, 0.33), (1.75, 0.52)),
        "notch": ((0.25, 0.12), (1.75, 0.22)),
        "blotch": ((0.35, 0.34), (1.65, 0.50)),
    },
}
"""Per species and kind: the corners (x, y) of the region of the coat plane where the mark's centre may
lie."""


@dataclass(frozen=True)
class Mark:
    """One distinctive mark.

    Attributes:
        kind: `scar` (a healed cut), `notch` (a piece missing from an edge) or `blotch` (a discoloured patch).
        u, v: its centre in coat coordinates, 0..1.
        size: half its length, in plane heights.
        angle: direction in radians.
        tone: lightness of its colour, 0..1.
    """

    kind: str
    u: float
    v: float
    size: float
    angle: float
    tone: float


def draw_marks(rng: np.random.Generator, species: str, aspect: float) -> Tuple[Mark, ...]:
    """Choose no, one or two marks of different kinds for an individual."""
    count = int(rng.choice(3, p=(0.40, 0.42, 0.18)))
    marks = []
    for kind in rng.permutation(len(KINDS))[:count]:
        name = KINDS[int(kind)]
        (x0, y0), (x1, y1) = SPOTS[species][name]
        size = {
            "scar": rng.uniform(0.05, 0.12),
            "notch": rng.uniform(0.022, 0.04),
            "blotch": rng.uniform(0.03, 0.065),
        }[name]
        if name == "notch" and species in ("striped_horse", "spotted_cat"):
            size *= 0.6
        marks.append(
            Mark(
                kind=name,
                u=float(rng.uniform(x0, x1)) / aspect,
                v=float(rng.uniform(y0, y1)),
                size=float(size),
                angle=float(rng.uniform(-0.9, 0.9)),
                tone=float(rng.uniform(0, 1)),
            )
        )
    return tuple(marks)


def paint_mark(
    albedo: np.ndarray, distance: np.ndarray, body: Body, mark: Mark
) -> Tuple[np.ndarray, np.ndarray]:
    """Put a mark on a coat.

    Args:
        albedo: colours of the coat, float32 [H, W, 3].
        distance: signed distance to the outline, float32 [H, W]; a notch moves the outline.
        body: the geometry both are drawn on.
        mark: what to draw.

    Returns:
        The new albedo and distance; the given arrays are left as they are.
    """
    dx, dy = body.x - mark.u * body.aspect, body.y - mark.v
    along = dx * np.cos(mark.angle) + dy * np.sin(mark.angle)
    across = dy * np.cos(mark.angle) - dx * np.sin(mark.angle)
    if mark.kind == "notch":
        if mark.size < 0.024 or "span" not in body.parts:
            bite = mark.size - np.hypot(dx, dy)
        else:
            edge = body.parts["from_edge"]
            bite = np.minimum(
                mark.size * 0.6 * (1 - (edge + 0.02) / (2.6 * mark.size)) - np.abs(dx + 0.4 * edge),
                2.6 * mark.size - edge,
            )
        return albedo, np.maximum(distance, bite.astype(np.float32))
    if mark.kind == "scar":
        bend = across - 2.2 * along * along
        width = 0.0075 * (1.0 - 0.7 * np.clip(np.abs(along) / mark.size, 0, 1))
        weight = soft_step(np.abs(bend) - width, 0.004, -0.002) * soft_step(
            np.abs(along), mark.size, mark.size * 0.8
        )
        colour = np.array([0.82, 0.70, 0.66], np.float32) * (0.72 + 0.28 * mark.tone)
        return mix(albedo, colour, 0.9 * weight), distance
    wobble = 1 + 0.25 * np.sin(3 * np.arctan2(dy, dx) + 6 * mark.tone) + 0.12 * np.sin(5 * np.arctan2(dy, dx))
    weight = soft_step(np.hypot(along, 1.5 * across) / (mark.size * wobble), 1.15, 0.8)
    colour = (
        np.array([0.80, 0.74, 0.68], np.float32)
        if mark.tone > 0.5
        else np.array([0.10, 0.085, 0.08], np.float32)
    )
    return mix(albedo, colour, 0.85 * weight), distance
