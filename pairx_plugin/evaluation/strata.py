"""The figures that decide, species by species and view by view.

A homography is wrong for a body that bends, and an animal that is seen from another side has few places in common with
itself: what holds on the whole need not hold there.
"""

from __future__ import annotations

from dataclasses import dataclass

from .bootstrap import Interval, mean_interval
from .figure_names import FIGURES, HEADLINES
from .gathered import AUC, auc_interval, couples, values
from .running import EvaluationRun

__all__ = ["StratumCell", "by_stratum"]


@dataclass(frozen=True, kw_only=True)
class StratumCell:
    """One variant's figure in one stratum."""

    variant: str
    figure: str
    stratum: str
    interval: Interval


def by_stratum(run: EvaluationRun) -> tuple[StratumCell, ...]:
    """Return the headline figures and all areas of every variant in each stratum; nothing where there is but one."""
    strata = sorted({pair.stratum for pair in run.pairs})
    if len(strata) < 2:
        return ()
    keys = [figure.key for figure in FIGURES if figure.key in HEADLINES or figure.key.startswith(AUC)]
    found = [
        StratumCell(variant=variant.name, figure=key, stratum=stratum, interval=interval)
        for variant in run.variants
        for key in keys
        for stratum, interval in _intervals(run, variant.name, key, strata)
    ]
    return tuple(cell for cell in found if cell.interval.n)


def _intervals(run: EvaluationRun, variant: str, key: str, strata: list[str]) -> list[tuple[str, Interval]]:
    seed = run.plan.seed
    if key.startswith(AUC):
        matched = couples(run, variant, key.removeprefix(AUC)).rows
        return [
            (stratum, auc_interval(tuple(row for row in matched if row.stratum == stratum), seed=seed))
            for stratum in strata
        ]
    rows = values(run, variant, key).rows
    made = []
    for stratum in strata:
        own = [row for row in rows if row.stratum == stratum]
        made.append((stratum, mean_interval([row.value for row in own], [row.individual for row in own], seed=seed)))
    return made
