"""Backgrounds: savanna, forest edge, open water under the surface, and the sea's surface with its horizon."""

from __future__ import annotations

from typing import Callable, Dict, Tuple

import numpy as np
from PIL import Image, ImageDraw

from .fields import bump, fractal_noise, gaussian_blur, mix, resize_field, soft_step

HABITATS = {
    "striped_horse": ("savanna", "woodland"),
    "spotted_cat": ("savanna", "woodland"),
    "star_shark": ("reef", "open_water"),
    "ridge_whale": ("sea",),
}


def _tone(rng: np.random.Generator, low: Tuple[float, ...], high: Tuple[float, ...]) -> np.ndarray:
    """A colour between two colours, mostly along the line that joins them."""
    t = rng.uniform(0, 1) + rng.uniform(-0.12, 0.12, 3)
    return np.clip(np.array(low) + (np.array(high) - np.array(low)) * t, 0, 1).astype(np.float32)


def _rows(size: Tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(((np.arange(size[0], dtype=np.float32) + 0.5) / size[0])[:, None], size)


def grass_strokes(
    rng: np.random.Generator, image: np.ndarray, horizon: float, tint: np.ndarray, count: int
) -> np.ndarray:
    """Draw `count` grass blades on the ground below `horizon`, longer the nearer they stand."""
    height, width = image.shape[:2]
    canvas = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    pen = ImageDraw.Draw(canvas)
    depth = np.sort(rng.uniform(0, 1, count) ** 0.8)
    foot_y = (horizon + (1.04 - horizon) * depth) * height
    foot_x = rng.uniform(-0.02, 1.02, count) * width
    length = (0.012 + 0.085 * depth * rng.uniform(0.4, 1.2, count)) * height
    lean = rng.normal(0, 0.35, count) * length
    shade = rng.uniform(0.55, 1.25, count)[:, None] * tint * (1 + rng.normal(0, 0.08, (count, 3)))
    colours = (np.clip(shade, 0, 1) * 255).astype(int)
    thick = np.maximum(1, np.round(depth * height / 300)).astype(int)
    for i in range(count):
        x, y = float(foot_x[i]), float(foot_y[i])
        pen.line(
            [(x, y), (x + 0.35 * lean[i], y - 0.6 * length[i]), (x + lean[i], y - length[i])],
            fill=tuple(int(c) for c in colours[i]),
            width=int(thick[i]),
        )
    return np.asarray(canvas, dtype=np.float32) / 255


def _ground(rng: np.random.Generator, size: Tuple[int, int], horizon: float, tint: np.ndarray) -> np.ndarray:
    """Ground with texture that grows coarser towards the viewer: one noise sheet read in perspective."""
    height, width = size
    sheet = fractal_noise(rng, (192, 192), (9, 7), 5, 0.7)
    depth = np.clip((_rows(size)[:, 0] - horizon) / (1 - horizon), 0.012, 1)
    rows = ((0.9 / (depth + 0.11)) * 40 % 191).astype(int)
    strip = resize_field(sheet, (192, width))
    texture = gaussian_blur(strip[rows], 0.6)
    earth = tint * np.array([0.92, 0.80, 0.66], np.float32)
    ground = mix(np.broadcast_to(tint, size + (3,)), earth, soft_step(texture, 0.1, 1.2))
    return ground * (0.90 + 0.13 * texture)[..., None]


def savanna(rng: np.random.Generator, size: Tuple[int, int]) -> np.ndarray:
    """Open grassland under a sky, with a hazy tree line."""
    horizon = float(rng.uniform(0.10, 0.42))
    y = _rows(size)
    zenith = _tone(rng, (0.36, 0.52, 0.74), (0.72, 0.76, 0.80))
    haze = _tone(rng, (0.80, 0.80, 0.76), (0.94, 0.88, 0.78))
    sky = mix(np.broadcast_to(zenith, size + (3,)), haze, np.clip(y / horizon, 0, 1) ** 1.4)
    cloud = soft_step(fractal_noise(rng, size, (3, 3), 4), 0.2, 1.6) * rng.uniform(0, 0.7)
    sky = mix(sky, np.array([0.95, 0.95, 0.95], np.float32), cloud)
    tint = _tone(rng, (0.62, 0.52, 0.30), (0.36, 0.44, 0.20))
    ground = grass_strokes(
        rng, _ground(rng, size, horizon, tint), horizon, tint, int(rng.integers(1500, 3200))
    )
    trees = horizon - rng.uniform(0.015, 0.06) * np.clip(
        0.6 + 0.5 * fractal_noise(rng, (2, size[1]), (1, 11), 5, 0.75)[0], 0.05, None
    )
    line = soft_step(y - trees[None, :], -0.004, 0.012)
    image = mix(
        sky,
        _tone(rng, (0.40, 0.43, 0.34), (0.60, 0.61, 0.55))
        * (1 + 0.12 * fractal_noise(rng, size, (30, 40), 2))[..., None],
        line,
    )
    image = mix(image, ground, soft_step(y, horizon - 0.006, horizon + 0.012))
    return gaussian_blur(image, float(rng.uniform(0.0016, 0.006)) * size[0])


def woodland(rng: np.random.Generator, size: Tuple[int, int]) -> np.ndarray:
    """Out-of-focus trees and bushes behind a strip of ground."""
    horizon = float(rng.uniform(0.48, 0.76))
    y, width = _rows(size), size[1]
    leaf = _tone(rng, (0.20, 0.30, 0.12), (0.46, 0.50, 0.26))
    deep = _tone(rng, (0.05, 0.08, 0.04), (0.16, 0.18, 0.11))
    mass = fractal_noise(rng, size, (7, 9), 5, 0.75)
    image = mix(np.broadcast_to(deep, size + (3,)), leaf, soft_step(mass, -0.8, 1.1))
    light = soft_step(fractal_noise(rng, size, (10, 13), 3, 0.7), 1.1, 2.0) * rng.uniform(0.2, 0.9)
    image = mix(image, _tone(rng, (0.80, 0.84, 0.70), (0.90, 0.92, 0.95)), light * soft_step(y, horizon, 0))
    x = np.arange(width, dtype=np.float32)[None, :] / width
    for _ in range(int(rng.integers(2, 8))):
        centre = rng.uniform(0, 1) + rng.uniform(-0.1, 0.1) * (y - 0.5)
        girth = rng.uniform(0.006, 0.035)
        round_ = np.clip((x - centre) / girth, -1, 1)
        bark = _tone(rng, (0.16, 0.12, 0.09), (0.40, 0.34, 0.27)) * (0.85 - 0.45 * round_)[..., None]
        image = mix(image, bark, soft_step(np.abs(x - centre), girth, girth * 0.75))
    image = gaussian_blur(image, float(rng.uniform(0.006, 0.014)) * size[0])
    tint = _tone(rng, (0.52, 0.44, 0.26), (0.26, 0.34, 0.15))
    floor = grass_strokes(
        rng, _ground(rng, size, horizon, tint), horizon - 0.05, tint, int(rng.integers(1100, 2400))
    )
    edge = horizon + 0.02 * fractal_noise(rng, (1, width), (1, 12), 3)[0][None, :]
    image = mix(image, gaussian_blur(floor, 0.002 * size[0]), soft_step(y - edge, -0.02, 0.02))
    return image


def _water(rng: np.random.Generator, size: Tuple[int, int], floor: bool) -> np.ndarray:
    """Water seen from within: its colour by depth, rays from the surface, drifting specks, and a floor if asked."""
    y = _rows(size)
    x = np.broadcast_to(np.arange(size[1], dtype=np.float32)[None, :] / size[1], size)
    top = _tone(rng, (0.28, 0.62, 0.72), (0.22, 0.50, 0.74))
    deep = _tone(rng, (0.02, 0.16, 0.30), (0.05, 0.28, 0.42))
    image = mix(
        np.broadcast_to(top, size + (3,)), deep, np.clip(y + 0.06 * fractal_noise(rng, size, (3, 3), 3), 0, 1)
    )
    sun, power = rng.uniform(-0.2, 1.2), rng.uniform(0.05, 0.28)
    angle = np.arctan2(x - sun, y + 0.35)
    rays = np.interp(
        angle, np.linspace(-1.6, 1.6, 160), gaussian_blur(rng.standard_normal((160, 1)), 1.2)[:, 0]
    )
    image = image + (power * np.clip(rays + 0.3, 0, None) * np.exp(-2.2 * y) * (0.8 + 0.2 * y))[..., None]
    surface = fractal_noise(rng, size, (26, 9), 3, 0.6) * np.exp(-9 * y)
    image = image + (0.10 * surface)[..., None]
    if floor:
        level = rng.uniform(0.72, 0.92) + 0.035 * fractal_noise(rng, (1, size[1]), (1, 5), 4)[0][None, :]
        texture = fractal_noise(rng, size, (16, 14), 5, 0.75)
        sand = mix(
            np.broadcast_to(_tone(rng, (0.30, 0.46, 0.46), (0.46, 0.58, 0.54)), size + (3,)),
            _tone(rng, (0.10, 0.20, 0.22), (0.20, 0.32, 0.34)),
            soft_step(texture, -0.3, 1.0),
        )
        ridge = np.abs(fractal_noise(rng, size, (16, 10), 2))
        sand = sand * (1.0 + 0.5 * bump(ridge, 0.0, 0.12))[..., None]
        image = mix(
            image, mix(sand, deep, np.full(size, 0.25, np.float32)), soft_step(y - level, -0.02, 0.03)
        )
        image = gaussian_blur(image, 0.004 * size[0])
    for _ in range(int(rng.integers(20, 160))):
        row, column = int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))
        image[row : row + 2, column : column + 2] += rng.uniform(0.03, 0.16)
    return image


