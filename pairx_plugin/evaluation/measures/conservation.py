"""Section 4.4: relevance conserved and not inflated, layer by layer."""

from __future__ import annotations

import numpy as np

from ...models.layers import list_layers
from ..bench import Bench
from ..conservation import conservation_error, inflation
from ..pair_choice import EvaluationPair
from ..variants import Variant
from .measured import Measured

__all__ = ["measure_conservation"]

_NAMES = ("conservation_error", "inflation")


def measure_conservation(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return both figures at the explained layer, against the last feature map of the network.

    Only explainers that keep signs can conserve a similarity: for one whose maps have magnitudes alone the error
    says how far their sum is from the cosine, and the inflation how fast they grow.
    """
    measured = Measured()
    if variant.baseline:
        measured.drop(_NAMES, "NULL_BASELINE")
        return measured
    query, candidate = bench.pair(pair)
    model = bench.model
    top = list_layers(model.network, model.input_size)[-1].key if _has_maps(bench) else ""
    own = bench.explain(variant, query.chip, candidate.chip).layer.layer_key
    if not top or own == top:
        measured.drop(_NAMES, "NO_HIGHER_LAYER")
        return measured
    found = bench.explain(variant, query.chip, candidate.chip, layers=(own, top)).evidence
    keys = [layer.layer_key for layer in found.layers]
    if keys != [own, top]:
        measured.drop(_NAMES, "ONE_LAYER_ONLY")
        return measured
    sides = [(found.layers[0].relevance_0, found.layers[1].relevance_0)]
    sides.append((found.layers[0].relevance_1, found.layers[1].relevance_1))
    measured.mean("conservation_error", [conservation_error(low, found.similarity) for low, _ in sides], "COSINE_ZERO")
    measured.mean("inflation", [inflation(low, high) for low, high in sides], "RELEVANCE_ZERO")
    measured.details["layers"] = keys
    measured.details["signed"] = bool(any(float(np.min(low)) < 0.0 for low, _ in sides))
    return measured


def _has_maps(bench: Bench) -> bool:
    return bool(list_layers(bench.model.network, bench.model.input_size))
