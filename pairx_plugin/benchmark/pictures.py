"""Pictures to measure with: drawn from a seed, no file needed, and with places that do match."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["Pictures"]

Picture = NDArray[np.uint8]

# Cells across the canvas and the strength of each octave: soft blotches with finer marks on them.
_OCTAVES = ((7, 100.0), (19, 70.0), (47, 45.0), (111, 25.0))
_MARGIN = 1.3  # the canvas is larger than the picture, so that a turned view has no empty corners
# Small movements, shifts by whole cells of the usual strides: a network of drawn weights knows no turned coat again,
# and with next to no matches there would be next to nothing to explain.
_MAX_TURN, _MAX_ZOOM, _MAX_SHIFT, _CELL = 0.03, 0.02, 0.08, 16


class Pictures:
    """A query and its candidates, (H, W, 3) uint8 RGB, the same for the same seed on every machine.

    Candidates show the query's coat from elsewhere: turned, shifted, scaled and in other light. On those of odd index
    another coat covers the right half.

    Args:
        seed: other seeds give other coats.
        size: (height, width) in pixels.
    """

    def __init__(self, seed: int, size: tuple[int, int]) -> None:
        self._seed, self._size = seed, size

    def query(self) -> Picture:
        """Return the query."""
        return self._view(self._coat(0), None)

    def candidate(self, index: int) -> Picture:
        """Return a candidate by its place in the ranking, from 0."""
        seen = self._view(self._coat(0), np.random.default_rng((self._seed, 1, index)))
        if index % 2:
            half = seen.shape[1] // 2
            seen[:, half:] = self._view(self._coat(index), None)[:, half:]
        return seen

    def candidates(self, n: int) -> list[Picture]:
        """Return the first `n` candidates."""
        return [self.candidate(index) for index in range(n)]

    def _coat(self, number: int) -> Image.Image:
        rng = np.random.default_rng((self._seed, 2, number))
        height, width = (round(side * _MARGIN) for side in self._size)
        canvas = np.full((height, width, 3), 128.0)
        for cells, strength in _OCTAVES:
            for channel in range(3):
                coarse = Image.fromarray(rng.uniform(-strength, strength, (cells, cells)).astype(np.float32))
                canvas[..., channel] += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
        return Image.fromarray(canvas.clip(0, 255).astype(np.uint8))

    def _view(self, coat: Image.Image, rng: np.random.Generator | None) -> Picture:
        """Return the middle of a coat; from elsewhere and in other light where `rng` is given."""
        height, width = self._size
        turn, zoom, across, down, light = (0.0, 1.0, 0.0, 0.0, 1.0) if rng is None else _movement(rng, self._size)
        a, b = zoom * np.cos(turn), zoom * np.sin(turn)
        x, y = coat.width / 2 + across, coat.height / 2 + down
        inverse = (a, -b, x - a * width / 2 + b * height / 2, b, a, y - b * width / 2 - a * height / 2)
        seen = coat.transform((width, height), Image.Transform.AFFINE, inverse, Image.Resampling.BICUBIC)
        return (np.asarray(seen, np.float32) * light).clip(0, 255).astype(np.uint8)


def _movement(rng: np.random.Generator, size: tuple[int, int]) -> tuple[float, float, float, float, float]:
    """Return turn in radians, zoom, shift in pixels across and down, and brightness."""
    turn, zoom = rng.uniform(-_MAX_TURN, _MAX_TURN), 1.0 + rng.uniform(-_MAX_ZOOM, _MAX_ZOOM)
    down, across = (_CELL * round(rng.uniform(-_MAX_SHIFT, _MAX_SHIFT) * side / _CELL) for side in size)
    return turn, zoom, across, down, rng.uniform(0.75, 1.1)
