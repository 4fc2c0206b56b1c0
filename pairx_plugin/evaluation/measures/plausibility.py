"""Section 4.1: plausibility figures of a pair, for pairs of one individual and for equally similar ones of two."""

from __future__ import annotations

import math

import numpy as np

from ...evidence import cell_points
from ..bench import Bench, Explained
from ..local_geometry import local_affine_residuals
from ..pair_choice import EvaluationPair
from ..variants import Variant
from .measured import Measured

__all__ = ["FIGURES", "measure_plausibility"]

FIGURES = ("irm_ref", "mc_ref", "irm_rob", "inlier_fraction", "inlier_excess", "mc_cov", "irm_local", "inliers_local")


def measure_plausibility(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return the figures, and what the explanation cost."""
    query, candidate = bench.pair(pair)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=bench.rivals(pair))
    measured = Measured()
    measured.details["doubts"] = sorted({doubt.code for doubt in found.evidence.doubts})
    measured.put("seconds", found.seconds)
    measured.put("forward_equivalents", found.seconds / bench.forward_seconds)
    figures = found.layer.plausibility
    if figures is None or not len(found.layer.matches):
        measured.drop(FIGURES, "NO_MATCHES")
        return measured
    few = "TOO_FEW_MATCHES"
    measured.put("irm_ref", figures.irm_ref, few)
    measured.put("mc_ref", figures.mc_ref)
    measured.put("irm_rob", figures.irm_rob, few)
    measured.put("inlier_fraction", figures.inlier_fraction, few)
    known = figures.n_inliers is not None and figures.n_chance is not None and figures.n_tested
    excess = (figures.n_inliers - figures.n_chance) / figures.n_tested if known else None  # type: ignore[operator]
    measured.put("inlier_excess", excess, few)
    measured.put("mc_cov", figures.match_coverage, "RELEVANCE_ZERO")
    _local(found, bench, measured, query.size, candidate.size)
    return measured


def _local(
    found: Explained, bench: Bench, measured: Measured, size_0: tuple[int, int], size_1: tuple[int, int]
) -> None:
    matches = found.leading(bench.plan.top_k)
    steps = [
        np.array([size[1] / grid[1], size[0] / grid[0]])
        for size, grid in ((size_0, found.layer.grid_0), (size_1, found.layer.grid_1))
    ]
    residuals = local_affine_residuals(
        cell_points(matches.cells_0, found.layer.grid_0, size_0) / steps[0],
        cell_points(matches.cells_1, found.layer.grid_1, size_1) / steps[1],
    )
    if residuals is None:
        measured.drop(("irm_local", "inliers_local"), "TOO_FEW_MATCHES")
        return
    middle = float(np.median(residuals))
    measured.put("irm_local", 1.0 / (1.0 + middle) if math.isfinite(middle) else 0.0)
    measured.put("inliers_local", float((residuals <= 1.0).mean()))
