"""Section 4.4: relevance conserved and not inflated, layer by layer."""

from __future__ import annotations

import numpy as np

from ...errors import PairXError
from ...evidence import PairEvidence
from ...models.layers import list_layers
from ..bench import Bench
from ..conservation import conservation_error, inflation
from ..pair_choice import EvaluationPair
from ..variants import Variant
from .measured import Measured

__all__ = ["measure_conservation"]


def measure_conservation(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return the error at the explained layer, and the inflation against the network's last feature map.

    Only explainers that keep signs can conserve a similarity: for one whose maps have magnitudes alone the error
    says how far their sum is from the cosine, and the inflation how fast they grow.
    """
    measured = Measured()
    if variant.baseline:
        measured.drop(("conservation_error", "inflation"), "NULL_BASELINE")
        return measured
    query, candidate = bench.pair(pair)
    rivals = bench.rivals(pair)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=rivals)
    errors = [conservation_error(values, found.evidence.similarity) for values in found.maps]
    measured.mean("conservation_error", errors, "COSINE_ZERO")
    measured.details["signed"] = bool(any(float(np.min(values)) < 0.0 for values in found.maps))
    own, top = found.layer.layer_key, _last_map(bench)
    if not top or own == top:
        measured.drop(("inflation",), "NO_HIGHER_LAYER")
        return measured
    try:
        both = bench.explain(variant, query.chip, candidate.chip, rivals=rivals, layers=(own, top)).evidence
    except PairXError:  # some explain one layer, or the layers of their own alone
        measured.drop(("inflation",), "ONE_LAYER_ONLY")
        return measured
    _inflation(both, (own, top), measured)
    return measured


def _inflation(both: PairEvidence, keys: tuple[str, str], measured: Measured) -> None:
    if tuple(layer.layer_key for layer in both.layers) != keys:
        measured.drop(("inflation",), "ONE_LAYER_ONLY")
        return
    low, high = both.layers
    sides = ((low.relevance_0, high.relevance_0), (low.relevance_1, high.relevance_1))
    measured.mean("inflation", [inflation(*side) for side in sides], "RELEVANCE_ZERO")
    measured.details["layers"] = list(keys)


def _last_map(bench: Bench) -> str:
    """Return the key of the last feature map that has places, empty where there is none."""
    layers = list_layers(bench.model.network, bench.model.input_size)
    return next((layer.key for layer in reversed(layers) if layer.grid[0] * layer.grid[1] > 1), "")
