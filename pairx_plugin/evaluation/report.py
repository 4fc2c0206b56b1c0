"""Writes what an evaluation found: JSON, CSV, and one HTML page that holds all it shows."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..errors import MissingExtra, StoreError
from .figure_names import FIGURES, HEADLINES, Figure
from .pair_pictures import pair_pictures
from .plots import DotRow, Series, dot_plot, line_plot
from .results_file import SCHEMA
from .running import EvaluationRun
from .summary import Summary

__all__ = ["summary_json", "write_files", "write_text"]

_COLUMNS = ("variant", "figure", "value", "low", "high", "n", "n_individuals", "n_dropped", "reasons")


def write_files(run: EvaluationRun, summary: Summary, folder: Path) -> dict[str, Path]:
    """Write ``evaluation.json``, ``figures.csv``, ``pairs.csv`` and ``evaluation.html``, each whole or not at all.

    Raises:
        MissingExtra: Jinja2 cannot be imported.
        StoreError: a file cannot be written.
    """
    texts = {
        "json": ("evaluation.json", json.dumps(summary_json(run, summary), indent=1, allow_nan=False) + "\n"),
        "figures": ("figures.csv", _figures_csv(summary)),
        "pairs": ("pairs.csv", _pairs_csv(run)),
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
        "failures": {name: dict(Counter(messages)) for name, messages in run.failures.items()},
        "seconds": round(run.seconds, 1),
    }


def _figures_csv(summary: Summary) -> str:
    rows = []
    for cell in summary.cells:
        plain = cell.to_json()
        reasons = "; ".join(f"{reason} {count}" for reason, count in cell.dropped.items())
        rows.append([reasons if name == "reasons" else _shown(plain[name]) for name in _COLUMNS])
    return _csv(_COLUMNS, rows)


def _pairs_csv(run: EvaluationRun) -> str:
    rows: list[list[str]] = []
    for pair in run.pairs:
        for variant in run.variants:
            for measure in run.plan.measures:
                result = run.results.get((variant.name, pair.pair_id, measure))
                for figure, value in (result or {}).get("figures", {}).items():
                    rows.append([variant.name, pair.pair_id, str(pair.same).lower(), pair.individual, pair.stratum,
                                 _shown(pair.similarity), measure, figure, _shown(value)])
    return _csv(
        ("variant", "pair", "same", "individual", "stratum", "similarity", "measure", "figure", "value"), rows
    )


def _csv(columns: tuple[str, ...], rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _page(run: EvaluationRun, summary: Summary) -> str:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtra("jinja2", extra="sample", purpose="writing the report", cause=error) from error
    environment = Environment(
        loader=PackageLoader("pairx_plugin.evaluation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )
    measured = [figure for figure in FIGURES if any(cell.figure == figure.key for cell in summary.cells)]
    known = [figure for figure in measured if any(_value(summary, run, figure, v.name) for v in run.variants)]
    sections = list(dict.fromkeys(figure.section for figure in known))
    return environment.get_template("evaluation.html.j2").render(
        facts=summary_json(run, summary),
        variants=run.variants,
        checks=sorted({verdict.check for verdict in summary.verdicts}),
        verdicts={(verdict.variant, verdict.check): verdict for verdict in summary.verdicts},
        headlines=[(figure, _dots(run, summary, figure)) for figure in known if figure.key in HEADLINES],
        curves=_curve_plots(run, summary),
        sections=[(name, [figure for figure in known if figure.section == name]) for name in sections],
        cells={(cell.variant, cell.figure): cell for cell in summary.cells},
        pictures=[
            (variant, pair_pictures(run, variant)) for variant in run.variants if not variant.baseline
        ],
        failures=[(name, Counter(messages).most_common()) for name, messages in run.failures.items()],
    )


def _value(summary: Summary, run: EvaluationRun, figure: Figure, variant: str) -> bool:
    return summary.value(variant, figure.key) is not None


def _dots(run: EvaluationRun, summary: Summary, figure: Figure) -> str:
    rows = []
    for variant in run.variants:
        cell = summary.cell(variant.name, figure.key)
        found = cell.interval if cell else None
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
    return plots


def write_text(path: Path, text: str) -> Path:
    """Write a file, whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{str(path)!r} cannot be written: {reason}; choose another folder") from error
    return path
