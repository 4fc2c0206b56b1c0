"""From results to a table: every variant and every figure, with intervals over individuals and what was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .attribute_figures import calibration_error, coverage_accuracy
from .bootstrap import Interval, bootstrap, mean_interval
from .figure_names import FIGURES
from .running import EvaluationRun
from .separation import couple_wins

__all__ = ["Cell", "Summary", "Verdict", "summarise"]

_PASS_RHO, _PASS_ABOVE, _PASS_IDENTITY = 0.2, 0.01, 0.95


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One variant's figure.

    Attributes:
        dropped: how many pairs have none, by reason.
    """

    variant: str
    figure: str
    interval: Interval
    dropped: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        found = self.interval
        return {
            "variant": self.variant,
            "figure": self.figure,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "n": found.n,
            "n_individuals": found.n_individuals,
            "n_dropped": sum(self.dropped.values()),
            "dropped": dict(self.dropped),
        }


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a sanity check says of a variant: passed, failed, or None where it could not be made."""

    variant: str
    check: str
    passed: bool | None
    words: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"variant": self.variant, "check": self.check, "passed": self.passed, "words": self.words}


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The table, the checks, and the curves behind them."""

    cells: tuple[Cell, ...]
    verdicts: tuple[Verdict, ...]
    curves: Mapping[str, Mapping[str, list[float]]]
    randomisation: Mapping[str, list[tuple[float, float]]]
    abstention: Mapping[str, list[tuple[float, float, float]]]

    def cell(self, variant: str, figure: str) -> Cell | None:
        """Return a cell, None where nothing of it was looked at."""
        return next((cell for cell in self.cells if (cell.variant, cell.figure) == (variant, figure)), None)

    def value(self, variant: str, figure: str) -> float | None:
        """Return a figure, None where there is none."""
        found = self.cell(variant, figure)
        return None if found is None else found.interval.value


def summarise(run: EvaluationRun) -> Summary:
    """Put all results of a run together."""
    cells: list[Cell] = []
    for variant in run.variants:
        name = variant.name
        cells += [_mean_cell(run, name, figure.key) for figure in FIGURES if not figure.key.startswith("auc_")]
        cells += [_auc_cell(run, name, figure.key) for figure in FIGURES if figure.key.startswith("auc_")]
        cells.append(_ece_cell(run, name))
    kept = tuple(cell for cell in cells if cell.interval.n or cell.dropped)
    order = {figure.key: place for place, figure in enumerate(FIGURES)}
    names = {variant.name: place for place, variant in enumerate(run.variants)}
    kept = tuple(sorted(kept, key=lambda cell: (names[cell.variant], order[cell.figure])))
    table = Summary(
        cells=kept,
        verdicts=(),
        curves={variant.name: _curves(run, variant.name) for variant in run.variants},
        randomisation={variant.name: _depths(run, variant.name) for variant in run.variants},
        abstention={variant.name: coverage_accuracy(*_said(run, variant.name)) for variant in run.variants},
    )
    verdicts = [verdict for variant in run.variants for verdict in _verdicts(table, variant.name)]
    return replace(table, verdicts=tuple(verdicts))


def _results(run: EvaluationRun, variant: str, figure: str, *, same: bool) -> list[tuple[str, str, Any]]:
    """Return (pair id, individual, result) of every result that has the figure or dropped it."""
    found = []
    for pair in run.pairs:
        if pair.same != same:
            continue
        for measure in run.plan.measures:
            result = run.results.get((variant, pair.pair_id, measure))
            if result and (figure in result["figures"] or figure in result["dropped"]):
                found.append((pair.pair_id, pair.individual, result))
    return found


def _mean_cell(run: EvaluationRun, variant: str, figure: str) -> Cell:
    rows = _results(run, variant, figure, same=True)
    there = [(name, result["figures"][figure]) for _, name, result in rows if figure in result["figures"]]
    return Cell(
        variant=variant,
        figure=figure,
        interval=mean_interval([value for _, value in there], [name for name, _ in there], seed=run.plan.seed),
        dropped=Counter(result["dropped"][figure] for _, _, result in rows if figure in result["dropped"]),
    )


