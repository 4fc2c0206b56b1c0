"""Figures of a run, gathered over its pairs: the values that a mean, an area or a difference is made from."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Interval, bootstrap
from .running import EvaluationRun
from .separation import couple_wins

__all__ = ["AUC", "Couple", "Gathered", "GatheredCouples", "Value", "auc_interval", "couples", "values"]

AUC = "auc_"
"""What begins the key of a figure that compares matched pairs."""


class Value(NamedTuple):
    """One pair's figure."""

    pair_id: str
    individual: str
    stratum: str
    value: float


class Couple(NamedTuple):
    """A figure of a pair of one individual, and of the equally similar pair of two that it is matched with."""

    pair_id: str
    individual: str
    stratum: str
    same: float
    different: float


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Values of the pairs of one individual, and how many pairs have none, by reason."""

    rows: tuple[Value, ...]
    dropped: Counter[str]


@dataclass(frozen=True, kw_only=True)
class GatheredCouples:
    """Values of matched pairs; a couple of which one half has no figure is dropped as a whole."""

    rows: tuple[Couple, ...]
    dropped: Counter[str]


def values(run: EvaluationRun, variant: str, figure: str) -> Gathered:
    """Return a variant's figure for every pair of one individual."""
    rows: list[Value] = []
    dropped: Counter[str] = Counter()
    for pair in run.pairs:
        if not pair.same:
            continue
        for measure in run.plan.measures:
            result = run.results.get((variant, pair.pair_id, measure))
            if result and figure in result["figures"]:
                rows.append(Value(pair.pair_id, pair.individual, pair.stratum, float(result["figures"][figure])))
            elif result and figure in result["dropped"]:
                dropped[result["dropped"][figure]] += 1
    return Gathered(rows=tuple(rows), dropped=dropped)


def couples(run: EvaluationRun, variant: str, figure: str) -> GatheredCouples:
    """Return a variant's figure for all matched pairs.

    Args:
        figure: the figure itself, without :data:`AUC`.
    """
    rows: list[Couple] = []
    dropped: Counter[str] = Counter()
    for pair in run.pairs:
        results = [run.results.get((variant, name, "plausibility")) for name in (pair.pair_id, pair.matched_with)]
        if not pair.same or results[0] is None:
            continue
        if results[1] is None:
            dropped["NO_EQUALLY_SIMILAR_PAIR"] += 1
            continue
        found = [result["figures"].get(figure) for result in results if result]
        if None in found:
            dropped[next(_reason(item, figure) for item in results if item and figure not in item["figures"])] += 1
        else:
            rows.append(Couple(pair.pair_id, pair.individual, pair.stratum, found[0], found[1]))
    return GatheredCouples(rows=tuple(rows), dropped=dropped)


def auc_interval(rows: tuple[Couple, ...], *, seed: int = 0) -> Interval:
    """Return how often the pair of one individual has more, over all couples, with its interval."""
    wins = couple_wins([row.same for row in rows], [row.different for row in rows])

    def statistic(drawn: NDArray[np.intp]) -> float | None:
        return float(wins[np.ix_(drawn, drawn)].mean()) if len(drawn) else None

    return bootstrap(statistic, [row.individual for row in rows], seed=seed)


def _reason(result: Any, figure: str) -> str:
    return str(result["dropped"].get(figure, "FAILED" if result.get("failed") else "NOT_DEFINED"))
