"""What pixels that are taken away are replaced with: blur, mean colour, noisy linear imputation (ROAD), white or grey.

Source: Rong et al., ICML 2022 (remove and debias), section 4.2, for the imputation and its weights; the evaluator of
Plummer et al., ECCV 2020 (SANE), for white and grey.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packages import scipy

__all__ = [
    "BLUR_SIGMA",
    "FILLS",
    "OWN_EXTREMES",
    "Fill",
    "Filled",
    "blurred",
    "fill_blur",
    "fill_grey",
    "fill_mean",
    "fill_road",
    "fill_white",
]

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Filled = Callable[[Mask], Pixels]
Fill = Callable[[Pixels, int], Filled]
"""From a picture and a seed to what it looks like with pixels missing."""

BLUR_SIGMA = 10.0  # pixels of the network's input
_WHITE, _GREY = 255, 127
_NOISE = 0.01  # of the range of a colour
_STRAIGHT, _SLANTING = 1.0 / 6.0, 1.0 / 12.0
_NEIGHBOURS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]


def blurred(picture: Pixels, sigma: float = BLUR_SIGMA) -> Pixels:
    """Return (H, W, 3) uint8 `picture` after a Gaussian blur of `sigma` pixels."""
    smoothed = scipy("ndimage").gaussian_filter(picture.astype(np.float64), sigma=(sigma, sigma, 0), mode="nearest")
    soft: Pixels = np.clip(np.rint(smoothed), 0, 255).astype(np.uint8)
    return soft


def fill_blur(picture: Pixels, seed: int = 0) -> Filled:
    """Replace missing pixels by those of the blurred picture."""
    soft = blurred(picture)
    return lambda missing: np.where(missing[..., None], soft, picture)


def fill_mean(picture: Pixels, seed: int = 0) -> Filled:
    """Replace missing pixels by the picture's mean colour."""
    colour = np.rint(picture.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    return lambda missing: np.where(missing[..., None], colour, picture)


def fill_road(picture: Pixels, seed: int = 0) -> Filled:
    """Replace missing pixels by weighted means of their neighbours, solved for all at once, with a little noise.

    A straight neighbour weighs 1/6 and a slanting one 1/12; at the border the weights that are left are scaled to one.
    Where everything is missing there is nothing to start from, and the mean colour is taken.
    """

    def filled(missing: Mask) -> Pixels:
        if missing.all():
            return fill_mean(picture)(missing)
        return _imputed(picture, missing, seed) if missing.any() else picture.copy()

    return filled


def _imputed(picture: Pixels, missing: Mask, seed: int) -> Pixels:
    sparse, solve = scipy("sparse"), scipy("sparse.linalg").spsolve
    height, width = missing.shape
    number = np.full(missing.shape, -1, dtype=np.int64)
    rows, cols = np.nonzero(missing)
    number[rows, cols] = np.arange(len(rows))
    totals, known = np.zeros(len(rows)), np.zeros((len(rows), 3))
    entries: list[tuple[Any, Any, Any]] = []
    for down, right in _NEIGHBOURS:
        weight = _STRAIGHT if down == 0 or right == 0 else _SLANTING
        row, col = rows + down, cols + right
        inside = np.flatnonzero((row >= 0) & (row < height) & (col >= 0) & (col < width))
        totals[inside] += weight
        neighbour = number[row[inside], col[inside]]
        missing_too = neighbour >= 0
        entries.append((inside[missing_too], neighbour[missing_too], np.full(int(missing_too.sum()), -weight)))
        seen = inside[~missing_too]
        known[seen] += weight * picture[row[seen], col[seen]]
    entries.append((np.arange(len(rows)), np.arange(len(rows)), totals))
    there, here, values = (np.concatenate([entry[index] for entry in entries]) for index in range(3))
    system = sparse.csc_matrix((values, (there, here)), shape=(len(rows), len(rows)))
    found = np.asarray(solve(system, known)).reshape(len(rows), 3)
    found += np.random.default_rng(seed).normal(0.0, _NOISE * 255.0, found.shape)
    filled = picture.copy()
    filled[rows, cols] = np.clip(np.rint(found), 0, 255).astype(np.uint8)
    return filled


def fill_white(picture: Pixels, seed: int = 0) -> Filled:
    """Replace missing pixels by white, as SANE's evaluator does on clothes."""
    return lambda missing: np.where(missing[..., None], np.uint8(_WHITE), picture)


def fill_grey(picture: Pixels, seed: int = 0) -> Filled:
    """Replace missing pixels by middle grey, as SANE's evaluator does on animals."""
    return lambda missing: np.where(missing[..., None], np.uint8(_GREY), picture)


FILLS: Mapping[str, Fill] = {
    "blur": fill_blur,
    "mean": fill_mean,
    "road": fill_road,
    "white": fill_white,
    "grey": fill_grey,
}
OWN_EXTREMES = ("white", "grey")
"""Fills whose curves are scaled as SANE's evaluator scales them, each to its own least and largest value."""
