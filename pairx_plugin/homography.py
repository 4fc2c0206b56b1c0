"""Seeded RANSAC homography between two point sets, on NumPy alone.

Every hypothesis is solved in closed form from the triangles that four point pairs span, so that a thousand
hypotheses are a handful of array operations. The consensus of the best one is then refitted by least squares.

Source: Fischler and Bolles 1981 (RANSAC); Hartley and Zisserman, Multiple View Geometry, 2nd edition,
section 4.1 (four points), algorithm 4.2 (normalised linear fit), section 4.2.2 (transfer errors).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HomographyFit", "fit_homography", "transfer_distances"]

Floats = NDArray[np.float64]

N_SAMPLES = 5000  # enough for 0.999 confidence at four fifths of outliers
_CHUNK = 500
_CONFIDENCE = 0.999
_REACH = 1.5  # thresholds
_LAST_ROUNDS = 10
_FLAT = 1e-6  # a triangle below this share of the squared extent counts as a line
_HORIZON = 1e-9  # homogeneous weight at or below which a point has no finite image


@dataclass(frozen=True, kw_only=True, eq=False)
class HomographyFit:
    """A homography and what agrees with it.

    Attributes:
        matrix: (3, 3) float64, maps points_0 to points_1, Frobenius norm 1, weight positive on the inliers.
        inlier: (n,) bool, True where the transfer distance is at most the threshold.
        distances: (n,) float64 >= 0, transfer distances in the unit of the points; inf beyond the horizon.
    """

    matrix: Floats
    inlier: NDArray[np.bool_]
    distances: Floats


def fit_homography(
    points_0: Floats,
    points_1: Floats,
    *,
    threshold: float,
    symmetric: bool,
    seed: int = 0,
    n_samples: int = N_SAMPLES,
) -> HomographyFit | None:
    """Find the homography from `points_0` to `points_1` that most pairs agree with.

    Args:
        points_0, points_1: (n, 2) finite float64 (x, y), pair by pair.
        threshold: largest transfer distance of an inlier, in the unit of the points.
        symmetric: measure the mean of the distances there and back instead of the distance in `points_1`.
        seed: of the sampling; every sample of four is tried where there are at most `n_samples` / 5 of them.
        n_samples: at most so many random samples; fewer once 0.999 confidence is reached.

    Returns:
        The fit, or None where no four pairs are in general position (fewer than four, collinear, coincident).
    """
    n = len(points_0)
    best: HomographyFit | None = None
    tried = 0
    for sample in _samples(n, n_samples, seed):
        tried += len(sample)
        hypotheses = _from_four(points_0[sample], points_1[sample], _flat(points_0), _flat(points_1))
        if not len(hypotheses):
            continue
        found = _best_of(hypotheses, points_0, points_1, threshold, symmetric)
        found = _refitted(found, points_0, points_1, threshold, symmetric)
        if best is None or _rank(found, threshold) > _rank(best, threshold):
            best = found
        if tried >= _needed(int(best.inlier.sum()), n):
            break
    return None if best is None else _polished(best, points_0, points_1, threshold, symmetric)


def transfer_distances(matrices: Floats, points_0: Floats, points_1: Floats, *, symmetric: bool) -> Floats:
    """Return how far each pair is from each homography.

    Args:
        matrices: (s, 3, 3), each with positive weight where it is meant to be used.
        points_0, points_1: (n, 2) (x, y).
        symmetric: mean of the distances there and back; else the distance in `points_1`.

    Returns:
        (s, n) float64, >= 0, inf where a point has no finite image.
    """
    forward = _distances(matrices, points_0, points_1)
    return (forward + _distances(_inverse(matrices), points_1, points_0)) / 2.0 if symmetric else forward


def _samples(n: int, n_samples: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield (s, 4) index arrays: every combination where they are few, else random ones chunk by chunk."""
    if n < 4:
        return
    if math.comb(n, 4) <= n_samples // 5:
        yield np.array(list(itertools.combinations(range(n), 4)), dtype=np.intp)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, n_samples, _CHUNK):
        # a repeated index makes a flat triangle, which _from_four drops
        yield rng.integers(n, size=(min(_CHUNK, n_samples - start), 4)).astype(np.intp)


