"""What pairs of photographs of one individual tell of a head: along which attributes similarity grows, and of which
the places matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ....models.embedding import EmbeddingModel
from ...base import Stop
from ..attribute_head import EVIDENCE_GROUPS, AttributeHead
from ..forward import Forward
from ..options import SaneOptions
from ..pictures import Picture
from ..ranking import overlap
from .concepts import concept_shares, similarity_gradients
from .labels import LabelledPhotograph
from .ranking_weights import RankedPair
from .removal import region_of, removal_effects

__all__ = ["COARSE", "concepts_of", "one_pair_each", "ranked_pairs"]

COARSE = SaneOptions(saliency="slide", cells=7, window=0.25)
"""Saliency that many pairs can afford: 49 forward passes for each photograph."""

_MOST_CONCEPT_PAIRS = 200

Pair = tuple[int, int]


def one_pair_each(photographs: Sequence[LabelledPhotograph], seed: int) -> list[Pair]:
    """Return one pair of every individual that has two photographs, in random order: pairs that are independent."""
    rng = np.random.default_rng(seed)
    own: dict[str, list[int]] = defaultdict(list)
    for index, photograph in enumerate(photographs):
        own[photograph.individual].append(index)
    pairs = []
    for members in own.values():
        if len(members) > 1:
            first, second = rng.choice(len(members), 2, replace=False)
            pairs.append((members[int(first)], members[int(second)]))
    return [pairs[int(index)] for index in rng.permutation(len(pairs))]


def concepts_of(
    model: EmbeddingModel,
    head: AttributeHead,
    photographs: Sequence[LabelledPhotograph],
    spread: NDArray[np.float32],
    seed: int,
) -> NDArray[np.float64]:
    """Return (A,) concept shares, see :func:`.concepts.concept_shares`."""
    forward = Forward(model.network, head.layer)
    pairs = one_pair_each(photographs, seed)[:_MOST_CONCEPT_PAIRS]
    found = []
    for pair in pairs:  # one after the other, as the chips of hundreds would fill the memory
        first, second = (model.tensor([photographs[index].chip().pixels]) for index in pair)
        found.append(similarity_gradients(forward, [(first, second)])[0])
    gradients = np.array(found).reshape(len(pairs), -1)
    return concept_shares(gradients, head.weights.astype(np.float64), spread.astype(np.float64), seed)


def ranked_pairs(
    model: EmbeddingModel,
    head: AttributeHead,
    photographs: Sequence[LabelledPhotograph],
    left_out: NDArray[np.float64],
    n: int,
    seed: int,
    advance: Callable[[int, int], None],
) -> list[RankedPair]:
    """Return terms, truth and lost similarity of the attributes that could be named for up to `n` pairs.

    Args:
        left_out: (A, N) probabilities from classifiers that knew none of the photograph's individual.
    """
    forward, stop = Forward(model.network, head.layer), Stop()
    candidates = [pair for pair in one_pair_each(photographs, seed + 1) if _nameable(head, left_out, pair)]
    found: list[RankedPair] = []
    chosen = candidates[:n]
    for done, pair in enumerate(chosen, start=1):
        sides = [
            Picture(model, forward, photographs[index].chip(), COARSE, seed, features=True) for index in pair
        ]
        maps = [head.read(side.features).maps for side in sides if side.features is not None]
        saliency = [side.saliency(other.embedding, stop) for side, other in zip(sides, reversed(sides))]
        indices = _nameable(head, left_out, pair)
        terms = [
            (
                float(left_out[index, list(pair)].min()),
                float(np.mean([overlap(own[index], counts) for own, counts in zip(maps, saliency)])),
                head.labels[index].prior,
            )
            for index in indices
        ]
        lost = [
            removal_effects(forward, side, other.embedding, [region_of(own[index]) for index in indices])
            for side, other, own in zip(sides, reversed(sides), maps)
        ]
        found.append(
            RankedPair(terms=np.array(terms), true=_true(head, photographs, indices, pair), lost=np.mean(lost, axis=0))
        )
        advance(done, len(chosen))
    return found


def _nameable(head: AttributeHead, left_out: NDArray[np.float64], pair: Pair) -> list[int]:
    """Return the attributes that both photographs are confidently said to show."""
    found = []
    for index, label in enumerate(head.labels):
        values = left_out[index, list(pair)]
        sure = label.threshold is not None and bool((values >= label.threshold).all())
        if label.group in EVIDENCE_GROUPS and sure:
            found.append(index)
    return found


def _true(
    head: AttributeHead, photographs: Sequence[LabelledPhotograph], indices: Sequence[int], pair: Pair
) -> NDArray[np.bool_]:
    names = [(head.labels[index].group, head.labels[index].name) for index in indices]
    return np.array([all(photographs[end].labels.get(name) is True for end in pair) for name in names], bool)
