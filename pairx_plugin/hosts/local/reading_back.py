"""Rows of the review database as records of the hook contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pairx_hooks import Annotation, Artifact, Candidate, Explanation, Failure, RankedQuery, RecordError, Status

from ...report import Note
from .schema import AnnotationRow, MatchQuery, MatchReview

__all__ = ["annotation_of", "explanations_of", "failure_of_row", "notes_of", "ranked_query_of"]


def annotation_of(row: AnnotationRow) -> Annotation:
    """Return an annotation as the latest run that used it read it."""
    box = (row.x, row.y, row.w, row.h)
    return Annotation(
        annotation_id=row.annotation_id,
        image=row.image,
        bbox=None if None in box else tuple(map(float, box)),  # type: ignore[arg-type]
        theta=row.theta,
        name=row.name,
        species=row.species,
        viewpoint=row.viewpoint,
        extra=row.extra or {},
    )


def ranked_query_of(match: MatchQuery, model_id: str) -> RankedQuery:
    """Return a query with its candidates, ranks and scores as they were written."""
    return RankedQuery(
        query_id=match.query_id,
        query=annotation_of(match.annotation),
        candidates=tuple(
            Candidate(
                annotation=annotation_of(review.candidate),
                rank=review.rank,
                score=review.score,
                name_score=review.name_score,
            )
            for review in match.reviews
        ),
        model_id=model_id,
        score_scale=match.score_scale,
        n_searched=match.n_searched,
    )


def explanations_of(match: MatchQuery) -> list[Explanation]:
    """Return the explanations that were asked for, in rank order; paths of pictures are relative."""
    return [_explanation(match.query_id, review) for review in match.reviews if review.explanation_status]


def notes_of(match: MatchQuery) -> dict[str, list[Note]]:
    """Return the host's doubts by annotation id, the query's included."""
    notes = {review.candidate_id: _notes(review.warnings) for review in match.reviews}
    return {**notes, match.annotation_id: _notes(match.warnings)}


def failure_of_row(value: Mapping[str, Any] | None) -> Failure | None:
    """Return a failure that a row holds as JSON."""
    return None if not value else Failure.from_json(value)


def _explanation(query_id: str, review: MatchReview) -> Explanation:
    status, failure = Status(review.explanation_status), failure_of_row(review.explanation_failure)
    if failure is None and (status.failed or status is Status.PARTIAL):
        failure = Failure(code="UNKNOWN", message="the review record does not say why")
    pictures = [artifact for artifact in map(_artifact, review.pictures or ()) if artifact is not None]
    return Explanation(
        query_id=query_id,
        candidate_id=review.candidate_id,
        rank=review.rank,
        status=status,
        explainer=review.explainer or "",
        record=review.explanation or {},
        artifacts=tuple(pictures),
        failure=failure,
    )


def _artifact(picture: Mapping[str, Any]) -> Artifact | None:
    try:
        return Artifact.from_json(picture)
    except RecordError:  # written by another version; the other pictures are still good
        return None


def _notes(values: Sequence[Any] | None) -> list[Note]:
    return [Note.from_json(item) for item in values or ()]
