"""How far matches end from where they should, where the true place is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["errors", "grid_ceiling", "pck"]

Floats = NDArray[np.float64]


def errors(ends: ArrayLike, true_ends: ArrayLike) -> Floats:
    """Return (n,) distances in pixels, NaN where the true end is not known.

    Args:
        ends, true_ends: (n, 2) (x, y).
    """
    apart: Floats = np.linalg.norm(
        np.asarray(ends, np.float64).reshape(-1, 2) - np.asarray(true_ends, np.float64).reshape(-1, 2), axis=1
    )
    return apart


def pck(distances: ArrayLike, size: tuple[int, int], share: float) -> float | None:
    """Return the share of correct keypoints: distances of at most `share` of the picture's longer side.

    Distances that are NaN are left out; None where none is left.

    >>> pck([10.0, 30.0, float("nan")], (200, 100), 0.1)
    0.5
    """
    known = np.asarray(distances, np.float64)
    known = known[~np.isnan(known)]
    return float((known <= share * max(size)).mean()) if len(known) else None


def grid_ceiling(true_ends: ArrayLike, grid: tuple[int, int], size: tuple[int, int], share: float) -> float | None:
    """Return the best :func:`pck` that matches to centres of a grid's cells can reach.

    Args:
        true_ends: (n, 2) (x, y); NaN and points outside of the picture are left out.
        grid: (rows, cols) of the feature map that the ends lie in.
        size: (height, width) of the picture.
    """
    points = np.asarray(true_ends, np.float64).reshape(-1, 2)
    inside = np.isfinite(points).all(axis=1) & (points >= 0).all(axis=1)
    inside &= (np.nan_to_num(points) <= (size[1], size[0])).all(axis=1)
    points = points[inside]
    step = np.array([size[1] / grid[1], size[0] / grid[0]])
    cell = np.clip(np.floor(points / step), 0, np.array([grid[1], grid[0]]) - 1)
    return pck(errors((cell + 0.5) * step, points), size, share)
