"""Whether links agree with their neighbours, for bodies that bend, which no single homography fits."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["local_affine_residuals"]

Floats = NDArray[np.float64]

N_NEIGHBOURS = 6
_FLAT = 0.02  # a triangle whose area is below this share of its longest side squared predicts nothing


def local_affine_residuals(points_0: ArrayLike, points_1: ArrayLike) -> Floats | None:
    """Return how far each link ends from where its neighbours would have it end.

    Every three of a link's six nearest neighbours in the first picture give an affine map; the link's end is predicted
    by each of the maps, and the residual is the distance to the median prediction. Up to a third of wrong neighbours do
    no harm, and no neighbour's error is spread over the picture.

    Args:
        points_0, points_1: (n, 2) in units of the grid step, link by link.

    Returns:
        (n,) residuals >= 0, inf where all neighbours lie on a line; None for fewer than seven links.
    """
    here, there = np.asarray(points_0, np.float64), np.asarray(points_1, np.float64)
    n = len(here)
    if n <= N_NEIGHBOURS:
        return None
    triples = np.array(list(combinations(range(N_NEIGHBOURS), 3)))
    residuals = np.full(n, np.inf)
    for index in range(n):
        distances = np.linalg.norm(here - here[index], axis=1)
        distances[index] = np.inf
        near = np.argsort(distances, kind="stable")[:N_NEIGHBOURS]
        predicted = _predictions(here[near][triples], there[near][triples], here[index])
        if len(predicted):
            residuals[index] = np.linalg.norm(np.median(predicted, axis=0) - there[index])
    return residuals


def _predictions(corners_0: Floats, corners_1: Floats, point: Floats) -> Floats:
    """Map `point` by the affine map of each of (t, 3, 2) triangles; flat triangles are left out."""
    edges = corners_0[:, 1:] - corners_0[:, :1]
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    longest = (np.linalg.norm(corners_0 - np.roll(corners_0, 1, axis=1), axis=2) ** 2).max(axis=1)
    usable = np.abs(area) > _FLAT * np.maximum(longest, np.finfo(float).tiny)
    offset = (point - corners_0[usable, 0])[:, None, :]
    weights = np.matmul(offset, np.linalg.inv(edges[usable]))
    moved: Floats = corners_1[usable, 0] + np.matmul(weights, corners_1[usable, 1:] - corners_1[usable, :1])[:, 0]
    return moved
