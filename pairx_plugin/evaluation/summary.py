"""From results to a table: every variant and every figure, with intervals over individuals and what was dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .attribute_figures import calibration_error, coverage_accuracy
from .bootstrap import Interval, mean_interval
from .differences import Difference, Standing, differences, standing
from .figure_names import FIGURES, HEADLINES, Figure
from .gathered import AUC, auc_interval, couples, values
from .running import EvaluationRun

__all__ = ["Cell", "Summary", "Verdict", "summarise"]

_PASS_RHO, _PASS_ABOVE, _PASS_IDENTITY = 0.2, 0.01, 0.95
_FEW = 3
_ECE = "attribute_ece"  # of all that was said together: no mean over pairs


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
    """The table, the checks, and the curves behind them.

    Attributes:
        differences: of every other variant to the first one, pair by pair.
        headlines: the figures that decide; where hardly any of them were measured, all but the cost.
        standings: over those, of every variant that is no null baseline.
        abstention: (threshold, coverage, accuracy) of named attributes, most cautious first, by variant.
        doubts: on how many pairs a variant had a doubt of its own, by its code.
    """

    cells: tuple[Cell, ...]
    verdicts: tuple[Verdict, ...]
    differences: tuple[Difference, ...]
    headlines: tuple[str, ...]
    standings: tuple[Standing, ...]
    curves: Mapping[str, Mapping[str, list[float]]]
    randomisation: Mapping[str, list[tuple[float, float]]]
    abstention: Mapping[str, list[tuple[float, float, float]]]
    doubts: Mapping[str, Mapping[str, int]]

    def cell(self, variant: str, figure: str) -> Cell | None:
        """Return a cell, None where nothing of it was looked at."""
        return next((cell for cell in self.cells if (cell.variant, cell.figure) == (variant, figure)), None)

    def value(self, variant: str, figure: str) -> float | None:
        """Return a figure, None where there is none."""
        found = self.cell(variant, figure)
        return None if found is None else found.interval.value


def summarise(run: EvaluationRun) -> Summary:
    """Put all results of a run together."""
    cells = (_cell(run, variant.name, figure.key) for variant in run.variants for figure in FIGURES)
    kept = tuple(cell for cell in cells if cell.interval.n or cell.dropped)
    leading = _leading({cell.figure for cell in kept if cell.interval.value is not None})
    table = Summary(
        cells=kept,
        verdicts=(),
        differences=differences(run, run.variants[0].name),
        headlines=tuple(figure.key for figure in leading),
        standings=standing(run, leading),
        curves={variant.name: _curves(run, variant.name) for variant in run.variants},
        randomisation={variant.name: _depths(run, variant.name) for variant in run.variants},
        abstention={variant.name: coverage_accuracy(*_said(run, variant.name)) for variant in run.variants},
        doubts={variant.name: _doubts(run, variant.name) for variant in run.variants},
    )
    verdicts = [verdict for variant in run.variants for verdict in _verdicts(table, variant.name)]
    return replace(table, verdicts=tuple(verdicts))


def _leading(measured: Collection[str]) -> list[Figure]:
    known = [figure for figure in FIGURES if figure.key in measured]
    headlines = [figure for figure in known if figure.key in HEADLINES]
    return headlines if len(headlines) >= _FEW else [figure for figure in known if figure.section != "cost"]


def _cell(run: EvaluationRun, variant: str, figure: str) -> Cell:
    if figure == _ECE:
        return _ece_cell(run, variant)
    if figure.startswith(AUC):
        matched = couples(run, variant, figure.removeprefix(AUC))
        interval, dropped = auc_interval(matched.rows, seed=run.plan.seed), matched.dropped
    else:
        found = values(run, variant, figure)
        interval = mean_interval(
            [row.value for row in found.rows], [row.individual for row in found.rows], seed=run.plan.seed
        )
        dropped = found.dropped
    return Cell(variant=variant, figure=figure, interval=interval, dropped=dropped)


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
    return Cell(variant=variant, figure=_ECE, interval=interval)


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


def _doubts(run: EvaluationRun, variant: str) -> Counter[str]:
    found = (run.results.get((variant, pair.pair_id, "plausibility")) for pair in run.pairs)
    return Counter(code for result in found if result for code in result["details"].get("doubts", ()))


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
