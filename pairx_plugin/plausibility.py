"""Figures that say whether the matches of one layer are geometrically plausible.

Two families stand side by side: `irm_ref` and `mc_ref` as WildMe defines them, kept for parity, and robust
versions in units of the feature grid. A pose that many matches share is evidence, never proof: bodies bend,
and a few random matches always agree on some pose, so the count that chance gives stands beside that found.

Source: Shrack et al., arXiv 2503.22881 (inverted residual mean, match coverage); WildMeOrg/pairx, branch
pairx-reranking-scoring (the definitions behind `irm_ref` and `mc_ref`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import EvidenceError
from .homography import fit_homography

__all__ = ["MIN_TESTED", "Plausibility", "Reason", "assess"]

Floats = NDArray[np.float64]

REF_THRESHOLD_PX = 5.0
REF_TOP = 20  # matches in mc_ref
ROB_THRESHOLD_STEPS = 1.0
MIN_TESTED = 8  # fewer matches agree on some homography whatever they show
COVERAGE_SHARE = 0.1  # of the cells of a side
MAX_COORDINATE = 1e6
N_SHUFFLES = 5
SHUFFLE_SAMPLES = 500
CHANCE_FACTOR = 1.5  # a pose is called consistent from so many times the best of the shuffles


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a figure is what it is, or missing.

    Attributes:
        code: NO_MATCHES, TOO_FEW_MATCHES, POSE_CONSISTENT, POSE_AS_BY_CHANCE, DEGENERATE_GEOMETRY or
            RELEVANCE_ZERO.
        values: the numbers that belong to the code.
    """

    code: str
    values: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return {"code", "values"} of plain types."""
        return {"code": self.code, "values": dict(self.values)}


@dataclass(frozen=True, kw_only=True)
class Plausibility:
    """Plausibility figures of one layer's matches; None where a figure is not defined.

    Attributes:
        irm_ref: 1 / (1 + mean reprojection distance in input pixels over all matches), in (0, 1].
        mc_ref: mean relevance product of the 20 most relevant matches; unit of relevance squared.
        irm_rob: 1 / (1 + median symmetric transfer distance of the tested matches in grid steps), in [0, 1].
        inlier_fraction: share of the tested matches within one grid step of one homography, in [0, 1].
        n_inliers: their number.
        n_chance: the most inliers found when the same points are paired at random.
        n_tested: how many of the most relevant matches were tested.
        n_matches: how many there are.
        match_coverage: mean over the sides of the share of relevance that lies on matched cells, in [0, 1].
        inlier: per tested match, most relevant first; None where no homography could be fitted.
        reasons: what stands behind the figures.
    """

    irm_ref: float | None
    mc_ref: float | None
    irm_rob: float | None
    inlier_fraction: float | None
    n_inliers: int | None
    n_chance: int | None
    n_tested: int
    n_matches: int
    match_coverage: float | None
    inlier: tuple[bool | None, ...]
    reasons: tuple[Reason, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain types; no NaN and no infinity."""
        record = {field.name: getattr(self, field.name) for field in fields(self)}
        reasons = [reason.to_json() for reason in self.reasons]
        return {**record, "inlier": list(self.inlier), "reasons": reasons}