def reef(rng: np.random.Generator, size: Tuple[int, int]) -> np.ndarray:
    """Clear shallow water over a sandy and rocky floor."""
    return _water(rng, size, True)


def open_water(rng: np.random.Generator, size: Tuple[int, int]) -> np.ndarray:
    """Blue water without a floor, with rays from the surface."""
    return _water(rng, size, False)


def waves(
    rng: np.random.Generator, size: Tuple[int, int], horizon: float, tint: np.ndarray, sky: np.ndarray
) -> np.ndarray:
    """The sea's surface below `horizon`, seen from a boat: crests that shrink towards the horizon."""
    sheet = fractal_noise(rng, (256, 128), (64, 13), 3, 0.62)
    strip = resize_field(sheet, (256, size[1]))
    depth = np.clip((_rows(size)[:, 0] - horizon) / (1 - horizon), 0.0, 1)
    position = np.clip(250 * (1 - (0.16 / (depth + 0.16))) / (1 - 0.16 / 1.16), 0, 254)
    low = position.astype(int)
    crest = strip[low] + (strip[low + 1] - strip[low]) * (position - low)[:, None].astype(np.float32)
    fine = fractal_noise(rng, size, (70, 22), 3, 0.6) * (0.25 + 0.75 * depth)[:, None].astype(np.float32)
    tilt = 0.62 * crest + 0.42 * fine
    image = mix(np.broadcast_to(tint, size + (3,)), sky, soft_step(tilt, -1.1, 2.8) * 0.62)
    image = image * (1 + 0.10 * tilt)[..., None]
    far = np.exp(-7 * depth)[:, None].astype(np.float32) * 0.5
    glint = soft_step(crest + 1.2 * fine, 2.4, 4.6) * rng.uniform(0, 0.7)
    return mix(mix(image, sky, np.broadcast_to(far, size)), np.array([0.96, 0.97, 0.96], np.float32), glint)


