"""Pictures that tests make, and the codes of what is said of those that were read."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pairx_plugin.chips import Chip
from pairx_plugin.photographs import Photograph

__all__ = ["codes", "encoded", "noise", "smooth"]


def noise(height: int = 90, width: int = 120, low: int = 0) -> np.ndarray:
    """Return a (height, width, 3) uint8 picture of independent values from `low`, the same at each call."""
    return np.random.default_rng(11).integers(low, 256, (height, width, 3)).astype(np.uint8)


def smooth(height: int = 300, width: int = 400) -> np.ndarray:
    """Return a picture whose red is half of x, green half of y, and blue a slow wave."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    wave = 128 + 100 * np.sin(x / 31) * np.cos(y / 23)
    return np.stack([x / 2, y / 2, wave], axis=2).round().astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return a picture's file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def codes(read: Chip | Photograph) -> list[str]:
    """Return the codes of the warnings."""
    return [warning.code for warning in read.warnings]