def _auc_cell(run: EvaluationRun, variant: str, figure: str) -> Cell:
    """Compare matched pairs alone; a couple of which one half has no figure is dropped as a whole."""
    key = figure.removeprefix("auc_")
    couples: list[tuple[str, float, float]] = []
    dropped: Counter[str] = Counter()
    for pair in run.pairs:
        results = [run.results.get((variant, name, "plausibility")) for name in (pair.pair_id, pair.matched_with)]
        if not pair.same or results[0] is None:
            continue
        if results[1] is None:
            dropped["NO_EQUALLY_SIMILAR_PAIR"] += 1
            continue
        values = [result["figures"].get(key) for result in results if result]
        if None in values:
            dropped[next(_reason(result, key) for result in results if result and key not in result["figures"])] += 1
        else:
            couples.append((pair.individual, values[0], values[1]))  # type: ignore[arg-type]
    same, different = (np.array([couple[index] for couple in couples], np.float64) for index in (1, 2))

    wins = couple_wins(same, different)

    def statistic(rows: NDArray[np.intp]) -> float | None:
        return float(wins[np.ix_(rows, rows)].mean()) if len(rows) else None

    interval = bootstrap(statistic, [couple[0] for couple in couples], seed=run.plan.seed)
    return Cell(variant=variant, figure=figure, interval=interval, dropped=dropped)


def _reason(result: Mapping[str, Any], key: str) -> str:
    return str(result["dropped"].get(key, "FAILED" if result.get("failed") else "NOT_DEFINED"))


def _said(run: EvaluationRun, variant: str) -> tuple[list[float], list[bool]]:
    """Return every confidence an explainer said, and whether it was right."""
    pairs = [pair.pair_id for pair in run.pairs if pair.same]
    found = [run.results.get((variant, pair, "attributes")) for pair in pairs]
    said = [item for result in found if result for item in result["details"].get("said", ())]
    return [float(item[0]) for item in said], [bool(item[1]) for item in said]


def _ece_cell(run: EvaluationRun, variant: str) -> Cell:
    confidences, correct = _said(run, variant)
    value = calibration_error(confidences, correct)
    interval = Interval(value=value, low=None, high=None, n=len(correct), n_individuals=0)
    return Cell(variant=variant, figure="attribute_ece", interval=interval)


def _curves(run: EvaluationRun, variant: str) -> dict[str, list[float]]:
    found = [
        result["details"]["curves"]
        for (name, _, measure), result in run.results.items()
        if name == variant and measure == "faithfulness" and "curves" in result["details"]
    ]
    if not found:
        return {}
    return {kind: np.mean([curve[kind] for curve in found], axis=0).tolist() for kind in ("insertion", "deletion")}


def _depths(run: EvaluationRun, variant: str) -> list[tuple[float, float]]:
    by_depth: dict[float, list[float]] = {}
    for (name, _, measure), result in run.results.items():
        if name == variant and measure == "sanity":
            for depth, rho, _ in result["details"].get("randomisation", ()):
                if rho is not None:
                    by_depth.setdefault(float(depth), []).append(abs(float(rho)))
    return [(depth, float(np.mean(values))) for depth, values in sorted(by_depth.items())]


def _verdicts(summary: Summary, variant: str) -> list[Verdict]:
    rho = summary.value(variant, "randomised_rho")
    sensitivity = summary.cell(variant, "sensitivity_above_noise")
    identity = summary.value(variant, "identity_share")
    made: list[tuple[str, bool | None, str]] = []
    words = _words(f"|rho| {{:.2f}}, below {_PASS_RHO} passes", rho)
    made.append(("depends on the network", None if rho is None else rho < _PASS_RHO, words))
    above = sensitivity.interval.value if sensitivity else None
    least = sensitivity.interval.low if sensitivity and sensitivity.interval.low is not None else above
    words = _words(f"{{:.3f}} above seed noise, {_PASS_ABOVE} at the interval's low end passes", above)
    made.append(("depends on the partner", None if least is None else least > _PASS_ABOVE, words))
    passed = None if identity is None else identity >= _PASS_IDENTITY
    made.append(("finds a picture in itself", passed, _words("{:.0%} of the leading matches, 95 % passes", identity)))
    return [Verdict(variant=variant, check=check, passed=passed, words=words) for check, passed, words in made]


def _words(template: str, value: float | None) -> str:
    return "not measured" if value is None else template.format(value)
