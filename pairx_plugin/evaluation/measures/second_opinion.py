"""The metrics of the package quantus, where it has them: pixel flipping, ROAD, randomisation, completeness, places."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ...errors import EvidenceError, PairXError
from ..bench import Bench, Explained
from ..pair_choice import EvaluationPair
from ..quantus_pairs import PairClassifier, PictureMetrics
from ..randomisation import with_network
from ..variants import Variant
from .measured import Measured

__all__ = ["measure_by_quantus"]

_PLACES = ("quantus_mass_accuracy", "quantus_rank_accuracy")
_NAMES = (
    "quantus_pixel_flipping", "quantus_completeness", "quantus_road", *_PLACES, "quantus_randomised_rho",
)


def measure_by_quantus(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return Quantus' figures of the query's map, the candidate held fixed.

    Raises:
        MissingExtra: quantus is not installed.
    """
    query, candidate = bench.pair(pair)
    other = bench.other(pair)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=bench.rivals(pair))
    measured = Measured()
    if not found.maps[0].any():
        measured.drop(_NAMES, "MAP_CONSTANT")
        return measured
    partners = [bench.embedding(subject.chip) for subject in (candidate, other) if subject is not None]
    metrics = PictureMetrics(
        PairClassifier(bench.model.network, np.stack(partners)),
        bench.model.tensor([query.chip.pixels]),
        found.maps[0],
        seed=bench.plan.seed,
    )
    measured.put("quantus_pixel_flipping", metrics.pixel_flipping(bench.plan.n_steps))
    measured.put("quantus_completeness", metrics.completeness())
    if other is None:
        measured.drop(("quantus_road",), "NO_OTHER_INDIVIDUAL")
    else:
        measured.put("quantus_road", metrics.road())
    _places(metrics, found, query.mask, measured)
    _randomisation(bench, variant, pair, metrics, measured)
    return measured


def _places(metrics: PictureMetrics, found: Explained, mask: NDArray[np.bool_] | None, measured: Measured) -> None:
    if mask is None or not mask.any():
        measured.drop(_PLACES, "NO_MASK")
    elif float(np.max(found.maps[0])) <= 0.0:
        measured.drop(_PLACES, "RELEVANCE_ZERO")
    else:
        measured.put(_PLACES[0], metrics.mass_accuracy(mask))
        measured.put(_PLACES[1], metrics.rank_accuracy(mask))


def _randomisation(
    bench: Bench, variant: Variant, pair: EvaluationPair, metrics: PictureMetrics, measured: Measured
) -> None:
    query, candidate = bench.pair(pair)

    def explain(network: nn.Module) -> NDArray[np.float32]:
        model = with_network(bench.model, network, "reset by quantus")
        lost = bench.explain(variant, query.chip, candidate.chip, model=model, rivals=bench.rivals(pair)).maps[0]
        if not lost.any():
            raise EvidenceError("the map of the network with its weights reset is zero all over")
        return lost

    try:
        correlation = metrics.randomisation(explain)
    except PairXError:  # weights as they are first drawn leave deep networks dead, with nothing to explain
        measured.drop(("quantus_randomised_rho",), "RESET_NETWORK_UNEXPLAINED")
        return
    measured.put("quantus_randomised_rho", abs(correlation), "MAP_CONSTANT")
