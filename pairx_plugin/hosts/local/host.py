"""The sample host: ranks, writes review records, and calls the hooks after that if it is told to."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pairx_hooks import Annotation, Explanation, Failure, RankedQuery

from ...chips import Chip
from ...closable import Closable
from ...errors import HostError, SettingsError
from ...settings import Settings
from ..base import Progress
from .annotations import Problem, select_queries
from .attaching import ExplanationKeeper
from .configuration import LocalHostConfig
from .database import ReviewDatabase
from .gallery import Embedder
from .preparing import Prepared, prepare, stage
from .ranking import Ranking, rank_gallery
from .results import QuerySummary, RunSummary, summarise_ranking

__all__ = ["LocalHost"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Unranked:
    query: Annotation
    query_id: str
    failure: Failure


class LocalHost(Closable):
    """A small re-identification pipeline with a review database.

    One at a time: a host object is not meant to be shared by threads, its database may be.

    Args:
        config: how to run.
        model: the loaded network; by default the one that the configuration names is loaded when it is first
            needed.
        plugins: objects or modules to register besides those that are installed; looked at only if
            ``pairx_explain`` is on.
        entry_points: whether installed plugins are loaded.
        progress: told how far the stages ``embed``, ``rank`` and ``explain`` are.
    """

    def __init__(
        self,
        config: LocalHostConfig,
        *,
        model: Embedder | None = None,
        plugins: Sequence[object] = (),
        entry_points: bool = True,
        progress: Progress | None = None,
    ) -> None:
        self.config = config
        self._given_model, self._plugins, self._entry_points = model, tuple(plugins), entry_points
        self._progress = progress or _no_progress
        self._seconds: dict[str, float] = {}
        self._database: ReviewDatabase | None = None
        self._ready: Prepared | None = None
        self._keeper: ExplanationKeeper | None = None

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
            self._database = self._keeper = None

    @property
    def database(self) -> ReviewDatabase:
        """The review database, opened when it is first asked for.

        Raises:
            HostError: it cannot be opened.
        """
        if self._database is None:
            self._database = ReviewDatabase(self.config.database)
        return self._database

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """All readable annotations of the file, in its order; a photograph may still turn out to be unusable."""
        return self._prepare().table.annotations

    @property
    def _explanations(self) -> ExplanationKeeper:
        if self._keeper is None:
            self._keeper = ExplanationKeeper(self.config.output, self.database)
        return self._keeper

    def run(self) -> RunSummary:
        """Rank all queries, write their review records, and explain the leading candidates if the flag is on.

        A query that cannot be ranked is written down as failed; whatever becomes of the explanations, ranks
        and scores are in the database before the first of them begins.

        Raises:
            HostError: nothing can be ranked: no annotations, no usable photograph, no database.
            ModelError: the network cannot be loaded.
        """
        started = time.perf_counter()
        database = self.database  # opened first: a wrong address should not cost a minute of embedding
        ready = self._prepare()
        queries, unknown = select_queries(self.config.queries, ready.table.annotations)
        problems = (*ready.table.problems, *ready.gallery.left_out.values(), *unknown, *self._doubts())
        settings, refusal = self._settings()
        run_id = self._begin(ready, problems)
        with stage(self._seconds, "rank"):
            outcomes = self._rank_all(run_id, queries, settings.top_k if self.config.explain else 0)
        with stage(self._seconds, "explain"):
            failure = self._explain_all(outcomes, settings, refusal) if self.config.explain else None
        self._seconds["total"] = time.perf_counter() - started
        return self._finish(
            RunSummary(
                run_id=run_id,
                model_id=ready.model_id,
                model_fingerprint=ready.fingerprint,
                database=database.shown_url,
                output=str(self.config.output),
                explain=self.config.explain,
                n_annotations=len(ready.gallery.annotations),
                queries=tuple(self._summarised(outcome) for outcome in outcomes),
                problems=problems,
                explanation_failure=failure,
                seconds=dict(self._seconds),
            )
        )

    def rank(self, query: Annotation) -> RankedQuery:
        """Rank one annotation of the host without writing anything."""
        ready = self._prepare()
        return self._rank(ready, query, uuid.uuid4().hex).ranked_query

    def chip(self, annotation: Annotation) -> Chip:
        """Return the chip that the ranking used."""
        return self._prepare().chips.chip(annotation)

    def attach(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        """Write pictures and JSON records into the output folder, and all of it on the review records.

        Raises:
            HostError: an explanation belongs to another query.
        """
        self._explanations.attach(ranked_query, explanations)

    def attached(self, query_id: str) -> Collection[str]:
        """Return the annotation ids of the query's candidates that this host has attached something to."""
        return self._explanations.kept(query_id).keys()

    def embedding_model(self, model_id: str) -> Any | None:
        """Return the loaded network if `model_id` is its id, else None."""
        ready = self._prepare()
        return ready.model if model_id == ready.model_id else None

    def known_chip(self, annotation_id: str) -> Chip | None:
        """Return the chip of one of the host's own annotations, or None for a stranger's."""
        annotation = self._prepare().by_id.get(annotation_id)
        return None if annotation is None else self.chip(annotation)

    def _prepare(self) -> Prepared:
        if self._ready is None:
            self._ready = prepare(
                self.config, self._given_model, progress=self._progress, seconds=self._seconds
            )
        return self._ready

    def _doubts(self) -> tuple[Problem, ...]:
        doubt = self.config.doubt()
        return () if doubt is None else (Problem(code="FLAG_MISSPELT", message=doubt),)

    def _settings(self) -> tuple[Settings, Failure | None]:
        """Return the plugin's settings; where they cannot be read, the usual ones and the reason."""
        if self.config.explain:
            try:
                return self.config.settings(), None
            except SettingsError as error:
                return Settings(), Failure(code=error.code, message=f"nothing is explained: {error}")
        return Settings(), None

    def _begin(self, ready: Prepared, problems: Sequence[Problem]) -> str:
        run_id = self.database.begin_run(
            config=self.config.to_json(),
            model_id=ready.model_id,
            model_fingerprint=ready.fingerprint,
            explain=self.config.explain,
            n_annotations=len(ready.gallery.annotations),
            problems=problems,
        )
        self.database.add_annotations(ready.table.annotations)
        return run_id

    def _rank_all(self, run_id: str, queries: Sequence[Annotation], top_k: int) -> list[Ranking | _Unranked]:
        """Rank and write down each query; the first `top_k` candidates wait for explanations."""
        ready, outcomes = self._prepare(), list[Ranking | _Unranked]()
        for position, query in enumerate(queries):
            query_id = uuid.uuid5(uuid.UUID(run_id), query.annotation_id).hex
            problem = ready.gallery.left_out.get(query.annotation_id)
            if problem is not None:
                failure = Failure(code=problem.code, message=problem.message)
                self.database.save_failed_query(run_id, position, query_id, query.annotation_id, failure)
                outcomes.append(_Unranked(query=query, query_id=query_id, failure=failure))
            else:
                ranking = self._rank(ready, query, query_id)
                awaited = [item.annotation.annotation_id for item in ranking.ranked_query.candidates[:top_k]]
                self.database.save_ranking(run_id, position, ranking, awaited=awaited)
                outcomes.append(ranking)
            self._progress("rank", position + 1, len(queries))
        return outcomes

    def _rank(self, ready: Prepared, query: Annotation, query_id: str) -> Ranking:
        n_candidates = self.config.n_candidates
        return rank_gallery(
            ready.gallery, query, query_id=query_id, model_id=ready.model_id, n_candidates=n_candidates
        )

    def _explain_all(
        self, outcomes: Sequence[Ranking | _Unranked], settings: Settings, refusal: Failure | None
    ) -> Failure | None:
        from . import explaining  # all that knows of plugins; with the flag off it is never imported

        return explaining.explain_rankings(
            self,
            [outcome.ranked_query for outcome in outcomes if isinstance(outcome, Ranking)],
            settings,
            plugins=self._plugins,
            entry_points=self._entry_points,
            progress=self._progress,
            refusal=refusal,
        )

    def _summarised(self, outcome: Ranking | _Unranked) -> QuerySummary:
        if isinstance(outcome, Ranking):
            return summarise_ranking(outcome, self._explanations.kept(outcome.ranked_query.query_id))
        query = outcome.query
        return QuerySummary(
            query_id=outcome.query_id,
            annotation_id=query.annotation_id,
            image=query.image,
            name=query.name,
            failure=outcome.failure,
        )

    def _finish(self, summary: RunSummary) -> RunSummary:
        try:
            self.database.finish_run(
                summary.run_id,
                rank_1=summary.rank_1,
                mean_average_precision=summary.mean_average_precision,
                explanation_failure=summary.explanation_failure,
            )
        except HostError as error:  # the ranking is written; only the note that the run is over is missing
            logger.error("run %s: its end is not in the database: %s", summary.run_id, error)
            problem = Problem(code=error.code, where=summary.run_id, message=str(error))
            return replace(summary, problems=(*summary.problems, problem))
        return summary


def _no_progress(stage: str, done: int, total: int) -> None:
    """Nobody watches."""
