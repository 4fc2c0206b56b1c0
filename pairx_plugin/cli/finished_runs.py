"""Reads a run of the sample host back from its database, as what a report is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import HostError, nearest
from ..report import Note, ReportQuery, RunFacts
from .photographs import PhotographShelf

if TYPE_CHECKING:
    from ..hosts.local.database import ReviewDatabase
    from ..hosts.local.schema import MatchQuery, MatchRun

__all__ = ["choose_run", "facts_of_run", "queries_of_run"]

OnQuery = Callable[[int, int], None]


def choose_run(database: ReviewDatabase, run_id: str | None = None) -> MatchRun:
    """Return a run by its id or the beginning of it; the newest finished one, or else the newest, where none is given.

    Raises:
        HostError: there is no such run, or several begin so.
    """
    runs = database.runs()
    if not runs:
        raise HostError(f"the database {database.shown_url} holds no run; make one with `pairx-plugin run CONFIG`")
    if run_id is None:
        return next((run for run in runs if run.finished is not None), runs[0])
    found = [run for run in runs if run.run_id.startswith(run_id)]
    if len(found) != 1:
        problem = "no run of the database begins" if not found else f"{len(found)} runs of the database begin"
        ids = [run.run_id for run in runs]
        raise HostError(f"{problem} with '{run_id}'{nearest(run_id, ids)}; newest: {', '.join(ids[:5])}")
    return found[0]


def facts_of_run(database: ReviewDatabase, run: MatchRun) -> RunFacts:
    """Return what the head of a report says of a run."""
    found = [run.explanation_failure, *run.problems] if run.explanation_failure else run.problems
    notes = [Note.from_json(item) for item in found]
    return RunFacts(
        model_id=run.model_id,
        model_fingerprint=run.model_fingerprint,
        rank_1=run.rank_1,
        mean_average_precision=run.mean_average_precision,
        n_judged=sum(match.correct_rank is not None for match in database.matches(run.run_id)),
        n_annotations=run.n_annotations,
        notes=[note for note in notes if note.message],
    )


def queries_of_run(
    database: ReviewDatabase, run: MatchRun, on_query: OnQuery | None = None, *, shelf: PhotographShelf | None = None
) -> list[ReportQuery]:
    """Return the queries of a run in order; their pictures stay on the disk, by paths relative to the output folder."""
    shelf = shelf if shelf is not None else PhotographShelf()
    matches = list(database.matches(run.run_id))
    found = []
    for done, match in enumerate(matches, start=1):
        found.append(_query(match, run, shelf))
        if on_query is not None:
            on_query(done, len(matches))
    return found


def _query(match: MatchQuery, run: MatchRun, shelf: PhotographShelf) -> ReportQuery:
    from ..hosts.local.reading_back import explanations_of, failure_of_row, notes_of, ranked_query_of

    ranked, explanations = ranked_query_of(match, run.model_id), explanations_of(match)
    explained = {item.candidate_id for item in explanations if item.artifacts}
    rest = [item.annotation for item in ranked.candidates if item.annotation.annotation_id not in explained]
    chips = {annotation.annotation_id: shelf.chip(annotation) for annotation in rest}
    return ReportQuery(
        ranked_query=ranked,
        explanations=explanations,
        photograph=shelf.query(ranked.query),
        chips={key: chip for key, chip in chips.items() if chip is not None},
        notes=notes_of(match),
        failure=failure_of_row(match.failure),
    )
