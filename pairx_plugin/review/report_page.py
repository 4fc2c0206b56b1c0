"""The report of a task: the same file that the command line writes, made from what the server has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pairx_hooks import Annotation, Artifact, Explanation

from ..errors import ChipError
from ..report import Decided, QueryPhotograph, ReportQuery, RunFacts, encoded_picture, render_report
from ..report.pictures import PictureEmbedder
from .decisions import UNDECIDED, Decision
from .evidence_parts import kept_parts
from .services import Services
from .source import ReviewQuery, ReviewTask

__all__ = ["report_parts"]

_CHIP_SIDE, _QUERY_SIDE = 220, 960


def report_parts(services: Services, task: ReviewTask, ids: Sequence[str], language: str) -> Iterator[str]:
    """Return the report of some queries of a task, piece by piece."""
    queries = [_query(services, services.query(task.task_id, query_id)) for query_id in ids]
    return render_report(
        queries,
        run=RunFacts(model_id=task.model_id),
        title=task.title,
        language=language,
        pictures=PictureEmbedder(folder=services.source.pictures),
    )


def _query(services: Services, query: ReviewQuery) -> ReportQuery:
    ranked = query.ranked_query
    decisions = services.source.decisions.latest(ranked.query_id)
    drawn = {item.candidate_id for item in query.explanations.values() if item.artifacts}
    rest = [item.annotation for item in ranked.candidates if item.annotation.annotation_id not in drawn]
    small = {item.annotation_id: _picture(services, item, _CHIP_SIDE) for item in rest}
    asked = _picture(services, ranked.query, _QUERY_SIDE)
    return ReportQuery(
        ranked_query=ranked,
        explanations=[_shareable(query, item) for item in query.explanations.values()],
        photograph=QueryPhotograph(picture=asked) if asked is not None else None,
        chips={key: picture for key, picture in small.items() if picture is not None},
        notes=query.notes,
        failure=query.failure,
        show_names=services.options.show_names,
        decisions={key: _decided(decision) for key, decision in decisions.items() if _says(decision)},
    )


def _picture(services: Services, annotation: Annotation, side: int) -> Artifact | None:
    try:
        return encoded_picture(services.source.chip(annotation).pixels, "chip", max_side=side)
    except (ChipError, OSError, MemoryError):  # the report says that it is missing
        return None


def _shareable(query: ReviewQuery, explanation: Explanation) -> Explanation:
    """An explanation without addresses of this machine: the report may go to anybody."""
    candidate = query.candidate(explanation.rank)
    failure = explanation.failure
    record = explanation.record
    if record and candidate is not None:
        record = {**kept_parts(explanation, query.ranked_query, candidate).record, "maps": record.get("maps") or []}
    return replace(explanation, record=record, failure=replace(failure, message="") if failure else None)


def _says(decision: Decision) -> bool:
    return decision.evidence_decision != UNDECIDED or decision.skipped


def _decided(decision: Decision) -> Decided:
    return Decided(
        evidence_decision=decision.evidence_decision,
        confidence=decision.confidence,
        tags=decision.tags,
        comment=decision.comment,
        user_id=decision.user_id,
        timestamp=decision.timestamp,
    )
