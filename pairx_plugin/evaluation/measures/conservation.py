"""Section 4.4: relevance conserved and not inflated, layer by layer."""

from __future__ import annotations

import numpy as np

from ...errors import PairXError
from ...evidence import LayerEvidence, PairEvidence
from ...models.layer_reasons import main_layers
from ...models.layers import list_layers
from ..bench import Bench
from ..conservation import conservation_error, inflation
from ..pair_choice import EvaluationPair
from ..variants import Variant
from .measured import Measured

__all__ = ["measure_conservation"]

_OF_SEVERAL = ("conservation_worst", "inflation")


def measure_conservation(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return the error at the explained layer and the worst of all stages above, and the inflation.

    Inflation is against the network's last feature map. Only explainers that keep signs can conserve a similarity: for
    one whose maps have magnitudes alone the error says how far their sum is from the cosine, and the inflation how fast
    they grow. What biases absorb on the way counts as lost; `conservation.balance_of` tells the two apart.
    """
    measured = Measured()
    if variant.baseline:
        measured.drop(("conservation_error", *_OF_SEVERAL), "NULL_BASELINE")
        return measured
    query, candidate = bench.pair(pair)
    rivals = bench.rivals(pair)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=rivals)
    measured.mean("conservation_error", _errors(found.layer, found.evidence.similarity), "COSINE_ZERO")
    measured.details["signed"] = bool(any(float(np.min(values)) < 0.0 for values in found.maps))
    keys = _layers_above(bench, found.layer.layer_key)
    if len(keys) < 2:
        measured.drop(_OF_SEVERAL, "NO_HIGHER_LAYER")
        return measured
    try:
        several = bench.explain(variant, query.chip, candidate.chip, rivals=rivals, layers=keys).evidence
    except PairXError:  # some explain one layer, or the layers of their own alone
        measured.drop(_OF_SEVERAL, "ONE_LAYER_ONLY")
        return measured
    _by_layer(several, keys, measured)
    return measured


def _by_layer(several: PairEvidence, keys: tuple[str, ...], measured: Measured) -> None:
    if tuple(layer.layer_key for layer in several.layers) != keys:
        measured.drop(_OF_SEVERAL, "ONE_LAYER_ONLY")
        return
    top = several.layers[-1]
    table: list[list[object]] = []
    worst: list[float] = []
    for layer in several.layers:
        one = Measured()
        one.mean("error", _errors(layer, several.similarity))
        one.mean("inflation", _inflations(layer, top))
        table.append([layer.layer_key, one.figures.get("error"), one.figures.get("inflation")])
        worst += [one.figures["error"]] if "error" in one.figures else []
    measured.details["layers"] = table
    measured.put("conservation_worst", max(worst, default=None), "COSINE_ZERO")
    measured.mean("inflation", _inflations(several.layers[0], top), "RELEVANCE_ZERO")


def _errors(layer: LayerEvidence, similarity: float) -> list[float | None]:
    return [conservation_error(values, similarity) for values in (layer.relevance_0, layer.relevance_1)]


def _inflations(layer: LayerEvidence, top: LayerEvidence) -> list[float | None]:
    return [inflation(layer.relevance_0, top.relevance_0), inflation(layer.relevance_1, top.relevance_1)]


def _layers_above(bench: Bench, own: str) -> tuple[str, ...]:
    """Return the explained layer, the stages above it, and the last feature map that has places; from below."""
    layers = [layer for layer in list_layers(bench.model.network, bench.model.input_size) if min(layer.grid) > 1]
    order = [layer.key for layer in layers]
    if own not in order:  # an explainer's own kind of map, such as one of the input
        return tuple(dict.fromkeys([own, *order[-1:]]))
    stages = [layer.key for layer in main_layers(layers)]
    above = [key for key in order[order.index(own) + 1 :] if key in stages]
    return tuple(dict.fromkeys([own, *above, order[-1]]))