def assess(
    *,
    points_0: ArrayLike,
    points_1: ArrayLike,
    relevance: ArrayLike,
    relevance_map_0: ArrayLike,
    relevance_map_1: ArrayLike,
    cells_0: ArrayLike,
    cells_1: ArrayLike,
    grid_step: ArrayLike,
    k: int = 20,
    seed: int = 0,
) -> Plausibility:
    """Assess the matches of one layer, all sorted with the most relevant first.

    Args:
        points_0, points_1: (n, 2) (x, y) in network-input pixels, pair by pair.
        relevance: (n,) relevance product of each match, >= 0.
        relevance_map_0, relevance_map_1: (h, w) relevance of each side, >= 0, any scale.
        cells_0, cells_1: (n, 2) int (row, col) of each match in the map of its side.
        grid_step: (step_x, step_y) in network-input pixels; or one such row for each side, (2, 2).
        k: how many of the most relevant matches the robust figures test.
        seed: of the sampling; the same input and seed give the same figures.

    Returns:
        The figures. Too few, collinear or no matches and all-zero maps give None and a reason.

    Raises:
        EvidenceError: arrays do not fit together, are not finite, or cells lie outside of their map.
    """
    points = (_points(points_0, "points_0"), _points(points_1, "points_1"))
    products = _finite(relevance, "relevance", 1)
    n = len(products)
    maps = (_relevance_map(relevance_map_0, "relevance_map_0"),
            _relevance_map(relevance_map_1, "relevance_map_1"))
    cells = (_cells(cells_0, "cells_0", maps[0]), _cells(cells_1, "cells_1", maps[1]))
    _same_length(n, points_0=points[0], points_1=points[1], cells_0=cells[0], cells_1=cells[1])
    if k < 1:
        raise EvidenceError(f"k is {k}; test at least 1 match, {MIN_TESTED} or more to learn anything")
    steps = _steps(grid_step)

    reasons = [] if n else [Reason(code="NO_MATCHES", values={})]
    coverage = _match_coverage(maps, cells, reasons)
    return Plausibility(
        irm_ref=_irm_ref(*points, seed=seed),
        mc_ref=float((products[:REF_TOP] / min(n, REF_TOP)).sum()) if n else None,
        match_coverage=coverage,
        n_matches=n,
        **_pose(points[0][:k] / steps[0], points[1][:k] / steps[1], seed, reasons),
        reasons=tuple(reasons),
    )


def _irm_ref(points_0: Floats, points_1: Floats, *, seed: int) -> float | None:
    fit = fit_homography(points_0, points_1, threshold=REF_THRESHOLD_PX, symmetric=False, seed=seed)
    if fit is None:
        return None
    mapped = np.concatenate([points_0, np.ones((len(points_0), 1))], axis=1) @ fit.matrix.T
    weight = mapped[:, 2:]
    # points behind the horizon are divided like all others, and weight 0 maps to the origin, as in OpenCV,
    # with which the reference measures its residuals
    usable = np.abs(weight) > np.finfo(float).eps
    image = np.where(usable, mapped[:, :2] / np.where(usable, weight, 1.0), 0.0)
    return float(1.0 / (1.0 + np.linalg.norm(image - points_1, axis=1).mean()))


def _pose(points_0: Floats, points_1: Floats, seed: int, reasons: list[Reason]) -> dict[str, Any]:
    """Return the robust figures of points in grid steps, and append the reasons for them."""
    n = len(points_0)
    missing: dict[str, Any] = dict.fromkeys(("irm_rob", "inlier_fraction", "n_inliers", "n_chance"))
    missing |= {"n_tested": n, "inlier": (None,) * n}
    if n < MIN_TESTED:
        reasons.append(Reason(code="TOO_FEW_MATCHES", values={"n": n, "needed": MIN_TESTED}))
        return missing
    fit = fit_homography(points_0, points_1, threshold=ROB_THRESHOLD_STEPS, symmetric=True, seed=seed)
    if fit is None:
        reasons.append(Reason(code="DEGENERATE_GEOMETRY", values={"n": n}))
        return missing
    n_inliers = int(fit.inlier.sum())
    n_chance = _n_chance(points_0, points_1, seed)
    code = "POSE_CONSISTENT" if n_inliers >= CHANCE_FACTOR * n_chance else "POSE_AS_BY_CHANCE"
    reasons.append(Reason(code=code, values={"n": n_inliers, "of": n, "by_chance": n_chance}))
    return {
        "irm_rob": float(1.0 / (1.0 + np.median(fit.distances))),
        "inlier_fraction": n_inliers / n,
        "n_inliers": n_inliers,
        "n_chance": n_chance,
        "n_tested": n,
        "inlier": tuple(bool(flag) for flag in fit.inlier),
    }


