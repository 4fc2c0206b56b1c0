"""Small changes of a picture that should not change an explanation, and two that add what it should keep away from."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["as_jpeg", "jittered", "noisy", "pasted", "shifted", "with_background"]

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def noisy(picture: Pixels, rng: np.random.Generator, deviation: float = 0.02) -> Pixels:
    """Add Gaussian noise, its standard deviation a share of the range of a colour."""
    return _pixels(picture + rng.normal(0.0, deviation * 255.0, picture.shape))


def as_jpeg(picture: Pixels, quality: int = 85) -> Pixels:
    """Return the picture after a round through JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def shifted(picture: Pixels, pixels: int = 2) -> Pixels:
    """Move the picture to the right and down; the first row and column are repeated."""
    padded = np.pad(picture, ((pixels, 0), (pixels, 0), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded[: picture.shape[0], : picture.shape[1]])


def jittered(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """Change brightness, contrast and the weight of each channel by up to 15 %."""
    values = picture.astype(np.float64)
    middle = values.mean()
    values = middle + (values - middle) * rng.uniform(0.85, 1.15)
    return _pixels(values * rng.uniform(0.85, 1.15) * rng.uniform(0.93, 1.07, 3))


def pasted(
    picture: Pixels, other: Pixels, rng: np.random.Generator, share: float = 0.2
) -> tuple[Pixels, Mask]:
    """Cover a share of the picture with the middle of another one of the same size.

    Returns:
        The picture, and (H, W) True where it is covered.
    """
    height, width = picture.shape[:2]
    rows, cols = round(height * math.sqrt(share)), round(width * math.sqrt(share))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - cols + 1))
    first_row, first_col = (height - rows) // 2, (width - cols) // 2
    covered, mask = picture.copy(), np.zeros((height, width), dtype=bool)
    covered[top : top + rows, left : left + cols] = other[first_row : first_row + rows, first_col : first_col + cols]
    mask[top : top + rows, left : left + cols] = True
    return covered, mask


def with_background(picture: Pixels, animal: Mask, other: Pixels, other_animal: Mask | None) -> Pixels:
    """Put the animal before another picture's background; that picture's own animal is painted over with its mean."""
    behind = other.copy()
    if other_animal is not None and not other_animal.all():
        behind[other_animal] = np.rint(other[~other_animal].mean(axis=0)).astype(np.uint8)
    return np.where(animal[..., None], picture, behind)


def _pixels(values: NDArray[np.float64]) -> Pixels:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
