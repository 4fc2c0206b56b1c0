"""Variants against one of them, pair by pair.

Two rows of a table, each with an interval of its own, hardly ever tell two variants apart: how hard the pairs are moves
both rows alike. Their difference on the same pairs leaves that out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import Interval, bootstrap, mean_interval
from .figure_names import FIGURES, Figure
from .gathered import AUC, couples, values
from .running import EvaluationRun
from .separation import couple_wins

__all__ = ["Difference", "Standing", "difference", "differences", "standing"]

LEAST_INDIVIDUALS = 8
"""Fewer individuals than these tell nothing apart, however far an interval lies from 0."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A variant's figure less another one's, on the pairs that have both.

    Attributes:
        verdict: ``better`` or ``worse`` where the interval leaves 0 out, ``open`` where it does not or individuals are
            few, empty for figures of which neither more nor less is better.
    """

    variant: str
    base: str
    figure: str
    interval: Interval
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        found = self.interval
        return {
            "variant": self.variant,
            "base": self.base,
            "figure": self.figure,
            "difference": found.value,
            "low": found.low,
            "high": found.high,
            "n": found.n,
            "n_individuals": found.n_individuals,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a variant stands over several figures.

    Attributes:
        beats_nulls: figures in which it is better than every null baseline that has them.
        compared: figures that it could be compared in with at least one null baseline.
        better, worse: figures in which it is better or worse than the first variant; None for that one itself.
    """

    variant: str
    beats_nulls: tuple[str, ...]
    compared: tuple[str, ...]
    better: tuple[str, ...] | None
    worse: tuple[str, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "variant": self.variant,
            "beats_every_null_baseline": list(self.beats_nulls),
            "compared_with_null_baselines": list(self.compared),
            "better_than_the_first": None if self.better is None else list(self.better),
            "worse_than_the_first": None if self.worse is None else list(self.worse),
        }


def difference(run: EvaluationRun, variant: str, base: str, figure: Figure) -> Difference | None:
    """Return how a figure of two variants differs, with its interval over individuals; None without a common pair."""
    of = _of_areas if figure.key.startswith(AUC) else _of_means
    found = of(run, variant, base, figure)
    if not found.n:
        return None
    return Difference(
        variant=variant, base=base, figure=figure.key, interval=found, verdict=_verdict(found, figure.better)
    )


def differences(run: EvaluationRun, base: str) -> tuple[Difference, ...]:
    """Return the differences of all variants, null baselines too, to one of them, in all figures."""
    names = [variant.name for variant in run.variants if variant.name != base]
    found = (difference(run, name, base, figure) for name in names for figure in FIGURES)
    return tuple(item for item in found if item is not None)


def standing(run: EvaluationRun, figures: Iterable[Figure]) -> tuple[Standing, ...]:
    """Return where each variant that is no null baseline stands in `figures`."""
    judged = [figure for figure in figures if figure.better]
    own = [variant.name for variant in run.variants if not variant.baseline]
    nulls = [variant.name for variant in run.variants if variant.baseline]
    made = []
    for name in own:
        against = {figure.key: [difference(run, name, null, figure) for null in nulls] for figure in judged}
        known = {key: [item.verdict for item in items if item] for key, items in against.items()}
        first = [] if name == own[0] else [difference(run, name, own[0], figure) for figure in judged]
        made.append(
            Standing(
                variant=name,
                beats_nulls=tuple(key for key, found in known.items() if found and set(found) == {"better"}),
                compared=tuple(key for key, found in known.items() if found),
                better=None if name == own[0] else _with(first, "better"),
                worse=None if name == own[0] else _with(first, "worse"),
            )
        )
    return tuple(made)


def _with(found: Iterable[Difference | None], verdict: str) -> tuple[str, ...]:
    return tuple(item.figure for item in found if item is not None and item.verdict == verdict)


def _of_means(run: EvaluationRun, variant: str, base: str, figure: Figure) -> Interval:
    there = {row.pair_id: row.value for row in values(run, base, figure.key).rows}
    rows = [row for row in values(run, variant, figure.key).rows if row.pair_id in there]
    gaps = [row.value - there[row.pair_id] for row in rows]
    return mean_interval(gaps, [row.individual for row in rows], seed=run.plan.seed)


def _of_areas(run: EvaluationRun, variant: str, base: str, figure: Figure) -> Interval:
    key = figure.key.removeprefix(AUC)
    there = {row.pair_id: row for row in couples(run, base, key).rows}
    rows = [row for row in couples(run, variant, key).rows if row.pair_id in there]
    others = [there[row.pair_id] for row in rows]
    gain = couple_wins([row.same for row in rows], [row.different for row in rows])
    gain = gain - couple_wins([row.same for row in others], [row.different for row in others])

    def statistic(drawn: NDArray[np.intp]) -> float | None:
        return float(gain[np.ix_(drawn, drawn)].mean()) if len(drawn) else None

    return bootstrap(statistic, [row.individual for row in rows], seed=run.plan.seed)


def _verdict(found: Interval, better: int) -> str:
    if not better:
        return ""
    if found.low is None or found.high is None or found.n_individuals < LEAST_INDIVIDUALS:
        return "open"
    if found.low > 0.0 or found.high < 0.0:
        return "better" if (found.low > 0.0) == (better > 0) else "worse"
    return "open"
