"""Reads confirmed and rejected pairs, with the records of their explanations, out of a review database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pairx_hooks import Annotation

from .database import ReviewDatabase
from .reading_back import annotation_of
from .schema import MatchQuery, MatchReview

__all__ = ["Judgement", "read_judgements"]

_DECIDED = {"match": True, "nomatch": False}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a reviewer said of one pair.

    Attributes:
        individual_0, individual_1: whom the host knows the animals for, or their annotation ids.
        same: True where the pair was confirmed, False where it was rejected.
        record: of the explanation; None where there is none.
        annotations: query and candidate.
    """

    individual_0: str
    individual_1: str
    same: bool
    record: Mapping[str, Any] | None
    annotations: tuple[Annotation, Annotation] | None = None


def read_judgements(database: ReviewDatabase) -> list[Judgement]:
    """Return every pair that was confirmed or rejected, each once.

    A pair that several runs ranked, or that was ranked both ways round, counts with its latest decision; of equally
    late ones with the one that has a record.

    Raises:
        HostError: the database cannot be used.
    """
    latest: dict[frozenset[str], tuple[tuple[float, bool], Judgement]] = {}
    for match, review in _decided(database):
        key = frozenset((match.annotation_id, review.candidate_id))
        record = review.explanation if review.explanation_status in ("ready", "partial") else None
        when = (review.decided.timestamp() if review.decided else 0.0, record is not None)
        judgement = Judgement(
            individual_0=match.annotation.name or match.annotation_id,
            individual_1=review.candidate.name or review.candidate_id,
            same=_DECIDED[review.evidence_decision],
            record=record,
            annotations=(annotation_of(match.annotation), annotation_of(review.candidate)),
        )
        if key not in latest or when >= latest[key][0]:
            latest[key] = (when, judgement)
    return [judgement for _, judgement in latest.values()]


def _decided(database: ReviewDatabase) -> Iterator[tuple[MatchQuery, MatchReview]]:
    for match in database.matches():
        for review in match.reviews:
            if review.evidence_decision in _DECIDED:
                yield match, review
