"""Section 4.7: named attributes against what is known of the photographs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...chips import Chip
from ...evidence import AttributeEvidence
from ..attribute_figures import average_precision, truth_of
from ..bench import Bench
from ..curves import pixel_ranks
from ..fills import blurred
from ..map_agreement import mass_share
from ..pair_choice import EvaluationPair
from ..subjects import Subject
from ..variants import Variant
from .measured import Measured

__all__ = ["measure_attributes"]

_NAMES = ("attribute_ap", "attribute_top1", "removal_effect", "attribute_mark_lift")
_REMOVED = 0.2  # of the picture


def measure_attributes(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return average precision, top-1 agreement, what removing the first one costs, and its mass on the mark."""
    measured = Measured()
    if not bench.subject_set.vocabulary:
        measured.drop(_NAMES, "ATTRIBUTES_UNKNOWN")
        return measured
    query, candidate = bench.pair(pair)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=bench.rivals(pair))
    items = [item for item in found.evidence.attributes if item.kind == "same"]
    if not items:
        measured.drop(_NAMES, "ABSTAINED" if found.evidence.abstained else "NO_ATTRIBUTES")
        return measured
    shared = query.words & candidate.words
    vocabulary = bench.subject_set.vocabulary - query.unsure - candidate.unsure
    judged = [(item, truth_of(item.name, shared, vocabulary)) for item in items]
    known = [(item, truth) for item, truth in judged if truth is not None]
    if not known:
        measured.drop(_NAMES, "NAMES_UNKNOWN")
        return measured
    scores = [item.score for item, _ in known]
    measured.put("attribute_ap", average_precision(scores, [truth for _, truth in known]), "NONE_SHARED")
    measured.put("attribute_top1", float(known[0][1]))
    measured.details["said"] = [[float(item.confidence), truth] for item, truth in known]
    measured.details["top"] = items[0].name
    _removal(bench, items, query.chip, candidate.chip, pair.pair_id, measured)
    _on_mark(bench, known[0][0], query, measured)
    return measured


def _removal(
    bench: Bench,
    items: Sequence[AttributeEvidence],
    query: Chip,
    candidate: Chip,
    pair_id: str,
    measured: Measured,
) -> None:
    """Blur the fifth of the query that the first attribute lies on, and that of another one, and compare."""
    first = items[0].map_0
    if first is None:
        measured.drop(("removal_effect",), "NO_MAP")
        return
    others = [item.map_0 for item in items[1:] if item.map_0 is not None]
    rng = bench.rng("removal", pair_id)
    # without a second attribute a place is drawn: the first one's own map, rolled to somewhere else
    other = others[int(rng.integers(len(others)))] if others else _rolled(first, rng)
    soft = blurred(query.pixels)
    size = (query.height, query.width)
    pictures = [np.where(_top(values, size)[..., None], soft, query.pixels) for values in (first, other)]
    removed, elsewhere = bench.scores(pictures, candidate)
    measured.put("removal_effect", float(elsewhere - removed))


def _top(values: NDArray[Any], size: tuple[int, int]) -> NDArray[np.bool_]:
    ranks = pixel_ranks(values, size)
    leading: NDArray[np.bool_] = ranks < round(_REMOVED * ranks.size)
    return leading


def _rolled(values: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    rows, cols = values.shape
    return np.roll(values, (int(rng.integers(1, max(2, rows))), int(rng.integers(1, max(2, cols)))), axis=(0, 1))


def _on_mark(bench: Bench, item: AttributeEvidence, query: Subject, measured: Measured) -> None:
    """Measure how much more of the attribute's map lies on the mark that it names than on as large a random place."""
    truth = bench.subject_set.truth
    marks = truth.marks(query) if truth is not None else {}
    mask = next((mask for kind, mask in marks.items() if truth_of(item.name, {kind}, {kind})), None)
    if mask is None or item.map_0 is None:
        measured.drop(("attribute_mark_lift",), "NO_MARK_NAMED")
        return
    share = mass_share(item.map_0, mask)
    measured.put("attribute_mark_lift", None if share is None else share / float(mask.mean()), "RELEVANCE_ZERO")
