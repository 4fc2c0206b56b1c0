"""Coats of the sample species: the pattern that is an individual's own, drawn on its species' body.

Patterns are functions of the coat plane with seeded parameters, so one individual can be drawn at any
resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Tuple

import numpy as np

from . import silhouettes
from .fields import bump, fractal_noise, mix, soft_step, value_noise
from .marks import Mark, draw_marks, paint_mark
from .silhouettes import Body

PATTERNS = {
    "striped_horse": "stripes",
    "spotted_cat": "rosettes",
    "star_shark": "spots",
    "ridge_whale": "pigment_patches",
}


@dataclass(frozen=True)
class Coat:
    """An individual's appearance in the coat plane, ready to be photographed.

    Attributes:
        species, marks: what it is and its distinctive marks.
        albedo: surface colour, linear-ish RGB 0..1, float32 [H, W, 3].
        alpha: 1 on the animal, 0 off it, float32 [H, W].
        height: roundness towards the viewer in plane heights, float32 [H, W].
        far: weight of limbs on the far side, float32 [H, W].
        aspect: width of the plane over its height.
    """

    species: str
    marks: Tuple[Mark, ...]
    albedo: np.ndarray
    alpha: np.ndarray
    height: np.ndarray
    far: np.ndarray
    aspect: float


def _colour(*rgb: float) -> np.ndarray:
    return np.array(rgb, np.float32)


def _stripe_phase(rng: np.random.Generator, body: Body) -> np.ndarray:
    """Phase of the stripes in radians: a bent carrier, smooth noise, and vortices, at which a stripe
    forks."""
    x, y = body.x, body.y
    rump = soft_step(x + 0.25 * (y - 0.4), 0.68, 0.92)
    frequency = rng.uniform(13.0, 16.5)
    phase = frequency * (
        x - 0.10 * (y - 0.4) + rng.uniform(0.03, 0.10) * np.sin(9 * (x + y))
    ) - rump * frequency * 0.95 * (y - 0.20)
    phase = 2 * np.pi * phase + 1.25 * fractal_noise(rng, x.shape, (3, 4), 2)
    for _ in range(int(rng.integers(7, 12))):
        vx, vy = rng.uniform(0.36, 0.92), rng.uniform(0.31, 0.57)
        phase += rng.choice((-1.0, 1.0)) * np.arctan2(y - vy, x - vx)
    return phase


def _striped_horse(rng: np.random.Generator, width: int) -> Tuple[Body, np.ndarray]:
    body = silhouettes.striped_horse(width)
    x, y, parts = body.x, body.y, body.parts
    flank = np.sin(_stripe_phase(rng, body))
    wobble = 0.9 * fractal_noise(rng, x.shape, (5, 6), 2)
    neck = np.sin(2 * np.pi * rng.uniform(13, 16) * (0.66 * x + 0.70 * y) + wobble + rng.uniform(0, 6.3))
    head = np.sin(2 * np.pi * rng.uniform(24, 29) * (0.9 * x - 0.35 * y) + wobble + rng.uniform(0, 6.3))
    legs = np.sin(2 * np.pi * rng.uniform(17, 21) * (y - 0.05 * x) + 1.3 * wobble + rng.uniform(0, 6.3))
    tail = np.sin(2 * np.pi * 22 * y + wobble)
    wave = flank * (1 - parts["neck"]) + neck * parts["neck"]
    for part, other in (("head", head), ("legs", legs), ("tail", tail)):
        wave = wave * (1 - parts[part]) + other * parts[part]
    bias = rng.uniform(-0.18, 0.22) + 0.22 * value_noise(rng, x.shape, (4, 5)) - 0.75 * parts["belly"]
    dark = soft_step(wave + bias, -0.13, 0.13)
    pale = _colour(0.80, 0.74, 0.64) * (0.93 + 0.07 * fractal_noise(rng, x.shape, (6, 8), 3))[..., None]
    pale = mix(pale, _colour(0.86, 0.83, 0.78), parts["belly"])
    shadow = (
        soft_step(np.cos(_stripe_phase(rng, body)), 0.9, 1.0) * rng.uniform(0, 0.5) * soft_step(x, 0.6, 0.9)
    )
    pale = mix(pale, _colour(0.52, 0.40, 0.28), shadow)
    albedo = mix(pale, _colour(0.075, 0.062, 0.058), dark)
    mane = soft_step(np.sin(2 * np.pi * 15 * (x + 0.9 * y) + wobble), -0.3, 0.3)
    albedo = mix(albedo, _colour(0.10, 0.08, 0.07), parts["mane"] * (0.25 + 0.65 * mane))
    for part, colour in (
        ("muzzle", (0.07, 0.06, 0.06)),
        ("hoof", (0.13, 0.11, 0.10)),
        ("tuft", (0.08, 0.07, 0.06)),
        ("eye", (0.02, 0.02, 0.02)),
    ):
        albedo = mix(albedo, _colour(*colour), parts[part])
    return body, albedo


def _scatter(rng: np.random.Generator, columns: int, rows: int, jitter: float, keep: float) -> np.ndarray:
    """Jittered grid of points in the unit square, [N, 2], with a share `keep` of them."""
    grid_x, grid_y = np.meshgrid(np.arange(columns), np.arange(rows))
    points = np.stack([grid_x + 0.5 * (grid_y % 2), grid_y], -1).reshape(-1, 2) + 0.25
    points = points + rng.uniform(-jitter, jitter, points.shape)
    return (points / (columns, rows))[rng.random(len(points)) < keep]


def _stamp(
    field: np.ndarray,
    body: Body,
    px: float,
    py: float,
    reach: float,
    shape: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> None:
    """Raise `field` to shape(dx, dy) in the window of half-width `reach` about a point of the plane."""
    height, width = field.shape
    x0, x1 = (int(np.clip((px + s * reach) / body.aspect * width, 0, width)) for s in (-1, 1))
    y0, y1 = (int(np.clip((py + s * reach) * height, 0, height)) for s in (-1, 1))
    if x1 > x0 and y1 > y0:
        window = (slice(y0, y1 + 1), slice(x0, x1 + 1))
        np.maximum(field[window], shape(body.x[window] - px, body.y[window] - py), out=field[window])


def _spotted_cat(rng: np.random.Generator, width: int) -> Tuple[Body, np.ndarray]:
    body = silhouettes.spotted_cat(width)
    x, parts = body.x, body.parts
    dark, inner = np.zeros(x.shape, np.float32), np.zeros(x.shape, np.float32)
    scale = rng.uniform(0.92, 1.12)
    for u, v in _scatter(rng, int(27 / scale), int(16 / scale), 0.34, 0.95):
        px, py = u * body.aspect, v
        solid = py > 0.56 or px < 0.40 or px > 1.18
        radius = (rng.uniform(0.011, 0.018) if solid else rng.uniform(0.021, 0.030)) * scale
        stretch, turn, gap = rng.uniform(0.75, 1.3), rng.uniform(-0.8, 0.8), rng.uniform(0, 6.3)
        lobes, weight = int(rng.integers(2, 5)), rng.uniform(0.5, 0.95)

        def rosette(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
            a, b = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
            r, angle = np.hypot(a / stretch, b * stretch) / radius, np.arctan2(b, a)
            if solid:
                return soft_step(r * (1 + 0.15 * np.cos(2 * angle + gap)), 1.05, 0.75)
            ring = soft_step(np.abs(r - 0.92), 0.40, 0.20)
            return ring * soft_step(np.cos(lobes * angle + gap) + weight, -0.15, 0.15)

        _stamp(dark, body, px, py, 2.2 * radius, rosette)
        if not solid:
            _stamp(
                inner,
                body,
                px,
                py,
                2.2 * radius,
                lambda dx, dy: soft_step(np.hypot(dx, dy) / radius, 1.1, 0.7),
            )
    gold = _colour(0.66, 0.45, 0.22) * (0.92 + 0.08 * fractal_noise(rng, x.shape, (6, 10), 3))[..., None]
    albedo = mix(gold, _colour(0.82, 0.76, 0.66), np.maximum(parts["belly"], parts["muzzle"]) * 0.85)
    albedo = mix(albedo, _colour(0.74, 0.60, 0.40), 0.6 * parts["legs"])
    albedo = mix(albedo, _colour(0.50, 0.30, 0.12), 0.7 * inner)
    albedo = mix(albedo, _colour(0.075, 0.055, 0.04), dark * (1 - 0.7 * parts["muzzle"]))
    for part, colour in (
        ("ear", (0.10, 0.08, 0.06)),
        ("nose", (0.30, 0.16, 0.13)),
        ("eye", (0.05, 0.06, 0.02)),
    ):
        albedo = mix(albedo, _colour(*colour), parts[part] * 0.9)
    return body, albedo


def _star_shark(rng: np.random.Generator, width: int) -> Tuple[Body, np.ndarray]:
    body = silhouettes.star_shark(width)
    x, y, parts = body.x, body.y, body.parts
    back = mix(
        np.broadcast_to(_colour(0.14, 0.20, 0.25), x.shape + (3,)),
        _colour(0.74, 0.77, 0.76),
        soft_step(y + 0.02 * value_noise(rng, x.shape, (2, 9)), 0.575, 0.665) * parts["trunk"],
    )
    back = back * (1 + 0.10 * fractal_noise(rng, x.shape, (5, 12), 4))[..., None]
    white = np.zeros(x.shape, np.float32)
    for u, v in _scatter(rng, int(rng.integers(38, 46)), int(rng.integers(17, 21)), 0.40, 0.62):
        radius = rng.uniform(0.0070, 0.0190) * (0.65 if u < 0.22 else 1.0)
        px, py, stretch = u * body.aspect, v, rng.uniform(0.8, 1.25)
        _stamp(
            white,
            body,
            px,
            py,
            1.6 * radius,
            lambda dx, dy: soft_step(np.hypot(dx * stretch, dy / stretch) / radius, 1.1, 0.7),
        )
    bars = np.zeros(x.shape, np.float32)
    for position in np.arange(0.30, 1.90, 0.115) + rng.uniform(-0.03, 0.03, 14):
        bars += bump(x + 0.05 * value_noise(rng, x.shape, (3, 3)), position, 0.005) * rng.uniform(0.1, 0.6)
    upper = soft_step(y, 0.63, 0.55)
    albedo = mix(back, _colour(0.62, 0.68, 0.70), np.clip(bars, 0, 1) * 0.5 * upper * parts["trunk"])
    albedo = mix(albedo, _colour(0.88, 0.91, 0.90), white * (0.35 + 0.6 * upper))
    albedo = albedo * (1 - 0.55 * np.clip(parts["gills"] + parts["mouth"], 0, 1))[..., None]
    return body, mix(albedo, _colour(0.02, 0.02, 0.03), parts["eye"])


def _ridge_whale(rng: np.random.Generator, width: int) -> Tuple[Body, np.ndarray]:
    knots = rng.standard_normal(48).astype(np.float32)
    edge = np.interp(np.arange(256), np.linspace(0, 255, 48), knots) * 0.006
    edge += np.interp(np.arange(256), np.linspace(0, 255, 15), rng.standard_normal(15)) * 0.011
    for _ in range(int(rng.integers(3, 8))):
        edge += rng.uniform(0.012, 0.045) * bump(
            np.arange(256.0), rng.uniform(12, 244), rng.uniform(1.2, 3.2)
        )
    body = silhouettes.ridge_whale(width, edge.astype(np.float32))
    x, y, parts = body.x, body.y, body.parts
    base = _colour(0.105, 0.110, 0.120) * (1 + 0.22 * fractal_noise(rng, x.shape, (5, 9), 4))[..., None]
    patch = fractal_noise(rng, x.shape, (3.2, 6.0), 4, 0.5) + 0.55 * value_noise(rng, x.shape, (9, 16))
    level = rng.uniform(-0.30, 1.45) + 0.9 * parts["stem"] - 0.5 * bump(parts["span"], 0.62, 0.25)
    level = level + 0.6 * soft_step(parts["from_edge"], 0.05, 0.0)
    pale = soft_step(patch - level, -0.10, 0.22) * soft_step(np.abs(x - 1), 0.05, 0.16)
    grain = 1 + 0.12 * fractal_noise(rng, x.shape, (26, 50), 2)
    albedo = mix(base, _colour(0.80, 0.81, 0.80), pale * 0.92 * np.clip(grain, 0, 1.1))
    scratches = np.zeros(x.shape, np.float32)
    for _ in range(int(rng.integers(6, 16))):
        sx, sy, turn = rng.uniform(0.2, 1.8), rng.uniform(0.25, 0.60), rng.uniform(0, np.pi)
        length, curve = rng.uniform(0.03, 0.14), rng.uniform(-3, 3)
        a = (x - sx) * np.cos(turn) + (y - sy) * np.sin(turn)
        b = (y - sy) * np.cos(turn) - (x - sx) * np.sin(turn) - curve * a * a
        scratches = np.maximum(scratches, soft_step(np.abs(b), 0.0065, 0.002) * (np.abs(a) < length))
    for sx, sy in rng.uniform((0.1, 0.2), (1.9, 0.55), (int(rng.integers(3, 10)), 2)):
        scratches = np.maximum(scratches, soft_step(np.abs(np.hypot(x - sx, y - sy) - 0.010), 0.006, 0.002))
    tone = mix(np.broadcast_to(_colour(0.72, 0.73, 0.72), x.shape + (3,)), _colour(0.12, 0.12, 0.13), pale)
    return body, albedo + (tone - albedo) * (0.45 * scratches)[..., None]


PAINTERS: Dict[str, Callable[[np.random.Generator, int], Tuple[Body, np.ndarray]]] = {
    "striped_horse": _striped_horse,
    "spotted_cat": _spotted_cat,
    "star_shark": _star_shark,
    "ridge_whale": _ridge_whale,
}


def paint_coat(species: str, seed: int, width: int) -> Coat:
    """Draw one individual.

    Args:
        species: one of `PATTERNS`.
        seed: the individual's own seed; everything that tells it apart follows from it.
        width: width of the coat image in pixels.
    """
    rng = np.random.default_rng((seed, 11))
    marks = draw_marks(np.random.default_rng((seed, 12)), species, silhouettes.ASPECTS[species])
    body, albedo = PAINTERS[species](rng, width)
    distance = body.distance
    for mark in marks:
        albedo, distance = paint_mark(albedo, distance, body, mark)
    pixel = 1.0 / albedo.shape[0]
    hair = 1 + 0.06 * fractal_noise(rng, body.x.shape, (60, 60 * body.aspect), 2)
    return Coat(
        species=species,
        marks=marks,
        albedo=np.clip(albedo * hair[..., None], 0, 1).astype(np.float32),
        alpha=soft_step(distance, pixel, -pixel),
        height=body.height,
        far=body.parts["far"],
        aspect=body.aspect,
    )
