"""How much an attribute tells of the individual, and from which confidence on it is right often enough to be named."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pair", "informativeness", "naming_threshold", "species_pairs"]

_LEAST_PAIRS = 10
_LEAST_CONFIDENCE = 0.5

Pair = tuple[int, int]


def informativeness(labels: Sequence[bool | None], individuals: Sequence[str], species: Sequence[str]) -> float:
    """Return I(attribute; identity) / H(attribute) within species, in [0, 1]; 0 for what never varies.

    Both are estimated by counting, which flatters an attribute where individuals have few photographs.

    >>> informativeness([True, True, False, False], ["a", "a", "b", "b"], ["s"] * 4)
    1.0
    >>> informativeness([True, True], ["a", "b"], ["s", "s"])
    0.0
    """
    by_species: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for label, who, what in zip(labels, individuals, species):
        if label is not None:
            by_species[what][who].append(label)
    total = left = 0.0
    for members in by_species.values():
        values = list(itertools.chain.from_iterable(members.values()))
        total += len(values) * _entropy(values)
        left += sum(len(own) * _entropy(own) for own in members.values())
    return min(1.0, max(0.0, (total - left) / total)) if total > 0 else 0.0


def species_pairs(individuals: Sequence[str], species: Sequence[str], seed: int) -> list[Pair]:
    """Return pairs within species: all of one individual, and as many, drawn at random, of two."""
    same: list[Pair] = []
    other: list[Pair] = []
    for first, second in itertools.combinations(range(len(individuals)), 2):
        if species[first] == species[second]:
            (same if individuals[first] == individuals[second] else other).append((first, second))
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(other))[: len(same)]
    return [*same, *(other[index] for index in sorted(chosen))]


def naming_threshold(
    probability: NDArray[np.float64], labels: Sequence[bool | None], pairs: Iterable[Pair], precision: float
) -> float | None:
    """Return the least pair confidence from which both photographs truly show the attribute often enough.

    Args:
        probability: (n,) of photographs whose individuals were left out; NaN where unknown.
        labels: the truth.
        pairs: indices of two photographs; the confidence of a pair is the smaller probability.
        precision: share of the pairs at or above the threshold that must be right.

    Returns:
        A number in [0.5, 1]; None where no threshold with at least ten pairs above it is right so often. Below 0.5
        nothing is named, however clear-cut an attribute is: such a photograph more likely lacks it.
    """
    known = [(a, b) for a, b in pairs if labels[a] is not None and labels[b] is not None]
    confidence = np.array([min(probability[a], probability[b]) for a, b in known])
    right = np.array([bool(labels[a] and labels[b]) for a, b in known], bool)
    order = np.argsort(-confidence, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    likely = int((confidence >= _LEAST_CONFIDENCE).sum())
    enough = [place for place in range(_LEAST_PAIRS - 1, likely) if shares[place] >= precision]
    if not enough:
        return None
    least = max(_LEAST_CONFIDENCE, float(confidence[order][enough[-1]]))
    return math.floor(least * 1e4) / 1e4


def _entropy(values: Sequence[bool]) -> float:
    share = sum(values) / len(values)
    return -sum(part * math.log2(part) for part in (share, 1 - share) if part > 0)
