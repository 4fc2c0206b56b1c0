"""Comparing relevance maps and match lists: pure functions on arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .packages import scipy

__all__ = ["displacements", "mass_share", "match_jaccard", "resample", "sample_at", "spearman"]

Floats = NDArray[np.float64]


def spearman(first: ArrayLike, second: ArrayLike) -> float | None:
    """Return the rank correlation of two maps of one shape, or None where one of them is constant.

    >>> spearman([[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]])
    1.0
    """
    a, b = np.asarray(first, np.float64).ravel(), np.asarray(second, np.float64).ravel()
    if len(a) < 3 or np.ptp(a) == 0.0 or np.ptp(b) == 0.0:
        return None
    return round(float(scipy("stats").spearmanr(a, b)[0]), 12)


def resample(values: ArrayLike, size: tuple[int, int]) -> Floats:
    """Resize a map bilinearly between cell centres to (rows, cols); edges repeat.

    >>> resample([[0.0, 1.0]], (1, 4)).tolist()
    [[0.0, 0.25, 0.75, 1.0]]
    """
    array = np.asarray(values, np.float64)
    across: Floats = _weights(array.shape[0], size[0]) @ array @ _weights(array.shape[1], size[1]).T
    return across


def _weights(n_in: int, n_out: int) -> Floats:
    place = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0.0, n_in - 1.0)
    first = np.minimum(place.astype(int), max(n_in - 2, 0))
    weights = np.zeros((n_out, n_in))
    rows = np.arange(n_out)
    weights[rows, first] += 1.0 - (place - first)
    weights[rows, np.minimum(first + 1, n_in - 1)] += place - first
    return weights


def sample_at(values: ArrayLike, points: ArrayLike, size: tuple[int, int]) -> Floats:
    """Return a map's values at points, bilinear between cell centres, edges repeated.

    Args:
        values: (h, w).
        points: (n, 2) (x, y) in pixels of a picture that the map covers.
        size: (height, width) of that picture.

    Returns:
        (n,) values.
    """
    array, places = np.asarray(values, np.float64), np.asarray(points, np.float64)
    rows, cols = array.shape
    x = np.clip(places[:, 0] * cols / size[1] - 0.5, 0.0, cols - 1.0)
    y = np.clip(places[:, 1] * rows / size[0] - 0.5, 0.0, rows - 1.0)
    left, top = np.minimum(x.astype(int), max(cols - 2, 0)), np.minimum(y.astype(int), max(rows - 2, 0))
    right, bottom = np.minimum(left + 1, cols - 1), np.minimum(top + 1, rows - 1)
    across, down = x - left, y - top
    upper = array[top, left] * (1 - across) + array[top, right] * across
    lower = array[bottom, left] * (1 - across) + array[bottom, right] * across
    sampled: Floats = upper * (1 - down) + lower * down
    return sampled


def match_jaccard(
    cells_0: tuple[ArrayLike, ArrayLike], cells_1: tuple[ArrayLike, ArrayLike], *, tolerance: int = 1
) -> float | None:
    """Return how much two lists of matches share, as intersection over union.

    Args:
        cells_0, cells_1: of each list, its (n, 2) cells in the query and in the candidate.
        tolerance: two matches are the same if both ends are at most so many cells apart in rows and in columns.

    Returns:
        In [0, 1]; None where both lists are empty.
    """
    first = np.concatenate([np.asarray(part, int).reshape(-1, 2) for part in cells_0], axis=1)
    second = np.concatenate([np.asarray(part, int).reshape(-1, 2) for part in cells_1], axis=1)
    if not len(first) and not len(second):
        return None
    near = (np.abs(first[:, None] - second[None]) <= tolerance).all(axis=2)
    common = min(int(near.any(axis=1).sum()), int(near.any(axis=0).sum())) if near.size else 0
    return common / (len(first) + len(second) - common)


def displacements(cells_0: ArrayLike, cells_1: ArrayLike) -> Floats:
    """Return how many cells apart the two ends of each match are, (n,), for two maps of one grid."""
    apart: Floats = np.linalg.norm(
        np.asarray(cells_0, np.float64).reshape(-1, 2) - np.asarray(cells_1, np.float64).reshape(-1, 2), axis=1
    )
    return apart


def mass_share(values: ArrayLike, mask: ArrayLike) -> float | None:
    """Return the share of a map's positive mass that lies in a region; None where the map has no positive mass.

    Args:
        values: (h, w), any grid; resized to the mask bilinearly.
        mask: (H, W) bool.
    """
    region = np.asarray(mask, dtype=bool)
    positive = resample(np.maximum(np.asarray(values, np.float64), 0.0), (region.shape[0], region.shape[1]))
    total = float(positive.sum())
    return float(positive[region].sum()) / total if total > 0.0 else None