def _needed(n_inliers: int, n: int) -> float:
    """Return how many samples find a consensus of that size with the confidence asked for."""
    share = (n_inliers / n) ** 4
    return 0.0 if share >= 1.0 else math.log(1.0 - _CONFIDENCE) / math.log1p(-share)


def _flat(points: Floats) -> float:
    extent = float(np.ptp(points, axis=0).max())
    return _FLAT * extent * extent


def _from_four(points_0: Floats, points_1: Floats, flat_0: float, flat_1: float) -> Floats:
    """Solve (s, 4, 2) samples in closed form, leaving out the degenerate ones: (at most s, 3, 3).

    A sample is kept where no three of its points are collinear and its four triangles all keep or all change
    their orientation; otherwise the line at infinity would cross the quadrilateral.
    """
    area_0, area_1 = _triangles(points_0), _triangles(points_1)
    turn = np.sign(area_0) * np.sign(area_1)
    keep = (np.abs(area_0).min(axis=1) > flat_0) & (np.abs(area_1).min(axis=1) > flat_1)
    keep &= np.abs(turn.sum(axis=1)) == 4.0
    area_0, area_1 = area_0[keep], area_1[keep]
    weight = (area_1[:, :3] / area_1[:, 3:]) / (area_0[:, :3] / area_0[:, 3:])
    base_0, base_1 = _homogeneous(points_0[keep, :3]), _homogeneous(points_1[keep, :3])
    rows = _crosses(base_0) / area_0[:, 3, None, None]  # inverse of the matrix whose columns are the points
    matrices: Floats = np.matmul(np.swapaxes(base_1 * weight[:, :, None], 1, 2), rows)
    return matrices


def _triangles(four: Floats) -> Floats:
    """Return twice the signed areas (s, 4): the fourth point in place of each of three, then those three."""
    a, b, c, d = (four[:, i] for i in range(4))
    corners = ((d, b, c), (a, d, c), (a, b, d), (a, b, c))
    areas = [
        (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])
        for p, q, r in corners
    ]
    return np.stack(areas, axis=1)


def _crosses(rows: Floats) -> Floats:
    """Return the cross products of rows 2x3, 3x1 and 1x2 of (s, 3, 3)."""
    return np.stack([np.cross(rows[:, (i + 1) % 3], rows[:, (i + 2) % 3]) for i in range(3)], axis=1)


def _inverse(matrices: Floats) -> Floats:
    """Invert (s, 3, 3) up to a positive factor, which keeps the sign of the weights; never raises."""
    adjugate = np.swapaxes(_crosses(matrices), 1, 2)
    determinant = np.einsum("sij,sji->s", matrices, adjugate)
    inverse: Floats = adjugate * np.where(determinant < 0.0, -1.0, 1.0)[:, None, None]
    return inverse


def _scaled(matrices: Floats) -> Floats:
    """Divide each of (s, 3, 3) by its largest entry, so that a weight can be called small."""
    largest = np.abs(matrices).max(axis=(1, 2), keepdims=True)
    scaled: Floats = matrices / np.maximum(largest, np.finfo(float).tiny)
    return scaled


def _homogeneous(points: Floats) -> Floats:
    return np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)


def _distances(matrices: Floats, source: Floats, target: Floats) -> Floats:
    mapped = (_scaled(matrices).reshape(-1, 3) @ _homogeneous(source).T).reshape(-1, 3, len(source))
    weight = mapped[:, 2]
    beyond = weight <= _HORIZON
    safe = np.where(beyond, 1.0, weight)
    squared = (mapped[:, 0] / safe - target[:, 0]) ** 2 + (mapped[:, 1] / safe - target[:, 1]) ** 2
    return np.where(beyond, np.inf, np.sqrt(squared))


