"""``pairx-plugin run``: the sample host, from its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import MissingExtra, StoreError
from .display import Steps, output, print_json, steps, table
from .failures import PARTIAL, print_error
from .options import ModelOptions, parse_model_options
from .report import write_run_report

if TYPE_CHECKING:
    from ..hosts.local import RunSummary
    from ..models.embedding import EmbeddingModel

__all__ = ["is_partial", "print_summary", "report_of", "run"]

_SHOWN, _NOTES = 20, 5


def run(
    config: Annotated[Path, typer.Argument(help="TOML file: annotations, model, pairx_explain and so on.")],
    model_option: ModelOptions = None,
    with_report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write report.html into the output folder.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Run the sample host: embed and rank, write review records, and explain where its configuration says so."""
    options = parse_model_options(model_option, input_size=None)
    with steps() as progress:
        progress.begin("load")
        from ..hosts.local import LocalHost, LocalHostConfig

        settings = LocalHostConfig.from_file(config)
        with LocalHost(settings, model=_network(settings.model, options), progress=progress) as host:
            summary = host.run()
            notes: tuple[str, ...] = getattr(host.embedding_model(summary.model_id), "notes", ())
        page = report_of(settings.database, summary, progress) if with_report else None
    if as_json:
        print_json({**summary.to_json(), "notes": list(notes), "report": None if page is None else str(page)})
    else:
        print_summary(summary, page, notes)
    if is_partial(summary) or (with_report and page is None):
        raise typer.Exit(PARTIAL)


def _network(model: str, options: dict[str, Any]) -> EmbeddingModel | None:
    """Load the network with options; without any the host loads it, when it has read what is to be ranked."""
    if not options:
        return None
    from ..models.catalogue import ModelCatalogue

    return ModelCatalogue().load(model, **options)


def is_partial(summary: RunSummary) -> bool:
    """Whether something that was asked for is missing: a query, an explanation, all of them."""
    missing = any(summary.statuses.get(status) for status in ("failed", "partial", "unsupported"))
    return bool(missing or summary.n_failed_queries or summary.explanation_failure)


def print_summary(summary: RunSummary, page: Path | None, notes: Sequence[str]) -> None:
    """Print what came of a run, what its network's loader notes, and where everything is."""
    console = output()
    console.print(_queries_table(summary))
    if len(summary.queries) > _SHOWN:
        console.print(f"... and {len(summary.queries) - _SHOWN} queries more.")
    if summary.rank_1 is not None and summary.mean_average_precision is not None:
        console.print(
            f"Rank-1 {summary.rank_1:.1%}, mean average precision {summary.mean_average_precision:.3f} over "
            f"{summary.n_judged} queries with a known name, each compared with {summary.n_annotations - 1} photographs."
        )
    for reason in _reasons(summary):
        console.print(reason)
    for note in notes:
        console.print(f"note: {note}")
    for problem in summary.problems[:_NOTES]:
        console.print(f"note [{problem.code}]: {problem.message}")
    if len(summary.problems) > _NOTES:
        console.print(f"... and {len(summary.problems) - _NOTES} notes more; --json shows all.")
    places = [("database", summary.database), ("pictures and records", summary.output), ("report", str(page or ""))]
    for name, place in places:
        if place:
            console.print(f"{name + ':':<22}{place}", soft_wrap=True)


def _queries_table(summary: RunSummary) -> Any:
    right = ("score", "right at", "explained")
    rows = table("query", "best candidate", *right, right=right)
    for query in summary.queries[:_SHOWN]:
        best = query.candidates[0] if query.candidates else None
        ready = sum(candidate.status in ("ready", "partial") for candidate in query.candidates)
        failed = sum(candidate.status in ("failed", "unsupported") for candidate in query.candidates)
        rows.add_row(
            Path(query.image).name,
            query.failure.message if query.failure else (best.name or best.annotation_id) if best else "none",
            "" if best is None or best.score is None else f"{best.score:.3f}",
            "" if query.correct_rank is None else f"rank {query.correct_rank}",
            f"{ready}, {failed} failed" if failed else str(ready),
        )
    return rows


def _reasons(summary: RunSummary) -> Iterator[str]:
    """Why explanations are missing, each reason once."""
    if not summary.explain:
        yield "Nothing was explained: pairx_explain is off."
    if summary.explanation_failure is not None:
        yield f"Nothing was explained: {summary.explanation_failure.message}"
        return
    failures = [item.failure for query in summary.queries for item in query.candidates if item.failure]
    by_code: dict[str, list[Any]] = {}
    for failure in failures:
        by_code.setdefault(str(failure["code"]), []).append(failure["message"])
    for code, messages in by_code.items():
        yield f"{len(messages)} not explained [{code}]: {messages[0]}"


def report_of(url: str, summary: RunSummary, progress: Steps) -> Path | None:
    """Write the report of a run that has just ended; where that fails, say why: everything else is there already."""
    try:
        return write_run_report(url, run_id=summary.run_id, pictures=Path(summary.output), progress=progress)[0]
    except (MissingExtra, StoreError) as error:
        print_error(error.code, str(error))
        return None
