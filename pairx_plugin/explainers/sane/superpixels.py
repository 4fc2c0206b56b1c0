"""Superpixels: patches of even colour, about as large as each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["superpixels"]

_SIDE = 112  # pixels of the grid that labels are found on; finer ones cost time and change no map
_ROUNDS = 5
_COMPACTNESS = 0.35  # how much nearness counts beside colour: a colour step of so much weighs as one patch's width


def superpixels(picture: NDArray[np.uint8], cells: int) -> NDArray[np.int64]:
    """Cut a picture into about `cells` x `cells` superpixels.

    k-means of colour and place, each middle competing for the pixels around it alone, which is the idea of SLIC
    (Achanta et al. 2012, doi:10.1109/TPAMI.2012.120); stray pixels are not joined to their neighbours, since a mask
    does not mind them.

    Args:
        picture: (H, W, 3) uint8 RGB.
        cells: on each axis, at least 1.

    Returns:
        (h, w) int64 labels 0, 1, ... without gaps, both sides at most 112.
    """
    colours, places = _samples(picture)
    h, w = colours.shape[:2]
    rows, columns = min(cells, h), min(cells, w)
    y, x = np.meshgrid((np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns, indexing="ij")
    middles = np.stack([y.ravel(), x.ravel()], 1)
    tones = colours[(middles[:, 0] * h).astype(int), (middles[:, 1] * w).astype(int)]
    reach = np.array([1.0 / rows, 1.0 / columns])
    labels = (np.arange(h) * rows // h)[:, None] * columns + (np.arange(w) * columns // w)[None, :]
    for _ in range(_ROUNDS):
        labels = _nearest(labels, colours, places, tones, middles, reach)
        flat = labels.ravel()
        middles = _means(flat, places.reshape(-1, 2), middles)
        tones = _means(flat, colours.reshape(-1, 3), tones)
    return np.unique(labels, return_inverse=True)[1].reshape(h, w).astype(np.int64)


def _samples(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return colours in [0, 1] and places (y, x) in [0, 1] of a grid of at most 112 x 112, averaged over blocks."""
    step_y, step_x = (max(1, -(-length // _SIDE)) for length in picture.shape[:2])
    h, w = picture.shape[0] // step_y, picture.shape[1] // step_x
    blocks = picture[: h * step_y, : w * step_x].reshape(h, step_y, w, step_x, 3)
    colours = blocks.mean((1, 3)) / 255.0
    y, x = np.meshgrid((np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w, indexing="ij")
    return colours, np.stack([y, x], 2)


def _nearest(
    before: NDArray[np.int64],
    colours: NDArray[np.float64],
    places: NDArray[np.float64],
    tones: NDArray[np.float64],
    middles: NDArray[np.float64],
    reach: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return each pixel's nearest middle of those around it; a pixel with none around stays where it was."""
    h, w = colours.shape[:2]
    best, labels = np.full((h, w), np.inf), before.copy()
    for index, (tone, middle) in enumerate(zip(tones, middles)):
        low = np.maximum(((middle - 1.5 * reach) * (h, w)).astype(int), 0)
        high = np.ceil((middle + 1.5 * reach) * (h, w)).astype(int) + 1
        window = slice(low[0], high[0]), slice(low[1], high[1])
        distance = np.square(colours[window] - tone).sum(2)
        distance += np.square((places[window] - middle) / reach * _COMPACTNESS).sum(2)
        nearer = distance < best[window]
        best[window][nearer] = distance[nearer]
        labels[window][nearer] = index
    return labels


def _means(
    labels: NDArray[np.int64], values: NDArray[np.float64], before: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of every label's values; one without any stays as it was."""
    sums = np.stack([np.bincount(labels, column, minlength=len(before)) for column in values.T], 1)
    counts = np.bincount(labels, minlength=len(before))[:, None]
    return np.where(counts > 0, sums / np.maximum(counts, 1), before)
