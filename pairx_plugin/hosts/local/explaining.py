"""The host's side of the hooks: what it gives to plugins, and what it takes from them after the ranking.

Imported only when ``pairx_explain`` is on. Nothing in here can change a rank or a score: they stand in the
database before the first plugin is called, plugins get frozen records, and what comes back is matched with
the host's own.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection, Sequence
from typing import Protocol

from pairx_hooks import (
    Candidate,
    Explanation,
    ExplanationRequest,
    Failure,
    RankedQuery,
    ReviewManager,
    build_manager,
)

from ...hook_requests import request_of
from ...settings import Settings
from ..base import Progress
from ..host_plugin import HostPlugin, HostRecords

__all__ = ["KeptRecords", "explain_rankings"]

logger = logging.getLogger(__name__)


class KeptRecords(HostRecords, Protocol):
    """A host that knows what it has attached."""

    def attached(self, query_id: str) -> Collection[str]:
        """Return the candidates of a query that have something attached."""
        ...


class _Steps:
    """Counts candidates for the progress display; observers may be called too often or not at all."""

    def __init__(self, progress: Progress, counts: Sequence[int]) -> None:
        self._progress, self._total = progress, sum(counts)
        self._done = self._ahead = 0

    def begin(self, n: int) -> None:
        """A query with `n` candidates is taken up; all before it are done."""
        self._done, self._ahead = self._ahead, self._ahead + n
        self._tell()

    def advance(self) -> None:
        """One candidate of the query is done."""
        if self._done < self._ahead:
            self._done += 1
            self._tell()

    def finish(self) -> None:
        """All are done."""
        self._done = self._ahead
        self._tell()

    def _tell(self) -> None:
        if self._total:
            self._progress("explain", self._done, self._total)


def explain_rankings(
    records: KeptRecords,
    ranked_queries: Sequence[RankedQuery],
    settings: Settings,
    *,
    plugins: Sequence[object] = (),
    entry_points: bool = True,
    progress: Progress,
    refusal: Failure | None = None,
) -> Failure | None:
    """Explain the leading candidates of every query and attach what comes of them; nothing is raised.

    Every candidate has an entry afterwards: what a plugin gave, ``failed`` with the reason, or ``skipped``.

    Args:
        settings: the plugin's; their `top_k` says how many candidates are asked for.
        plugins: registered besides those that are installed.
        progress: told how many candidates are done.
        refusal: why nothing shall be explained at all; it becomes every candidate's failure.

    Returns:
        Why nothing at all was explained, or None.
    """
    steps = _Steps(progress, [min(settings.top_k, len(ranked.candidates)) for ranked in ranked_queries])
    manager = None
    if refusal is None:
        try:
            # The host comes last, which means that it is asked first: its network and its chips are the ones
            # that ranked.
            host = HostPlugin(records, steps.advance)
            manager = build_manager(*plugins, host, entry_points=entry_points)
        except (Exception, SystemExit) as error:  # importing a foreign plugin may raise anything
            logger.exception("nothing is explained")
            refusal = Failure(
                code="HOOKS_FAILED", message=f"the plugins cannot be loaded: {_in_words(error)}"
            )
    for ranked in ranked_queries:
        steps.begin(min(settings.top_k, len(ranked.candidates)))
        if manager is not None and ranked.candidates:
            _explain(manager, ranked, request_of(settings))
        _fill_in(records, ranked, settings.top_k, refusal)
    steps.finish()
    return refusal


def _explain(manager: ReviewManager, ranked: RankedQuery, request: ExplanationRequest) -> None:
    try:
        explanations = manager.explain(ranked, request)
    except (Exception, SystemExit) as error:  # the manager isolates plugins; this is for what it may have missed
        logger.exception("query %s: the hooks failed", ranked.query_id)
        failure = Failure(code="HOOKS_FAILED", message=f"the hooks failed: {_in_words(error)}")
        explanations = tuple(
            _without(ranked, candidate, request.top_k, failure) for candidate in ranked.candidates
        )
    try:
        manager.attach(ranked, explanations)
    except (Exception, SystemExit):
        logger.exception("query %s: explanations could not be handed round", ranked.query_id)


def _fill_in(records: KeptRecords, ranked: RankedQuery, top_k: int, refusal: Failure | None) -> None:
    """Attach a failure to each candidate that nothing is attached to, so that no record waits for ever."""
    there = records.attached(ranked.query_id)
    failure = refusal or Failure(
        code="NOT_ATTACHED", message="the explanation could not be attached; see the log"
    )
    missing = [
        candidate for candidate in ranked.candidates if candidate.annotation.annotation_id not in there
    ]
    if missing:
        records.attach(ranked, [_without(ranked, candidate, top_k, failure) for candidate in missing])


def _without(ranked: RankedQuery, candidate: Candidate, top_k: int, failure: Failure) -> Explanation:
    return Explanation.without_evidence(ranked, candidate, failure if candidate.rank <= top_k else None)


def _in_words(error: BaseException) -> str:
    # not str(error): a foreign exception's own __str__ may raise
    return "".join(traceback.format_exception_only(type(error), error)).strip()[:500]
