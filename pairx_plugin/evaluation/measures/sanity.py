"""Section 4.3: an explanation must depend on the network, on the partner, and find a picture in itself."""

from __future__ import annotations

import numpy as np

from ..bench import Bench, Explained
from ..map_agreement import displacements, match_jaccard, spearman
from ..pair_choice import EvaluationPair
from ..variants import Variant
from .measured import Measured

__all__ = ["measure_sanity"]


def measure_sanity(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return cascading randomisation, pair sensitivity beside seed noise, and identity."""
    query, candidate = bench.pair(pair)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=bench.rivals(pair))
    measured = Measured()
    _randomisation(bench, variant, pair, found, measured)
    _pair_sensitivity(bench, variant, pair, found, measured)
    _identity(bench, variant, pair, measured)
    return measured


def _randomisation(
    bench: Bench, variant: Variant, pair: EvaluationPair, found: Explained, measured: Measured
) -> None:
    query, candidate = bench.pair(pair)
    by_depth: list[list[float | None]] = []
    for depth in bench.plan.depths:
        network = bench.randomised(depth)
        lost = bench.explain(variant, query.chip, candidate.chip, model=network, rivals=bench.rivals(pair))
        rho = _mean_magnitude(found, lost)
        shared = _jaccard(found, lost, bench.plan.top_k, tolerance=0)
        by_depth.append([depth, rho, shared])
    measured.details["randomisation"] = by_depth
    last = by_depth[-1]
    measured.put("randomised_rho", last[1], "MAP_CONSTANT")
    measured.put("randomised_jaccard", last[2], "NO_MATCHES")


def _pair_sensitivity(
    bench: Bench, variant: Variant, pair: EvaluationPair, found: Explained, measured: Measured
) -> None:
    query, candidate = bench.pair(pair)
    other = bench.other(pair)
    noise = []
    for further in range(1, bench.plan.n_seeds + 1):
        seed = variant.settings.seed + further
        again = bench.explain(variant, query.chip, candidate.chip, rivals=bench.rivals(pair), seed=seed)
        rho = spearman(found.maps[0], again.maps[0])
        noise.append(None if rho is None else 1.0 - rho)
    measured.mean("seed_noise", noise, "MAP_CONSTANT")
    if other is None:
        measured.drop(("pair_sensitivity", "sensitivity_above_noise"), "NO_OTHER_INDIVIDUAL")
        return
    against = bench.explain(variant, query.chip, other.chip, rivals=[candidate.chip])
    rho = spearman(found.maps[0], against.maps[0])
    measured.put("pair_sensitivity", None if rho is None else 1.0 - rho, "MAP_CONSTANT")
    own_noise = measured.figures.get("seed_noise")
    above = None if rho is None or own_noise is None else 1.0 - rho - own_noise
    measured.put("sensitivity_above_noise", above, "MAP_CONSTANT")


def _identity(bench: Bench, variant: Variant, pair: EvaluationPair, measured: Measured) -> None:
    query, _ = bench.pair(pair)
    itself = bench.explain(variant, query.chip, query.chip, rivals=bench.rivals(pair))
    matches = itself.leading(bench.plan.top_k)
    if not len(matches):
        measured.drop(("identity_share", "identity_error"), "NO_MATCHES")
        return
    apart = displacements(matches.cells_0, matches.cells_1)
    measured.put("identity_share", float(np.mean(apart == 0.0)))
    measured.put("identity_error", float(apart.mean()))


def _mean_magnitude(first: Explained, second: Explained) -> float | None:
    """Return the mean magnitude of both sides' rank correlations: opposite signs must not take each other away."""
    found = [spearman(a, b) for a, b in zip(first.maps, second.maps) if a.shape == b.shape]
    known = [abs(value) for value in found if value is not None]
    return sum(known) / len(known) if known else None


def _jaccard(first: Explained, second: Explained, k: int, *, tolerance: int) -> float | None:
    a, b = first.leading(k), second.leading(k)
    return match_jaccard((a.cells_0, a.cells_1), (b.cells_0, b.cells_1), tolerance=tolerance)