def sea(rng: np.random.Generator, size: Tuple[int, int]) -> np.ndarray:
    """Sky, a coast at times, and the sea."""
    horizon = float(rng.uniform(-0.05, 0.45))
    y = _rows(size)
    top = _tone(rng, (0.42, 0.56, 0.72), (0.74, 0.77, 0.80))
    low = _tone(rng, (0.72, 0.78, 0.82), (0.92, 0.88, 0.84))
    sky = mix(np.broadcast_to(top, size + (3,)), low, np.clip(y / max(horizon, 0.05), 0, 1))
    cloud = soft_step(fractal_noise(rng, size, (4, 3), 4), 0.0, 1.8) * rng.uniform(0, 0.6)
    sky = mix(sky, np.array([0.93, 0.93, 0.94], np.float32), cloud)
    if rng.random() < 0.4:
        hill = horizon - rng.uniform(0.02, 0.12) * np.clip(
            0.7 + fractal_noise(rng, (1, size[1]), (1, 4), 4)[0], 0, None
        )
        sky = mix(
            sky,
            _tone(rng, (0.38, 0.46, 0.52), (0.56, 0.62, 0.68)),
            soft_step(y - hill[None, :], -0.003, 0.006),
        )
        sky = gaussian_blur(sky, 0.003 * size[0])
    tint = _tone(rng, (0.07, 0.20, 0.28), (0.22, 0.31, 0.36))
    water = waves(rng, size, horizon, tint, low * 0.9)
    return gaussian_blur(mix(sky, water, soft_step(y, horizon - 0.003, horizon + 0.004)), 0.0022 * size[0])


SCENES: Dict[str, Callable[[np.random.Generator, Tuple[int, int]], np.ndarray]] = {
    "savanna": savanna,
    "woodland": woodland,
    "reef": reef,
    "open_water": open_water,
    "sea": sea,
}
