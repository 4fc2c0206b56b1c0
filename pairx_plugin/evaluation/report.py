"""Writes what an evaluation found: JSON, CSV, and one HTML page that holds all it shows."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..atomic_files import unwritten, write_whole
from ..report.page_templates import page_templates
from .figure_names import FIGURES, Figure
from .pair_pictures import pair_pictures
from .plots import DotRow, Series, dot_plot, line_plot
from .results_file import SCHEMA
from .running import EvaluationRun
from .summary import Summary
from .tables import differences_csv, figures_csv, pairs_csv, strata_csv

__all__ = ["summary_json", "write_files", "write_text"]


def write_files(run: EvaluationRun, summary: Summary, folder: Path) -> dict[str, Path]:
    """Write ``evaluation.json``, ``evaluation.html``, and as CSV figures, differences, strata and pairs.

    Each file is written whole or not at all.

    Raises:
        MissingExtra: Jinja2 cannot be imported.
        StoreError: a file cannot be written.
    """
    texts = {
        "json": ("evaluation.json", json.dumps(summary_json(run, summary), indent=1, allow_nan=False) + "\n"),
        "figures": ("figures.csv", figures_csv(summary)),
        "differences": ("differences.csv", differences_csv(summary)),
        "strata": ("strata.csv", strata_csv(run)),
        "pairs": ("pairs.csv", pairs_csv(run)),
        "report": ("evaluation.html", _page(run, summary)),
    }
    return {name: write_text(folder / file_name, text) for name, (file_name, text) in texts.items()}


def summary_json(run: EvaluationRun, summary: Summary) -> dict[str, Any]:
    """Return everything but the single results as JSON values."""
    choice = run.choice
    return {
        "schema": SCHEMA,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "data": run.subject_set.source,
        "model_id": run.bench.model.model_id,
        "identity": dict(run.identity),
        "plan": run.plan.to_json(),
        "pairs": {
            "same": sum(pair.same for pair in run.pairs),
            "different": sum(not pair.same for pair in run.pairs),
            "matched": choice.n_matched,
            "without_equally_similar_pair": choice.n_unmatched,
            "tolerance": choice.tolerance,
            "cosine_auc": choice.cosine_auc,
            "photographs": len(run.subject_set.subjects),
            "individuals": len({subject.name for subject in run.subject_set.subjects}),
            "left_out": list(run.subject_set.left_out),
        },
        "variants": [variant.to_json() for variant in run.variants],
        "figures": [cell.to_json() for cell in summary.cells],
        "checks": [verdict.to_json() for verdict in summary.verdicts],
        "standings": [item.to_json() for item in summary.standings],
        "differences": [item.to_json() for item in summary.differences],
        "abstention": {
            name: [{"threshold": t, "coverage": c, "accuracy": a} for t, c, a in curve]
            for name, curve in summary.abstention.items()
            if curve
        },
        "doubts": {name: dict(counts) for name, counts in summary.doubts.items() if counts},
        "failures": {name: dict(Counter(messages)) for name, messages in run.failures.items()},
        "seconds": round(run.seconds, 1),
    }


def _page(run: EvaluationRun, summary: Summary) -> str:
    templates = page_templates("pairx_plugin.evaluation", purpose="writing the report")
    measured = [figure for figure in FIGURES if any(cell.figure == figure.key for cell in summary.cells)]
    known = [figure for figure in measured if any(summary.value(v.name, figure.key) is not None for v in run.variants)]
    leading = [figure for figure in known if figure.key in summary.headlines]
    sections = list(dict.fromkeys(figure.section for figure in known))
    return templates.get_template("evaluation.html.j2").render(
        facts=summary_json(run, summary),
        variants=run.variants,
        checks=sorted({verdict.check for verdict in summary.verdicts}),
        verdicts={(verdict.variant, verdict.check): verdict for verdict in summary.verdicts},
        headlines=[(figure, _dots(run, summary, figure)) for figure in leading],
        standings=summary.standings,
        differences=[(figure, plot) for figure in leading if (plot := _difference_dots(run, summary, figure))],
        titles={figure.key: figure.title for figure in FIGURES},
        curves=_curve_plots(run, summary),
        sections=[(name, [figure for figure in known if figure.section == name]) for name in sections],
        cells={(cell.variant, cell.figure): cell for cell in summary.cells},
        pictures=[
            (variant, pair_pictures(run, variant)) for variant in run.variants if not variant.baseline
        ],
        failures=[(name, Counter(messages).most_common()) for name, messages in run.failures.items()],
    )


def _dots(run: EvaluationRun, summary: Summary, figure: Figure) -> str:
    rows = []
    for variant in run.variants:
        cell = summary.cell(variant.name, figure.key)
        found = cell.interval if cell else None
        if variant.baseline and (found is None or found.value is None):
            continue  # most of them draw no matches; the table says so
        rows.append(
            DotRow(
                label=variant.name,
                value=found.value if found else None,
                low=found.low if found else None,
                high=found.high if found else None,
                grey=variant.baseline,
            )
        )
    return dot_plot(rows, title=figure.title, chance=figure.chance)


def _difference_dots(run: EvaluationRun, summary: Summary, figure: Figure) -> str:
    """Return a figure's differences to the first variant, nothing where there are none."""
    there = {item.variant: item for item in summary.differences if item.figure == figure.key}
    if not there:
        return ""
    rows = [
        DotRow(label=name, value=item.interval.value, low=item.interval.low, high=item.interval.high,
               grey=item.verdict == "open")
        for name, item in there.items()
    ]
    return dot_plot(rows, title=f"{figure.title}, less that of {run.variants[0].name}", chance=0.0)


def _curve_plots(run: EvaluationRun, summary: Summary) -> list[tuple[str, str]]:
    shares = [index / run.plan.n_steps for index in range(run.plan.n_steps + 1)]
    plots = []
    for kind, words in (("insertion", "share of pixels shown"), ("deletion", "share of pixels taken away")):
        series = [
            Series(label=variant.name, x=shares, y=summary.curves[variant.name][kind], grey=variant.baseline)
            for variant in run.variants
            if summary.curves.get(variant.name)
        ]
        if series:
            plot = line_plot(series, title=kind, x_title=words, y_title="similarity, scaled", y_range=(-0.1, 1.1))
            plots.append((kind.capitalize(), plot))
    series = [
        Series(label=variant.name, x=[d for d, _ in depths], y=[rho for _, rho in depths], grey=variant.baseline)
        for variant in run.variants
        if len(depths := summary.randomisation.get(variant.name, [])) > 1
    ]
    if series:
        words = "share of modules drawn anew, from the top"
        plot = line_plot(series, title="randomisation", x_title=words, y_title="|rank correlation|", y_range=(0.0, 1.0))
        plots.append(("Cascading randomisation", plot))
    series = [
        Series(label=name, x=[share for _, share, _ in curve], y=[right for _, _, right in curve])
        for name, curve in summary.abstention.items()
        if len(curve) > 1
    ]
    if series:
        words = "share of attributes that are still said"
        plot = line_plot(series, title="abstention", x_title=words, y_title="share right", y_range=(0.0, 1.0))
        plots.append(("Attributes: what abstaining is worth", plot))
    return plots


def write_text(path: Path, text: str) -> Path:
    """Write a file, whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        raise unwritten("the file", path, error) from error
    return path
