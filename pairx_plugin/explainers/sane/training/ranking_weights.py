"""The weights of the ranking, chosen so that what is named is true and what it names matters.

Of all weights on a grid of the simplex, those under which the best-ranked attribute, counted as nothing where the
photographs do not both show it, takes the most similarity with it when its places are hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CENTRE", "RankedPair", "simplex", "tune_ranking"]

CENTRE = (1 / 3, 1 / 3, 1 / 3)
_STEPS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class RankedPair:
    """The attributes that could be named for one pair: (n, 3) terms, (n,) truth and (n,) similarity lost."""

    terms: NDArray[np.float64]
    true: NDArray[np.bool_]
    lost: NDArray[np.float64]


def simplex(steps: int = _STEPS) -> list[tuple[float, float, float]]:
    """Return all triples of multiples of 1 / steps that sum to 1."""
    counts = [(a, b, steps - a - b) for a in range(steps + 1) for b in range(steps + 1 - a)]
    return [(a / steps, b / steps, c / steps) for a, b, c in counts]


def tune_ranking(pairs: Sequence[RankedPair]) -> tuple[float, float, float]:
    """Return the weights of confidence, overlap and prior; of equally good ones those nearest to equal weights."""
    usable = [pair for pair in pairs if len(pair.terms)]
    if not any(len(pair.terms) > 1 for pair in usable):
        return CENTRE

    def gain(weights: tuple[float, float, float]) -> float:
        best = [int(np.argmax(pair.terms @ np.array(weights))) for pair in usable]
        return float(np.mean([pair.lost[index] * pair.true[index] for pair, index in zip(usable, best)]))

    gains = {weights: gain(weights) for weights in simplex()}
    most = max(gains.values())
    equal = [weights for weights, value in gains.items() if value >= most - 1e-9]
    return min(equal, key=lambda weights: (float(np.square(np.subtract(weights, CENTRE)).sum()), weights))
