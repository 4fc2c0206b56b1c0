"""What an evaluation found, as CSV: the table, differences to the first variant, strata, and every pair."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from .running import EvaluationRun
from .strata import by_stratum
from .summary import Summary

__all__ = ["differences_csv", "figures_csv", "pairs_csv", "strata_csv"]

_COLUMNS = ("variant", "figure", "value", "low", "high", "n", "n_individuals", "n_dropped", "reasons")
_DIFFERENCES = ("variant", "base", "figure", "difference", "low", "high", "n", "n_individuals", "verdict")
_STRATA = ("variant", "figure", "stratum", "value", "low", "high", "n", "n_individuals")
_PAIRS = ("variant", "pair", "same", "individual", "stratum", "similarity", "measure", "figure", "value")


def figures_csv(summary: Summary) -> str:
    """Return a row for every variant and figure."""
    rows = []
    for cell in summary.cells:
        reasons = "; ".join(f"{reason} {count}" for reason, count in cell.dropped.items())
        rows.append({**cell.to_json(), "reasons": reasons})
    return _csv(_COLUMNS, ([row[name] for name in _COLUMNS] for row in rows))


def differences_csv(summary: Summary) -> str:
    """Return a row for every variant and figure, against the first variant on the same pairs."""
    rows = [item.to_json() for item in summary.differences]
    return _csv(_DIFFERENCES, ([row[name] for name in _DIFFERENCES] for row in rows))


def strata_csv(run: EvaluationRun) -> str:
    """Return a row for every variant, headline figure and stratum; none where there is but one stratum."""
    rows: list[list[Any]] = []
    for cell in by_stratum(run):
        found = cell.interval
        figures = [found.value, found.low, found.high, found.n, found.n_individuals]
        rows.append([cell.variant, cell.figure, cell.stratum, *figures])
    return _csv(_STRATA, rows)


def pairs_csv(run: EvaluationRun) -> str:
    """Return a row for every variant, pair and figure."""
    rows: list[list[Any]] = []
    for pair in run.pairs:
        for variant in run.variants:
            for measure in run.plan.measures:
                result = run.results.get((variant.name, pair.pair_id, measure))
                for figure, value in (result or {}).get("figures", {}).items():
                    rows.append([variant.name, pair.pair_id, str(pair.same).lower(), pair.individual, pair.stratum,
                                 pair.similarity, measure, figure, value])
    return _csv(_PAIRS, rows)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_shown(value) for value in row] for row in rows)
    return buffer.getvalue()


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
