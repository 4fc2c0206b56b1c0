"""Things in front of the animal: grass, twigs with leaves, fish, bubbles, the water line and its spray.

Each drawing function returns a colour image [H, W, 3] and its cover [H, W] in 0..1; cover hides the coat.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Tuple

import numpy as np
from PIL import Image, ImageDraw

from .fields import fractal_noise, gaussian_blur, mix, soft_step
from .scenery import waves

Layer = Tuple[np.ndarray, np.ndarray]

KINDS = {
    "striped_horse": ("grass", "twigs"),
    "spotted_cat": ("grass", "twigs"),
    "star_shark": ("fish", "bubbles"),
    "ridge_whale": ("spray",),
}
COVERED = 0.35
"""A pixel counts as hidden where the layers in front cover at least this share of it."""


def _to_layer(canvas: Image.Image, blur: float) -> Layer:
    pixels = np.asarray(canvas, dtype=np.float32) / 255
    pixels = pixels[0::2, 0::2] + pixels[1::2, 0::2] + pixels[0::2, 1::2] + pixels[1::2, 1::2]
    premultiplied = pixels[..., :3] * pixels[..., 3:] / 16
    cover = pixels[..., 3] / 4
    premultiplied, cover = gaussian_blur(premultiplied, blur), gaussian_blur(cover, blur)
    return premultiplied / np.maximum(cover, 1e-4)[..., None], cover


def _canvas(size: Tuple[int, int], tint: np.ndarray) -> Tuple[Image.Image, ImageDraw.ImageDraw]:
    fill = tuple(int(c * 255) for c in np.clip(tint, 0, 1)) + (0,)
    canvas = Image.new("RGBA", (size[1] * 2, size[0] * 2), fill)
    return canvas, ImageDraw.Draw(canvas)


def _rgba(colour: np.ndarray, alpha: int = 255) -> Tuple[int, ...]:
    return tuple(int(c * 255) for c in np.clip(colour, 0, 1)) + (alpha,)


def grass(rng: np.random.Generator, size: Tuple[int, int], amount: float) -> Layer:
    """Tall blades from the lower edge, in tufts."""
    height, width = size[0] * 2, size[1] * 2
    tint = np.array([0.50, 0.47, 0.24]) * rng.uniform(0.7, 1.25) + rng.uniform(-0.06, 0.06, 3)
    canvas, pen = _canvas(size, tint)
    tufts = rng.uniform(-0.05, 1.05, 4 + int(8 * amount))
    for _ in range(int(60 + 260 * amount)):
        foot = (tufts[int(rng.integers(len(tufts)))] + rng.normal(0, 0.05)) * width
        length = height * rng.uniform(0.08, 0.20 + 0.42 * amount)
        lean = rng.normal(0, 0.22) * length
        thick = height * rng.uniform(0.002, 0.0055)
        s = np.linspace(0, 1, 7)
        x, y = foot + lean * s**1.8, height * 1.01 - length * s * (1 - 0.12 * np.abs(lean / length) * s)
        w = thick * (1 - s) + 0.6
        outline = list(zip(x - w, y)) + list(zip(x[::-1] + w[::-1], y[::-1]))
        pen.polygon(
            [(float(a), float(b)) for a, b in outline],
            fill=_rgba(tint * rng.uniform(0.6, 1.35) + rng.uniform(-0.03, 0.03, 3)),
        )
    return _to_layer(canvas, float(rng.uniform(0.0008, 0.004)) * size[0])


def _twig(
    rng: np.random.Generator,
    pen: ImageDraw.ImageDraw,
    start: np.ndarray,
    angle: float,
    length: float,
    thick: float,
    bark: np.ndarray,
    leaf: np.ndarray,
    leaves: float,
) -> None:
    points: List[Tuple[float, float]] = []
    position = start.copy()
    for _ in range(14):
        points.append((float(position[0]), float(position[1])))
        angle += rng.normal(0, 0.13)
        position = position + length / 14 * np.array([np.cos(angle), np.sin(angle)])
        if rng.random() < leaves:
            turn = angle + rng.choice((-1, 1)) * rng.uniform(0.5, 1.2)
            size = length * rng.uniform(0.035, 0.075)
            axis, side = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
            shape = [
                position,
                position + size * (0.5 * axis + 0.28 * side),
                position + size * axis,
                position + size * (0.5 * axis - 0.28 * side),
            ]
            pen.polygon(
                [(float(p[0]), float(p[1])) for p in shape], fill=_rgba(leaf * rng.uniform(0.6, 1.35))
            )
    for i in range(len(points) - 1):
        pen.line(
            points[i : i + 2],
            fill=_rgba(bark * rng.uniform(0.85, 1.1)),
            width=max(1, int(thick * (1 - i / 18))),
        )


def twigs(rng: np.random.Generator, size: Tuple[int, int], amount: float) -> Layer:
    """Branches with leaves that reach in from the sides."""
    height, width = size[0] * 2, size[1] * 2
    bark = np.array([0.30, 0.24, 0.19]) * rng.uniform(0.6, 1.3)
    leaf = np.array([0.30, 0.38, 0.14]) * rng.uniform(0.6, 1.35) + rng.uniform(-0.05, 0.05, 3)
    canvas, pen = _canvas(size, 0.5 * (bark + leaf))
    for _ in range(1 + int(round(4 * amount))):
        side = int(rng.integers(3))
        start = np.array(
            [
                (0.0, 1.0, rng.uniform(0.1, 0.9))[side] * width,
                (rng.uniform(0.05, 0.9), rng.uniform(0.05, 0.9), 0.0)[side] * height,
            ]
        )
        angle = (0.0, np.pi, np.pi / 2)[side] + rng.uniform(-0.5, 0.5)
        length = rng.uniform(0.35, 0.75) * width
        for _ in range(int(rng.integers(1, 4))):
            _twig(
                rng,
                pen,
                start,
                angle + rng.uniform(-0.4, 0.4),
                length * rng.uniform(0.5, 1.0),
                height * rng.uniform(0.006, 0.016),
                bark,
                leaf,
                rng.uniform(0.2, 1.0),
            )
    return _to_layer(canvas, float(rng.uniform(0.001, 0.006)) * size[0])


def verge(rng: np.random.Generator, size: Tuple[int, int], level: float, tint: np.ndarray) -> Layer:
    """Short grass about the feet of an animal that stands at `level` (share of the height)."""
    height, width = size[0] * 2, size[1] * 2
    canvas, pen = _canvas(size, tint)
    for _ in range(int(rng.integers(250, 800))):
        foot = rng.uniform(0, 1) ** 1.5
        x, y = rng.uniform(0, width), height * (level + 0.012 + 0.10 * foot)
        length, lean = height * rng.uniform(0.015, 0.045 + 0.03 * foot), rng.normal(0, 0.012) * height
        shade = tint * rng.uniform(0.62, 1.3) * (1 + rng.normal(0, 0.05, 3))
        half = height * rng.uniform(0.0012, 0.0022)
        pen.polygon([(x - half, y), (x + half, y), (x + lean, y - length)], fill=_rgba(shade))
    return _to_layer(canvas, 0.0012 * size[0])


def fish(rng: np.random.Generator, size: Tuple[int, int], amount: float) -> Layer:
    """A loose school of small fish between the camera and the animal."""
    height, width = size[0] * 2, size[1] * 2
    tint = np.array([0.36, 0.50, 0.55]) * rng.uniform(0.5, 1.3)
    canvas, pen = _canvas(size, tint)
    heading = rng.uniform(-0.3, 0.3) + rng.choice((0, np.pi))
    middle = rng.uniform(0.2, 0.8, 2) * (width, height)
    for _ in range(int(8 + 40 * amount)):
        centre = middle + rng.normal(0, 0.2, 2) * (width, height)
        length, turn = width * rng.uniform(0.012, 0.034), heading + rng.normal(0, 0.2)
        s = np.linspace(0, 2 * np.pi, 14)
        x, y = np.cos(s), 0.34 * np.sin(s) * (1 - 0.25 * np.cos(s))
        tail = np.array([[-0.8, 0.0], [-1.5, -0.36], [-1.35, 0.0], [-1.5, 0.36]])
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        colour = _rgba(tint * rng.uniform(0.7, 1.4))
        for shape in (np.stack([x, y], -1), tail):
            pen.polygon([(float(a), float(b)) for a, b in centre + length * shape @ spin.T], fill=colour)
    return _to_layer(canvas, float(rng.uniform(0.001, 0.004)) * size[0])


def bubbles(rng: np.random.Generator, size: Tuple[int, int], amount: float) -> Layer:
    """Rising columns of air bubbles."""
    height, width = size[0] * 2, size[1] * 2
    canvas, pen = _canvas(size, np.array([0.75, 0.88, 0.92]))
    for _ in range(1 + int(3 * amount)):
        column = rng.uniform(0.1, 0.9) * width
        for _ in range(int(50 + 120 * amount)):
            up = rng.uniform(0, 1)
            x = column + rng.normal(0, 0.015 + 0.035 * up) * width
            radius, y = height * rng.uniform(0.002, 0.011), (1.02 - up) * height
            shade = np.array([0.66, 0.82, 0.88]) * rng.uniform(0.8, 1.2)
            pen.ellipse(
                [x - radius, y - 0.8 * radius, x + radius, y + 0.8 * radius],
                fill=_rgba(shade, int(rng.integers(90, 215))),
            )
            pen.arc(
                [x - radius, y - 0.8 * radius, x + radius, y + 0.8 * radius],
                180,
                320,
                fill=(240, 250, 252, 255),
                width=1,
            )
    return _to_layer(canvas, 0.0012 * size[0])


def spray(rng: np.random.Generator, size: Tuple[int, int], amount: float) -> Layer:
    """Drops and mist that run off the fluke."""
    height, width = size[0] * 2, size[1] * 2
    canvas, pen = _canvas(size, np.array([0.90, 0.92, 0.93]))
    for _ in range(int(60 + 320 * amount)):
        x, y = rng.uniform(0, width), height * (1 - rng.uniform(0, 0.75) ** 1.2)
        radius = height * rng.uniform(0.0008, 0.0038)
        pen.ellipse(
            [x - radius, y - 2.2 * radius, x + radius, y + 2.2 * radius],
            fill=_rgba(np.full(3, rng.uniform(0.78, 0.98)), int(rng.integers(100, 240))),
        )
    colour, cover = _to_layer(canvas, 0.0012 * size[0])
    mist = soft_step(fractal_noise(rng, size, (4, 5), 4), 0.6, 2.2) * 0.75 * amount
    total = 1 - (1 - cover) * (1 - mist)
    return mix(colour, np.array([0.90, 0.92, 0.93], np.float32), mist / np.maximum(total, 1e-4)), total


def water_line(rng: np.random.Generator, size: Tuple[int, int], level: float) -> Layer:
    """The sea in front of the animal below `level` (share of the height), with foam along the line."""
    tint = np.array([0.12, 0.24, 0.31], np.float32) * np.float32(rng.uniform(0.7, 1.3))
    surface = waves(rng, size, level - 0.25, tint, np.array([0.66, 0.72, 0.76], np.float32))
    y = (np.arange(size[0], dtype=np.float32)[:, None] + 0.5) / size[0]
    edge = level + 0.012 * fractal_noise(rng, (1, size[1]), (1, 10), 4)[0][None, :]
    cover = soft_step(y - edge, -0.004, 0.010)
    x = np.arange(size[1], dtype=np.float32)[None, :] / size[1]
    near = np.exp(-(((x - 0.5) / 0.30) ** 2)) * np.exp(-np.abs(y - edge - 0.01) / 0.035)
    foam = gaussian_blur(
        soft_step(fractal_noise(rng, size, (44, 30), 4, 0.75) + 2.4 * near, 1.3, 3.3), 0.0012 * size[1]
    )
    colour = mix(surface, np.array([0.93, 0.95, 0.95], np.float32), foam * 0.9)
    return colour, np.clip(cover + 0.9 * foam * soft_step(y - edge, -0.05, 0.0) * (near > 0.05), 0, 1)


LAYERS: Dict[str, Callable[[np.random.Generator, Tuple[int, int], float], Layer]] = {
    "grass": grass,
    "twigs": twigs,
    "fish": fish,
    "bubbles": bubbles,
    "spray": spray,
}
