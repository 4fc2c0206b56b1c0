"""What a run of the sample host came to, for a command line to print and a report to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pairx_hooks import Failure

from .annotations import Problem
from .database import ExplanationEntry
from .ranking import Ranking

__all__ = ["CandidateSummary", "QuerySummary", "RunSummary", "summarise_ranking"]


@dataclass(frozen=True, kw_only=True)
class CandidateSummary:
    """One candidate of one query.

    Attributes:
        correct: whether it is the query's individual; None where one of the two names is not known.
        status: of the explanation, as on the review record; None where none was asked for.
        pictures: version and path of each, relative to the output folder.
    """

    rank: int
    annotation_id: str
    image: str
    name: str | None
    score: float | None
    name_score: float | None
    correct: bool | None
    status: str | None = None
    failure: Mapping[str, Any] | None = None
    pictures: tuple[Mapping[str, Any], ...] = ()
    record_path: str | None = None
    warnings: tuple[Problem, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            **{
                name: getattr(self, name)
                for name in ("rank", "annotation_id", "image", "name", "score", "name_score")
            },
            "correct": self.correct,
            "status": self.status,
            "failure": None if self.failure is None else dict(self.failure),
            "pictures": [dict(picture) for picture in self.pictures],
            "record_path": self.record_path,
            "warnings": [problem.to_json() for problem in self.warnings],
        }


@dataclass(frozen=True, kw_only=True)
class QuerySummary:
    """One query of a run, with its candidates or with the reason why it has none."""

    query_id: str
    annotation_id: str
    image: str
    name: str | None
    candidates: tuple[CandidateSummary, ...] = ()
    failure: Failure | None = None
    warnings: tuple[Problem, ...] = ()
    n_searched: int = 0
    correct_rank: int | None = None
    average_precision: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            **{
                name: getattr(self, name)
                for name in ("query_id", "annotation_id", "image", "name", "n_searched")
            },
            "correct_rank": self.correct_rank,
            "average_precision": self.average_precision,
            "failure": None if self.failure is None else self.failure.to_json(),
            "warnings": [problem.to_json() for problem in self.warnings],
            "candidates": [candidate.to_json() for candidate in self.candidates],
        }


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A whole run.

    Attributes:
        database: address of the review database, without password.
        output: folder that the paths of pictures and records start from.
        explain: whether the flag was on.
        explanation_failure: why nothing at all was explained although the flag was on.
        problems: what was left out: rows of the file, photographs, unknown queries; and a flag that looks
            misspelt.
        seconds: by stage: ``model``, ``embed``, ``rank``, ``explain``, ``total``.
    """

    run_id: str
    model_id: str
    model_fingerprint: str
    database: str
    output: str
    explain: bool
    n_annotations: int
    queries: tuple[QuerySummary, ...]
    problems: tuple[Problem, ...] = ()
    explanation_failure: Failure | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def n_judged(self) -> int:
        """How many queries have a name that another annotation has too; only they can be right or wrong."""
        return sum(query.correct_rank is not None for query in self.queries)

    @property
    def rank_1(self) -> float | None:
        """Share of the judged queries whose best candidate is right, in 0..1; None without any."""
        return _mean(
            [float(query.correct_rank == 1) for query in self.queries if query.correct_rank is not None]
        )

    @property
    def mean_average_precision(self) -> float | None:
        """Mean average precision of the judged queries, in 0..1; None without any."""
        return _mean(
            [query.average_precision for query in self.queries if query.average_precision is not None]
        )

    @property
    def statuses(self) -> dict[str, int]:
        """How many candidates have an explanation of each status."""
        return dict(
            Counter(c.status for query in self.queries for c in query.candidates if c.status is not None)
        )

    @property
    def n_failed_queries(self) -> int:
        """How many queries could not be ranked."""
        return sum(query.failure is not None for query in self.queries)

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        plain = ("run_id", "model_id", "model_fingerprint", "database", "output", "explain", "n_annotations")
        figures = ("n_judged", "rank_1", "mean_average_precision", "n_failed_queries", "statuses")
        return {
            **{name: getattr(self, name) for name in (*plain, *figures)},
            "explanation_failure": (
                None if self.explanation_failure is None else self.explanation_failure.to_json()
            ),
            "problems": [problem.to_json() for problem in self.problems],
            "seconds": dict(self.seconds),
            "queries": [query.to_json() for query in self.queries],
        }


def summarise_ranking(ranking: Ranking, entries: Mapping[str, ExplanationEntry]) -> QuerySummary:
    """Put together a query's ranking and the explanations of its candidates, by annotation id."""
    ranked = ranking.ranked_query
    candidates = []
    for candidate in ranked.candidates:
        annotation = candidate.annotation
        entry = entries.get(annotation.annotation_id)
        known = ranked.query.name is not None and annotation.name is not None
        candidates.append(
            CandidateSummary(
                rank=candidate.rank,
                annotation_id=annotation.annotation_id,
                image=annotation.image,
                name=annotation.name,
                score=candidate.score,
                name_score=candidate.name_score,
                correct=annotation.name == ranked.query.name if known else None,
                status=entry.status if entry else None,
                failure=entry.failure if entry else None,
                pictures=tuple(entry.pictures) if entry else (),
                record_path=entry.record_path if entry else None,
                warnings=ranking.candidate_warnings.get(annotation.annotation_id, ()),
            )
        )
    return QuerySummary(
        query_id=ranked.query_id,
        annotation_id=ranked.query.annotation_id,
        image=ranked.query.image,
        name=ranked.query.name,
        candidates=tuple(candidates),
        warnings=ranking.warnings,
        n_searched=ranked.n_searched or 0,
        correct_rank=ranking.correct_rank,
        average_precision=ranking.average_precision,
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
