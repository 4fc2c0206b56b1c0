"""Insertion and deletion: how the similarity follows when pixels come or go in the order of a map.

Source: Petsiuk et al., BMVC 2018 (insertion, deletion); section 4.2 of the evaluation protocol for the scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .fills import Fill
from .map_agreement import resample

__all__ = ["LEAST_RANGE", "Curves", "area", "insertion_deletion", "pixel_ranks", "scaled", "stretched"]

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

LEAST_RANGE = 0.05  # below it the curve would be noise blown up
_FLAT = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Curves:
    """Similarities along insertion and deletion.

    Attributes:
        shares: (t,) share of the pixels that came or went, 0 to 1.
        insertion, deletion: (t,) cosines.
        whole, bare: cosine of the untouched picture and of the one with every pixel replaced.
    """

    shares: Floats
    insertion: Floats
    deletion: Floats
    whole: float
    bare: float


def pixel_ranks(values: ArrayLike, size: tuple[int, int], *, seed: int = 0) -> NDArray[np.intp]:
    """Return each pixel's place in the order of a map, 0 for the largest value.

    Args:
        values: (h, w) map of any grid, resized bilinearly.
        size: (height, width).
        seed: of the order among equals, so that a constant map removes pixels at random and not from the top.
    """
    fine = resample(values, size).ravel()
    order = np.lexsort((np.random.default_rng(seed).permutation(fine.size), -fine))
    ranks = np.empty(fine.size, dtype=np.intp)
    ranks[order] = np.arange(fine.size)
    return ranks.reshape(size)


def insertion_deletion(
    picture: Pixels,
    values: ArrayLike,
    fill: Fill,
    score: Callable[[Sequence[Pixels]], Floats],
    *,
    n_steps: int,
    seed: int = 0,
) -> Curves:
    """Take pixels away, and bring them back, from the most relevant on.

    Args:
        picture: (H, W, 3) uint8.
        values: its relevance map, any grid.
        fill: what stands in for a missing pixel.
        score: cosines of pictures with the partner, which stays as it is.
        n_steps: steps from none to all pixels.
    """
    height, width = picture.shape[:2]
    ranks = pixel_ranks(values, (height, width), seed=seed)
    shares = np.linspace(0.0, 1.0, n_steps + 1)
    filled = fill(picture, seed)
    deleted = [filled(ranks < round(share * ranks.size)) for share in shares]
    inserted = [filled(ranks >= round(share * ranks.size)) for share in shares]
    found = score([*deleted, *inserted])
    deletion, insertion = found[: n_steps + 1], found[n_steps + 1 :]
    return Curves(
        shares=shares, insertion=insertion, deletion=deletion, whole=float(deletion[0]), bare=float(deletion[-1])
    )


def scaled(values: ArrayLike, whole: float, bare: float) -> Floats | None:
    """Return (f - bare) / (whole - bare): 1 for the untouched picture, 0 for the bare one; None below the least range.

    >>> scaled([0.2, 0.5, 0.8], 0.8, 0.2).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    if abs(whole - bare) < LEAST_RANGE:
        return None
    return (np.asarray(values, np.float64) - bare) / (whole - bare)


def stretched(values: ArrayLike) -> Floats | None:
    """Return a curve scaled to its own least and largest value, as SANE's evaluator does; None for a flat one.

    A curve that hardly moves looks like one that does, so this is for comparing with figures that were made so.

    >>> stretched([0.50, 0.51, 0.52]).round(6).tolist()
    [0.0, 0.5, 1.0]
    """
    numbers = np.asarray(values, np.float64)
    spread = float(numbers.max() - numbers.min())
    return (numbers - numbers.min()) / spread if spread > _FLAT else None


def area(shares: ArrayLike, values: ArrayLike) -> float:
    """Return the area under a curve by the trapezium rule.

    >>> area([0.0, 0.5, 1.0], [0.0, 1.0, 1.0])
    0.75
    """
    x, y = np.asarray(shares, np.float64), np.asarray(values, np.float64)
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2.0).sum())
