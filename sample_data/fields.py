"""Seeded random fields, soft steps and image sampling: the arithmetic that every drawing module shares.

Fields are float32 arrays of shape [H, W]; images are float32 [H, W, C] in 0..1. Random numbers always come
from the generator that the caller hands in, and a field's low frequencies do not depend on the resolution it
is drawn at.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
from PIL import Image

Size = Tuple[int, int]


def resize_field(field: np.ndarray, size: Size) -> np.ndarray:
    """Resize a float32 field [h, w] to `size` = (height, width) by bicubic interpolation."""
    image = Image.fromarray(np.ascontiguousarray(field, dtype=np.float32))
    return np.asarray(image.resize((size[1], size[0]), Image.Resampling.BICUBIC), dtype=np.float32)


def value_noise(rng: np.random.Generator, size: Size, cells: Tuple[float, float]) -> np.ndarray:
    """Smooth noise of about unit variance with `cells` = (rows, columns) of independent values."""
    rows, columns = (max(2, int(round(c)) + 1) for c in cells)
    return resize_field(rng.standard_normal((rows, columns), dtype=np.float32), size) * np.float32(1.3)


def fractal_noise(
    rng: np.random.Generator, size: Size, cells: Tuple[float, float], octaves: int = 4, gain: float = 0.55
) -> np.ndarray:
    """Sum of value noises, each at twice the frequency and `gain` times the amplitude; about unit
    variance."""
    total = np.zeros(size, np.float32)
    weight, power = 1.0, 0.0
    for octave in range(octaves):
        scale = 2**octave
        frequency = (cells[0] * scale, cells[1] * scale)
        if frequency[0] > size[0] and frequency[1] > size[1]:
            break
        total += np.float32(weight) * value_noise(
            rng, size, (min(frequency[0], size[0]), min(frequency[1], size[1]))
        )
        power += weight * weight
        weight *= gain
    return total / np.float32(np.sqrt(power))


def soft_step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth rise from 0 at `low` to 1 at `high` (falls where `high` < `low`)."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def bump(value: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Gaussian bump of height 1 and standard deviation `width`."""
    return np.exp(-0.5 * ((value - centre) / width) ** 2)


def mix(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Blend two images (or colours) [..., C] by a field `weight` [H, W]: 0 gives the first, 1 the second."""
    return first + (np.asarray(second, np.float32) - first) * weight[..., None]


def sample_bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Read `image` [H, W, C] at pixel coordinates (pixel centres at integers), clamped at the border."""
    height, width, channels = image.shape
    x = np.clip(x, 0, width - 1.001).astype(np.float32)
    y = np.clip(y, 0, height - 1.001).astype(np.float32)
    column, row = x.astype(np.int32), y.astype(np.int32)
    fx, fy = (x - column)[..., None], (y - row)[..., None]
    flat = image.reshape(-1, channels)
    index = row * width + column
    top = flat[index] * (1 - fx) + flat[index + 1] * fx
    bottom = flat[index + width] * (1 - fx) + flat[index + width + 1] * fx
    return top * (1 - fy) + bottom * fy


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of [H, W] or [H, W, C] with edge padding; `sigma` in pixels."""
    if sigma < 0.15:
        return image
    radius = max(1, int(np.ceil(2.6 * sigma)))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (0, 1):
        padding = [(0, 0)] * image.ndim
        padding[axis] = (radius, radius)
        padded = np.pad(image, padding, mode="edge")
        length = image.shape[axis]
        total = np.zeros(image.shape, np.float32)
        for offset, weight in enumerate(kernel):
            window = [slice(None)] * image.ndim
            window[axis] = slice(offset, offset + length)
            total += weight * padded[tuple(window)]
        image = total
    return image


def turn_image(image: np.ndarray, angle: float, size: Size) -> np.ndarray:
    """Cut a frame of `size` = (height, width) out of the middle of `image`, turned clockwise by `angle`
    radians."""
    height, width = size
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    planes = image if image.ndim == 3 else image[..., None]
    out = sample_bilinear(
        planes, cos * x + sin * y + (image.shape[1] - 1) / 2, cos * y - sin * x + (image.shape[0] - 1) / 2
    )
    return out if image.ndim == 3 else out[..., 0]


def turned_size(size: Size, angle: float) -> Size:
    """Size (height, width) of an upright frame that covers a frame of `size` turned by `angle`."""
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    return int(np.ceil(size[0] * cos + size[1] * sin)), int(np.ceil(size[1] * cos + size[0] * sin))
