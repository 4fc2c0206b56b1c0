"""Puts finished explanations on the review records: files first, then the database."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from pairx_hooks import Explanation, Failure, RankedQuery

from ...errors import HostError, HostUnavailable
from .database import ExplanationEntry, ReviewDatabase
from .pictures import write_explanation

__all__ = ["ExplanationKeeper"]

logger = logging.getLogger(__name__)


class ExplanationKeeper:
    """Writes explanations into an output folder and a database, and remembers what it wrote.

    Args:
        output: folder for pictures and JSON records.
        database: holds the review records already.
    """

    def __init__(self, output: Path, database: ReviewDatabase) -> None:
        self._output, self._database = output, database
        self._kept: dict[str, dict[str, ExplanationEntry]] = {}

    def kept(self, query_id: str) -> Mapping[str, ExplanationEntry]:
        """Return what was attached to the candidates of a query, by annotation id."""
        return self._kept.get(query_id, {})

    def attach(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        """Write pictures, JSON and review records; what cannot be written becomes the entry's failure.

        Raises:
            HostError: an explanation belongs to another query.
        """
        for explanation in explanations:
            if explanation.query_id != ranked_query.query_id:
                raise HostError(
                    f"an explanation of query '{explanation.query_id}' cannot be attached to "
                    f"'{ranked_query.query_id}'; give each query its own"
                )
        entries = [write_explanation(self._output, ranked_query, explanation) for explanation in explanations]
        saved = self._save(ranked_query.query_id, entries)
        self._kept.setdefault(ranked_query.query_id, {}).update(
            {entry.candidate_id: entry for entry in saved}
        )

    def _save(self, query_id: str, entries: Sequence[ExplanationEntry]) -> list[ExplanationEntry]:
        """Write entries; where the database refuses, one by one, so that none takes the rest along."""
        try:
            self._database.save_explanations(query_id, entries)
            return list(entries)
        except HostError as error:
            logger.error("query %s: explanations are not in the database: %s", query_id, error)
            refused = error
        if len(entries) > 1 and not isinstance(refused, HostUnavailable):
            return [saved for entry in entries for saved in self._save(query_id, [entry])]
        spoilt = [_spoilt(entry, refused) for entry in entries]
        try:
            self._database.save_explanations(query_id, spoilt)
        except HostError as error:
            logger.error("query %s: not even the failure is in the database: %s", query_id, error)
        return spoilt


def _spoilt(entry: ExplanationEntry, error: HostError) -> ExplanationEntry:
    """Keep the reason alone: anything else may be what the database refused, or had no room for."""
    if entry.status == "skipped":
        return ExplanationEntry(candidate_id=entry.candidate_id, status=entry.status)
    failure = Failure(code="REVIEW_NOT_WRITTEN", message=str(error), retryable=error.retryable)
    return ExplanationEntry(candidate_id=entry.candidate_id, status="failed", failure=failure.to_json())
