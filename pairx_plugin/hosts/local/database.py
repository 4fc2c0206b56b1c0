"""The review database: one transaction per query, ranks and scores first, explanations afterwards."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pairx_hooks import Annotation, Failure
from sqlalchemy import Engine, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, joinedload, selectinload

from ...closable import Closable
from ...errors import HostError
from .annotations import Problem
from .connection import connect, host_errors, shown_url
from .ranking import Ranking
from .schema import AnnotationRow, MatchQuery, MatchReview, MatchRun, utc_now

__all__ = ["ExplanationEntry", "ReviewDatabase"]

_CHUNK = 500  # rows of one INSERT; SQLite allows so many values and no more


@dataclass(frozen=True, kw_only=True)
class ExplanationEntry:
    """What an explanation puts on the review record of one candidate; JSON values only.

    Attributes:
        candidate_id: annotation id of the candidate.
        status: a status of the hook contract, such as ``ready`` or ``failed``.
        record: the explanation as JSON data, or None.
        failure: why something is missing, or None.
        pictures: artifacts as JSON, `path` relative to the output folder.
        record_path: where the JSON record lies, relative to the output folder.
    """

    candidate_id: str
    status: str
    explainer: str | None = None
    record: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None
    pictures: Sequence[Mapping[str, Any]] = ()
    record_path: str | None = None


class ReviewDatabase(Closable):
    """Match-review records in SQLite or PostgreSQL; threads and processes may share one.

    Args:
        url: SQLAlchemy URL, such as ``sqlite:///reviews.sqlite3`` or
            ``postgresql://user:password@server/database``.
        read_only: what is not there is not made, and no method that writes may be called.

    Raises:
        HostUnavailable: the database does not answer; every method may raise it too.
        HostError: the URL or the tables in the database are not this host's; every method raises it for a
            refusal.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._url = url
        self._engine: Engine = connect(url, read_only=read_only)

    def __repr__(self) -> str:
        return f"<ReviewDatabase {self.shown_url}>"

    @property
    def shown_url(self) -> str:
        """The address without its password."""
        return shown_url(self._url)

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def begin_run(
        self,
        *,
        config: Mapping[str, Any],
        model_id: str,
        model_fingerprint: str,
        explain: bool,
        n_annotations: int,
        problems: Sequence[Problem] = (),
    ) -> str:
        """Write a new run and return its id."""
        run = MatchRun(
            run_id=uuid.uuid4().hex,
            config=dict(config),
            model_id=model_id,
            model_fingerprint=model_fingerprint,
            explain=explain,
            n_annotations=n_annotations,
            problems=[problem.to_json() for problem in problems],
        )
        with self._writing() as session:
            session.add(run)
        return run.run_id

    def add_annotations(self, annotations: Sequence[Annotation]) -> None:
        """Write annotations; one that is there already takes the new values."""
        insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        # In the order of their ids, since two writers that lock rows in another order wait for each other.
        rows = [_annotation_values(item) for item in sorted(annotations, key=lambda item: item.annotation_id)]
        with self._writing() as session:
            for start in range(0, len(rows), _CHUNK):
                statement = insert(AnnotationRow).values(rows[start : start + _CHUNK])
                changed = {name: statement.excluded[name] for name in rows[0] if name != "annotation_id"}
                session.execute(
                    statement.on_conflict_do_update(index_elements=["annotation_id"], set_=changed)
                )

    def save_ranking(
        self, run_id: str, position: int, ranking: Ranking, *, awaited: Iterable[str] = ()
    ) -> None:
        """Write a query and its review records in one transaction.

        Args:
            position: the query's place in the run, from 0.
            awaited: candidates that are to be explained; their records say ``queued`` until they are.
        """
        ranked, waiting = ranking.ranked_query, set(awaited)
        row = self._query_row(run_id, position, ranked.query_id, ranked.query.annotation_id)
        row.status, row.score_scale, row.n_searched = "ranked", ranked.score_scale, ranked.n_searched or 0
        row.correct_rank, row.average_precision = ranking.correct_rank, ranking.average_precision
        row.chip_sha256 = ranking.chip_sha256.get(ranked.query.annotation_id)
        row.warnings = [problem.to_json() for problem in ranking.warnings]
        for candidate in ranked.candidates:
            key = candidate.annotation.annotation_id
            row.reviews.append(
                MatchReview(
                    candidate_id=key,
                    rank=candidate.rank,
                    score=candidate.score,
                    name_score=candidate.name_score,
                    warnings=[problem.to_json() for problem in ranking.candidate_warnings.get(key, ())],
                    chip_sha256=ranking.chip_sha256.get(key),
                    explanation_status="queued" if key in waiting else None,
                    pictures=[],
                )
            )
        with self._writing() as session:
            session.add(row)

    def save_failed_query(
        self, run_id: str, position: int, query_id: str, annotation_id: str, failure: Failure
    ) -> None:
        """Write a query that could not be ranked, and why."""
        row = self._query_row(run_id, position, query_id, annotation_id)
        row.status, row.score_scale, row.n_searched = "failed", "raw", 0
        row.failure = failure.to_json()
        with self._writing() as session:
            session.add(row)

    def save_explanations(self, query_id: str, entries: Sequence[ExplanationEntry]) -> None:
        """Write the explanations of a query in one transaction; ranks, scores and decisions are not touched.

        Raises:
            HostError: the query has no review record for a candidate; then nothing is written.
        """
        with self._writing() as session:
            for entry in entries:
                touched = session.execute(
                    update(MatchReview)
                    .where(MatchReview.query_id == query_id, MatchReview.candidate_id == entry.candidate_id)
                    .values(
                        explanation_status=entry.status,
                        explainer=entry.explainer,
                        explanation=None if entry.record is None else dict(entry.record),
                        explanation_failure=None if entry.failure is None else dict(entry.failure),
                        pictures=[dict(picture) for picture in entry.pictures],
                        record_path=entry.record_path,
                        explained=utc_now(),
                    )
                    .execution_options(synchronize_session=False)
                )
                if touched.rowcount != 1:  # type: ignore[attr-defined]
                    raise HostError(
                        f"query '{query_id}' has no review record of candidate '{entry.candidate_id}'"
                    )

    def finish_run(
        self,
        run_id: str,
        *,
        rank_1: float | None,
        mean_average_precision: float | None,
        explanation_failure: Failure | None = None,
    ) -> None:
        """Write what came of a run."""
        with self._writing() as session:
            run = session.get(MatchRun, run_id)
            if run is None:
                raise HostError(f"no run '{run_id}' in the database {self.shown_url}")
            run.finished, run.rank_1, run.mean_average_precision = utc_now(), rank_1, mean_average_precision
            run.explanation_failure = explanation_failure.to_json() if explanation_failure else None

    def runs(self) -> list[MatchRun]:
        """Return all runs, newest first, without their queries."""
        with self._reading() as session:
            return list(session.scalars(select(MatchRun).order_by(MatchRun.created.desc(), MatchRun.run_id)))

    def get_match(self, query_id: str) -> MatchQuery:
        """Return a query with its annotation and its review records, best first, each with its candidate.

        Raises:
            HostError: there is no such query.
        """
        with self._reading() as session:
            found = session.scalar(
                select(MatchQuery)
                .where(MatchQuery.query_id == query_id)
                .options(
                    joinedload(MatchQuery.annotation),
                    joinedload(MatchQuery.run),
                    selectinload(MatchQuery.reviews).joinedload(MatchReview.candidate),
                )
            )
        if found is None:
            raise HostError(f"no query '{query_id}' in the database {self.shown_url}")
        return found

    def matches(self, run_id: str | None = None) -> Iterator[MatchQuery]:
        """Yield every query of a run, or of all runs, in order and as :meth:`get_match` returns it."""
        with self._reading() as session:
            wanted = (
                select(MatchQuery.query_id)
                .join(MatchRun)
                .order_by(MatchRun.created, MatchRun.run_id, MatchQuery.position)
            )
            ids = list(
                session.scalars(wanted if run_id is None else wanted.where(MatchQuery.run_id == run_id))
            )
        for query_id in ids:  # one at a time: explanations are large, and a page reads slowly
            yield self.get_match(query_id)

    def has_query(self, query_id: str) -> bool:
        """Return whether there is a query of that id."""
        with self._reading() as session:
            return session.get(MatchQuery, query_id) is not None

    def annotations(self, ids: Sequence[str]) -> list[AnnotationRow]:
        """Return those of some annotations that are there."""
        with self._reading() as session:
            parts = [ids[start : start + _CHUNK] for start in range(0, len(ids), _CHUNK)]
            wanted = (select(AnnotationRow).where(AnnotationRow.annotation_id.in_(part)) for part in parts)
            return [row for statement in wanted for row in session.scalars(statement)]

    @staticmethod
    def _query_row(run_id: str, position: int, query_id: str, annotation_id: str) -> MatchQuery:
        return MatchQuery(
            query_id=query_id, run_id=run_id, annotation_id=annotation_id, position=position, warnings=[]
        )

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        engine = self._engine.execution_options(writes=True)
        with host_errors(self._url), Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with host_errors(self._url), Session(
            self._engine, expire_on_commit=False
        ) as session, session.begin():
            yield session


def _annotation_values(annotation: Annotation) -> dict[str, Any]:
    box = annotation.bbox or (None, None, None, None)
    return {
        "annotation_id": annotation.annotation_id,
        "image": os.fspath(annotation.image),
        **dict(zip("xywh", box)),
        "theta": annotation.theta,
        "name": annotation.name,
        "species": annotation.species,
        "viewpoint": annotation.viewpoint,
        "extra": dict(annotation.extra),
        "updated": utc_now(),
    }