def _n_chance(points_0: Floats, points_1: Floats, seed: int) -> int:
    """Return the most inliers over a few random pairings of the same points."""
    rng = np.random.default_rng([seed, 1])  # a stream apart from the sampling's
    found = 0
    for shuffle in range(N_SHUFFLES):
        fit = fit_homography(
            points_0,
            rng.permutation(points_1),
            threshold=ROB_THRESHOLD_STEPS,
            symmetric=True,
            seed=seed + shuffle,
            n_samples=SHUFFLE_SAMPLES,
        )
        found = max(found, int(fit.inlier.sum()) if fit else 0)
    return found


def _match_coverage(
    maps: tuple[Floats, Floats], cells: tuple[NDArray[np.intp], NDArray[np.intp]], reasons: list[Reason]
) -> float | None:
    shares = []
    for side in (0, 1):
        # divided by the largest value first, so that the sum cannot overflow
        values = maps[side] / max(float(maps[side].max()), np.finfo(float).tiny)
        total = float(values.sum())
        if total <= 0.0:
            reasons.append(Reason(code="RELEVANCE_ZERO", values={"side": side}))
            continue
        top = cells[side][: math.ceil(COVERAGE_SHARE * values.size)]
        matched = np.zeros(values.shape, dtype=bool)  # a cell counts once, however many matches end in it
        matched[top[:, 0], top[:, 1]] = True
        shares.append(float(values[matched].sum()) / total)
    return min(1.0, sum(shares) / 2.0) if len(shares) == 2 else None


def _finite(value: ArrayLike, name: str, rank: int) -> Floats:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise EvidenceError(f"{name} is not an array of numbers: {error}") from error
    if array.ndim != rank:
        raise EvidenceError(f"{name} has shape {array.shape}; it must have rank {rank}")
    if not np.isfinite(array).all():
        n_bad = int((~np.isfinite(array)).sum())
        raise EvidenceError(f"{name} holds {n_bad} values that are not finite; check the network's output")
    return array


def _table(value: ArrayLike, name: str) -> Floats:
    array = _finite(value, name, 2) if np.size(value) else np.zeros((0, 2))
    if array.shape[1] != 2:
        raise EvidenceError(f"{name} has shape {array.shape}; (n, 2) needed")
    return array


def _points(value: ArrayLike, name: str) -> Floats:
    array = _table(value, name)
    if (np.abs(array) > MAX_COORDINATE).any():
        raise EvidenceError(f"{name} reaches {np.abs(array).max():g} px; at most {MAX_COORDINATE:g} would do")
    return array


def _relevance_map(value: ArrayLike, name: str) -> Floats:
    array = _finite(value, name, 2)
    if array.size == 0 or float(array.min()) < 0.0:
        raise EvidenceError(
            f"{name} of shape {array.shape} is empty or has values below 0; "
            "reduce the channels to a map >= 0 first, for example with sum_abs"
        )
    return array


def _cells(value: ArrayLike, name: str, relevance_map: Floats) -> NDArray[np.intp]:
    array = _table(value, name)
    if (array < 0).any() or (array >= relevance_map.shape).any() or (array != np.floor(array)).any():
        raise EvidenceError(f"{name} must hold whole (row, col) inside of its map of {relevance_map.shape}")
    return array.astype(np.intp)


def _same_length(n: int, **arrays: NDArray[Any]) -> None:
    lengths = {"relevance": n, **{name: len(array) for name, array in arrays.items()}}
    if len(set(lengths.values())) > 1:
        raise EvidenceError(f"one row for each match needed, got {lengths}")


def _steps(grid_step: ArrayLike) -> Floats:
    steps = np.asarray(grid_step, dtype=np.float64)
    if steps.shape not in {(2,), (2, 2)} or not np.isfinite(steps).all() or (steps <= 0.0).any():
        raise EvidenceError(f"grid_step is {grid_step!r}; give (step_x, step_y) > 0 in px, or a row per side")
    return np.broadcast_to(steps, (2, 2))