def _best_of(
    hypotheses: Floats, points_0: Floats, points_1: Floats, threshold: float, symmetric: bool
) -> HomographyFit:
    distances = transfer_distances(hypotheses, points_0, points_1, symmetric=symmetric)
    inlier = distances <= threshold
    # most inliers; among equals the closest ones, whose mean squared share of the threshold is below one
    closeness = (np.where(inlier, distances / threshold, 0.0) ** 2).sum(axis=1) / (len(points_0) + 1)
    first = int(np.argmax(inlier.sum(axis=1) - closeness))
    matrix = hypotheses[first] / np.linalg.norm(hypotheses[first])
    return HomographyFit(matrix=matrix, inlier=inlier[first], distances=distances[first])


def _rank(fit: HomographyFit, threshold: float) -> float:
    near = fit.distances[fit.inlier] / threshold
    return float(fit.inlier.sum()) - float((near**2).sum()) / (len(fit.inlier) + 1)


def _polished(
    fit: HomographyFit, points_0: Floats, points_1: Floats, threshold: float, symmetric: bool
) -> HomographyFit:
    for _ in range(_LAST_ROUNDS):
        better = _refitted(fit, points_0, points_1, threshold, symmetric)
        if better is fit:
            break
        fit = better
    return fit


def _refitted(
    fit: HomographyFit, points_0: Floats, points_1: Floats, threshold: float, symmetric: bool
) -> HomographyFit:
    """Return a least-squares fit that more pairs agree with, or that they are closer to; else `fit` itself.

    Pairs a little beyond the threshold take part at first: a pose from four noisy pairs is a little off, and
    misses pairs that belong to it.
    """
    for reach in (_REACH, 1.0):
        near = fit.distances <= reach * threshold
        if near.sum() < 4:
            break
        matrix = _least_squares(points_0[near], points_1[near])
        distances = transfer_distances(matrix[None], points_0, points_1, symmetric=symmetric)[0]
        again = HomographyFit(matrix=matrix, inlier=distances <= threshold, distances=distances)
        if _rank(again, threshold) > _rank(fit, threshold):
            return again
    return fit


def _least_squares(points_0: Floats, points_1: Floats) -> Floats:
    """Return the normalised linear least-squares homography of four or more pairs."""
    frame_0, frame_1 = _frame(points_0), _frame(points_1)
    p = _homogeneous(points_0) @ frame_0.T
    q = _homogeneous(points_1) @ frame_1.T
    zeros = np.zeros_like(p)
    in_x = np.concatenate([p, zeros, -q[:, :1] * p], axis=1)
    in_y = np.concatenate([zeros, p, -q[:, 1:2] * p], axis=1)
    # the row of zeros lets four pairs, eight equations, yield their ninth singular vector without a full U
    system = np.concatenate([in_x, in_y, np.zeros((1, 9))])
    solution = np.linalg.svd(system, full_matrices=False)[2][-1].reshape(3, 3)
    matrix = np.linalg.solve(frame_1, solution) @ frame_0
    weight = _homogeneous(points_0) @ matrix[2]
    matrix = -matrix if np.median(weight) < 0.0 else matrix
    normalised: Floats = matrix / np.linalg.norm(matrix)
    return normalised


def _frame(points: Floats) -> Floats:
    """Return the (3, 3) map that brings `points` to mean 0 and mean distance sqrt(2)."""
    centre = points.mean(axis=0)
    spread = float(np.linalg.norm(points - centre, axis=1).mean())
    scale = math.sqrt(2.0) / spread if spread > 0.0 else 1.0
    return np.array([[scale, 0.0, -scale * centre[0]], [0.0, scale, -scale * centre[1]], [0.0, 0.0, 1.0]])
