"""Bodies of the sample species in the coat plane: outline, roundness and parts.

A body is a smooth union of tapered capsules (the fluke: two edge curves) in a plane of width `aspect` and
height 1. Every individual of a species has the same body, so that only coat, marks and edge tell individuals
apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Sequence, Tuple

import numpy as np

from .fields import bump, soft_step

Capsule = Tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Body:
    """Geometry of one species, sampled at pixel centres of the coat plane.

    Attributes:
        x, y: plane coordinates [H, W]; x runs 0..aspect, y runs 0..1, so u = x / aspect and v = y.
        distance: signed distance to the outline [H, W], negative inside, in units of the plane's height.
        height: roundness towards the viewer [H, W], at least 0, same units.
        parts: weights 0..1 of named regions [H, W].
    """

    aspect: float
    x: np.ndarray
    y: np.ndarray
    distance: np.ndarray
    height: np.ndarray
    parts: Dict[str, np.ndarray]


ASPECTS = {"striped_horse": 1.25, "spotted_cat": 1.70, "star_shark": 2.30, "ridge_whale": 2.00}

HORSE_NEAR: Sequence[Capsule] = (
    (0.47, 0.41, 0.62, 0.435, 0.150, 0.150),
    (0.62, 0.435, 0.82, 0.40, 0.150, 0.145),
    (0.43, 0.37, 0.300, 0.200, 0.112, 0.066),
    (0.265, 0.172, 0.205, 0.235, 0.060, 0.053),
    (0.205, 0.235, 0.140, 0.312, 0.048, 0.033),
    (0.140, 0.312, 0.128, 0.328, 0.034, 0.030),
    (0.285, 0.135, 0.305, 0.050, 0.017, 0.009),
    (0.252, 0.130, 0.262, 0.055, 0.016, 0.008),
    (0.318, 0.105, 0.470, 0.250, 0.028, 0.026),
    (0.470, 0.50, 0.455, 0.660, 0.066, 0.030),
    (0.455, 0.660, 0.452, 0.700, 0.030, 0.028),
    (0.452, 0.70, 0.449, 0.875, 0.023, 0.017),
    (0.449, 0.875, 0.440, 0.922, 0.019, 0.021),
    (0.850, 0.44, 0.880, 0.600, 0.105, 0.042),
    (0.880, 0.600, 0.902, 0.690, 0.042, 0.028),
    (0.902, 0.690, 0.880, 0.875, 0.024, 0.018),
    (0.880, 0.875, 0.868, 0.922, 0.019, 0.021),
    (0.955, 0.345, 1.015, 0.47, 0.017, 0.010),
    (1.015, 0.47, 1.030, 0.54, 0.010, 0.013),
    (1.030, 0.54, 1.032, 0.64, 0.020, 0.010),
)
HORSE_FAR: Sequence[Capsule] = (
    (0.53, 0.50, 0.555, 0.69, 0.058, 0.027),
    (0.555, 0.69, 0.572, 0.860, 0.022, 0.016),
    (0.572, 0.860, 0.563, 0.902, 0.018, 0.020),
    (0.775, 0.47, 0.805, 0.640, 0.085, 0.032),
    (0.805, 0.640, 0.812, 0.690, 0.030, 0.026),
    (0.812, 0.690, 0.780, 0.860, 0.023, 0.017),
    (0.780, 0.860, 0.768, 0.902, 0.018, 0.020),
)
CAT_NEAR: Sequence[Capsule] = (
    (0.47, 0.42, 0.75, 0.455, 0.152, 0.132),
    (0.75, 0.455, 1.06, 0.42, 0.132, 0.146),
    (0.43, 0.38, 0.300, 0.315, 0.120, 0.098),
    (0.262, 0.312, 0.235, 0.325, 0.093, 0.085),
    (0.215, 0.345, 0.155, 0.372, 0.060, 0.043),
    (0.190, 0.385, 0.160, 0.396, 0.040, 0.030),
    (0.300, 0.225, 0.312, 0.205, 0.030, 0.022),
    (0.228, 0.235, 0.224, 0.212, 0.026, 0.019),
    (0.46, 0.52, 0.445, 0.70, 0.088, 0.046),
    (0.445, 0.70, 0.450, 0.880, 0.043, 0.034),
    (0.448, 0.893, 0.410, 0.903, 0.036, 0.030),
    (1.08, 0.46, 1.120, 0.62, 0.122, 0.066),
    (1.120, 0.62, 1.148, 0.700, 0.062, 0.044),
    (1.148, 0.700, 1.115, 0.880, 0.040, 0.033),
    (1.113, 0.893, 1.075, 0.903, 0.036, 0.030),
    (1.18, 0.36, 1.33, 0.51, 0.040, 0.031),
    (1.33, 0.51, 1.45, 0.66, 0.031, 0.028),
    (1.45, 0.66, 1.54, 0.70, 0.028, 0.027),
    (1.54, 0.70, 1.61, 0.655, 0.027, 0.022),
)
CAT_FAR: Sequence[Capsule] = (
    (0.56, 0.52, 0.60, 0.70, 0.078, 0.042),
    (0.60, 0.70, 0.612, 0.860, 0.038, 0.032),
    (0.610, 0.870, 0.578, 0.880, 0.033, 0.028),
    (0.98, 0.48, 1.005, 0.67, 0.10, 0.048),
    (1.005, 0.67, 0.968, 0.860, 0.040, 0.032),
    (0.966, 0.870, 0.934, 0.880, 0.033, 0.028),
)
SHARK_NEAR: Sequence[Capsule] = (
    (0.22, 0.50, 0.42, 0.49, 0.150, 0.195),
    (0.42, 0.49, 0.80, 0.49, 0.195, 0.215),
    (0.80, 0.49, 1.25, 0.48, 0.215, 0.170),
    (1.25, 0.48, 1.70, 0.47, 0.170, 0.085),
    (1.70, 0.47, 1.97, 0.455, 0.085, 0.048),
    (1.96, 0.45, 2.08, 0.27, 0.055, 0.036),
    (2.08, 0.27, 2.17, 0.10, 0.036, 0.010),
    (1.97, 0.47, 2.09, 0.70, 0.046, 0.012),
    (1.17, 0.33, 1.28, 0.20, 0.085, 0.048),
    (1.28, 0.20, 1.385, 0.115, 0.048, 0.010),
    (1.68, 0.40, 1.77, 0.325, 0.034, 0.010),
    (1.62, 0.54, 1.70, 0.615, 0.030, 0.009),
    (0.72, 0.61, 0.86, 0.78, 0.080, 0.052),
    (0.86, 0.78, 0.995, 0.93, 0.052, 0.012),
)


def coat_plane(species: str, width: int) -> Tuple[np.ndarray, np.ndarray]:
    """Plane coordinates x (0..aspect) and y (0..1) of the pixel centres of a coat image `width` pixels
    wide."""
    aspect = ASPECTS[species]
    height = int(round(width / aspect))
    u = (np.arange(width, dtype=np.float32) + 0.5) / width
    v = (np.arange(height, dtype=np.float32) + 0.5) / height
    x, y = np.meshgrid(u * np.float32(aspect), v)
    return x, y


def _capsules(
    x: np.ndarray, y: np.ndarray, capsules: Sequence[Capsule], softness: float
) -> Tuple[np.ndarray, np.ndarray]:
    """Signed distance and roundness of a smooth union of tapered capsules (ax, ay, bx, by, ra, rb)."""
    total = np.zeros(x.shape, np.float32)
    height = np.zeros(x.shape, np.float32)
    for ax, ay, bx, by, ra, rb in capsules:
        dx, dy = bx - ax, by - ay
        t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
        radius = ra + (rb - ra) * t
        gap = np.hypot(x - ax - t * dx, y - ay - t * dy)
        total += np.exp(-np.clip((gap - radius) / softness, -60.0, 60.0))
        height = np.maximum(height, np.sqrt(np.clip(radius * radius - gap * gap, 0.0, None)))
    return (-softness * np.log(total + 1e-30)).astype(np.float32), height.astype(np.float32)


def _animal(
    species: str, width: int, near: Sequence[Capsule], far: Sequence[Capsule], softness: float
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x, y = coat_plane(species, width)
    distance, height = _capsules(x, y, near, softness)
    shade = np.zeros(x.shape, np.float32)
    if far:
        far_distance, far_height = _capsules(x, y, far, softness)
        shade = soft_step(distance, 0.0, 0.006) * (far_distance < 0.01)
        height = np.maximum(height, 0.7 * far_height)
        distance = np.minimum(distance, far_distance)
    return x, y, distance, height, shade.astype(np.float32)


def striped_horse(width: int) -> Body:
    """A zebra-like grazer seen from its left side."""
    x, y, distance, height, far = _animal("striped_horse", width, HORSE_NEAR, HORSE_FAR, 0.013)
    legs = soft_step(y, 0.56, 0.66)
    tail = soft_step(x, 0.955, 0.985)
    head = soft_step(x - 0.35 * y, 0.215, 0.165) * (1 - legs)
    neck = soft_step(x - 0.25 * (y - 0.3), 0.43, 0.34) * (1 - head) * (1 - legs)
    mane = (
        soft_step((x - 0.305) * 0.67 - (y - 0.105) * 0.74, 0.0, 0.012) * soft_step(x, 0.50, 0.46) * (y < 0.3)
    )
    parts = {
        "legs": legs,
        "tail": tail,
        "head": head,
        "neck": neck,
        "far": far,
        "mane": mane.astype(np.float32),
        "muzzle": soft_step(np.hypot(x - 0.135, y - 0.320), 0.066, 0.035),
        "hoof": soft_step(y - 0.022 * (1 - far), 0.868, 0.876),
        "belly": soft_step(y, 0.50, 0.585) * (1 - legs),
        "tuft": soft_step(y, 0.47, 0.55) * tail,
        "eye": soft_step(np.hypot(x - 0.226, (y - 0.186) * 1.3), 0.013, 0.008),
    }
    return Body(aspect=ASPECTS["striped_horse"], x=x, y=y, distance=distance, height=height, parts=parts)


def spotted_cat(width: int) -> Body:
    """A leopard-like cat seen from its left side."""
    x, y, distance, height, far = _animal("spotted_cat", width, CAT_NEAR, CAT_FAR, 0.015)
    legs = soft_step(y, 0.56, 0.70)
    parts = {
        "legs": legs,
        "far": far,
        "belly": soft_step(y, 0.50, 0.61) * (1 - legs),
        "muzzle": soft_step(np.hypot(x - 0.165, (y - 0.400) * 1.4), 0.060, 0.03),
        "nose": soft_step(np.hypot((x - 0.118) * 0.9, y - 0.352), 0.020, 0.012),
        "ear": soft_step(
            np.minimum(np.hypot(x - 0.226, y - 0.222), np.hypot(x - 0.308, y - 0.214)), 0.026, 0.014
        ),
        "eye": soft_step(np.hypot(x - 0.205, (y - 0.318) * 1.4), 0.015, 0.009),
    }
    return Body(aspect=ASPECTS["spotted_cat"], x=x, y=y, distance=distance, height=height, parts=parts)


def star_shark(width: int) -> Body:
    """A whale-shark-like fish seen from its left side, a little from above."""
    x, y, distance, height, far = _animal("star_shark", width, SHARK_NEAR, (), 0.022)
    trunk = soft_step(np.abs(y - 0.485) - 0.235 + 0.075 * soft_step(x, 0.9, 1.9), 0.02, -0.02)
    slits = sum(bump(x - 0.05 * (y - 0.5) ** 2, 0.53 + 0.033 * i, 0.0045) for i in range(5))
    gills = slits * bump(y, 0.53, 0.052)
    mouth = bump(y - 0.515 - 0.22 * (x - 0.07), 0.0, 0.006) * soft_step(x, 0.20, 0.15)
    parts = {
        "trunk": trunk,
        "far": far,
        "gills": np.asarray(gills, np.float32),
        "mouth": mouth,
        "eye": soft_step(np.hypot(x - 0.205, y - 0.535), 0.016, 0.010),
    }
    return Body(aspect=ASPECTS["star_shark"], x=x, y=y, distance=distance, height=height, parts=parts)


def ridge_whale(width: int, edge: np.ndarray = np.zeros(0, np.float32)) -> Body:
    """A whale's fluke seen from behind: trailing edge on top, stem below.

    Args:
        edge: offsets of the trailing edge in plane heights, evenly spaced from the left tip to the right
            tip; this is the individual's own serration. Empty for a smooth edge.
    """
    x, y = coat_plane("ridge_whale", width)
    s = x - 1.0
    span = np.clip(np.abs(s) / 0.965, 0.0, 1.0)
    smooth = (
        0.300
        - 0.125 * np.sin(np.pi * span**0.80 * 0.86)
        + 0.175 * np.exp(-np.abs(s) / 0.045)
        + 0.07 * span**8
    )
    trailing = smooth
    if edge.size:
        serration = np.interp(s[0], np.linspace(-0.965, 0.965, edge.size), edge).astype(np.float32)
        trailing = smooth + serration[None, :] * soft_step(span, 1.0, 0.9)
    tip = 0.300 - 0.125 * np.sin(np.pi * 0.86) + 0.07
    leading = tip + (0.66 - tip) * (1 - span**1.55) ** 0.92
    blade = np.maximum(trailing - y, (y - leading) * 0.80)
    blade = np.maximum(blade, np.abs(s) - 0.965)
    stem_width = 0.070 + 0.15 * soft_step(y, 0.52, 1.20)
    stem = np.maximum(np.abs(s) - stem_width, 0.40 - y)
    total = np.exp(-np.clip(blade / 0.014, -60, 60)) + np.exp(-np.clip(stem / 0.02, -60, 60))
    distance = (-0.014 * np.log(total + 1e-30)).astype(np.float32)
    inside = np.clip(np.maximum(np.minimum(y - smooth, (leading - y) * 0.8), -stem), 0.0, 0.12)
    lobe = 0.065 * np.cos(np.pi * (span - 0.45)) * soft_step(inside, 0.0, 0.1)
    ridge = 0.15 * bump(s, 0.0, 0.07) * soft_step(y, 0.34, 0.65)
    height = (np.sqrt(inside * 0.03) + lobe + ridge).astype(np.float32)
    parts = {
        "stem": soft_step(np.abs(s), 0.24, 0.10) * soft_step(y, 0.46, 0.62),
        "far": np.zeros_like(height),
        "span": span.astype(np.float32),
        "from_edge": (y - trailing).astype(np.float32),
    }
    return Body(aspect=ASPECTS["ridge_whale"], x=x, y=y, distance=distance, height=height, parts=parts)
