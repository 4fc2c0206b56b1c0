"""The host's own table of reviews as the log that the review page's decisions are appended to."""

from __future__ import annotations

import dataclasses
import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...errors import HostError
from ...review import Decision, DecisionConflict, DecisionInvalid, Pair
from ...review.decisions import UNDECIDED, effective, newest
from .review_rows import ReviewRow, append_row, decision_of, note_on_match, other_of, rows_of

__all__ = ["HostDecisionLog"]

logger = logging.getLogger(__name__)

Ranks = Mapping[str, Mapping[str, int]]  # of candidates by UUID, by the query's UUID


class HostDecisionLog:
    """Decisions in the host's words, in the host's tables; threads may share it.

    Reviews that the host's own tools wrote stand among them: a pair has one history, whoever reviewed it, and its
    version is the host's `review_count`.

    Args:
        ibs: the host's controller.
        ranks_of: the candidates of a task's queries, by the task's id; empty where there is no such task.
    """

    def __init__(self, ibs: Any, ranks_of: Callable[[str], Ranks]) -> None:
        self._ibs, self._ranks_of = ibs, ranks_of
        self._lock = threading.RLock()

    def append(self, decision: Decision, expected_version: int) -> Decision:
        """Append a decision and return it with its version; see :class:`pairx_plugin.review.DecisionLog`.

        Raises:
            HostError: an annotation is not in the host's database any more, or the host refuses the row.
        """
        with self._lock:
            last = self._last(decision.pair, expected_version)
            return self._write(decision, last, expected_version)

    def undo(self, pair: Pair, expected_version: int, user_id: str) -> Decision:
        """Take the last standing decision of a pair back; see :class:`pairx_plugin.review.DecisionLog`."""
        with self._lock:
            last = self._last(pair, expected_version)
            history = self._of_pair(pair)
            standing = effective(history)
            if not standing or last is None:
                raise DecisionInvalid("there is no decision on this pair that could be taken back", "version")
            before = standing[-2] if len(standing) > 1 else Decision(pair=pair, evidence_decision=UNDECIDED)
            taken = Decision(
                pair=pair,
                action="undo",
                evidence_decision=before.evidence_decision,
                meta_decision=before.meta_decision,
                confidence=before.confidence,
                tags=before.tags,
                comment=before.comment,
                explanation_ids=before.explanation_ids,
                user_id=user_id,
            )
            return newest([*history, self._write(taken, last, expected_version)])

    def latest(self, query_id: str) -> Mapping[str, Decision]:
        """Return the newest review of each of the query's pairs, by the candidate's annotation UUID."""
        return {candidate: newest(history) for candidate, history in self._histories("", query_id, {}).items()}

    def counts(self, task_id: str) -> Mapping[str, int]:
        """Return how many candidates of each query are decided or were skipped, by query."""
        found = {}
        for query, ranks in self._ranks_of(task_id).items():
            states = [newest(history) for history in self._histories(task_id, query, ranks, ranks).values()]
            found[query] = sum(item.evidence_decision != UNDECIDED or item.skipped for item in states)
        return found

    def history(self, task_id: str) -> Iterator[Decision]:
        """Yield every review of a task's pairs, query by query and oldest first."""
        for query, ranks in self._ranks_of(task_id).items():
            found = self._histories(task_id, query, ranks, ranks)
            yield from sorted((item for history in found.values() for item in history), key=lambda item: item.timestamp)

    def _histories(
        self, task_id: str, query: str, ranks: Mapping[str, int], among: Mapping[str, int] | None = None
    ) -> dict[str, list[Decision]]:
        """Return all reviews of a query's pairs, oldest first, by the candidate's UUID."""
        aid = _aid(self._ibs, query)
        if aid is None:
            return {}
        rows = rows_of(self._ibs, aid)
        others = list(dict.fromkeys(other_of(row, aid) for row in rows))
        uuids = dict(zip(others, map(str, self._ibs.get_annot_uuids(others)))) if others else {}
        found: dict[str, list[Decision]] = {}
        for row in rows:
            candidate = uuids[other_of(row, aid)]
            if among is None or candidate in among:
                pair = Pair(
                    task_id=task_id,
                    query_id=query,
                    rank=ranks.get(candidate, 0),
                    query_annotation=query,
                    candidate_annotation=candidate,
                )
                found.setdefault(candidate, []).append(decision_of(self._ibs, row, pair))
        return {candidate: sorted(items, key=lambda item: item.version) for candidate, items in found.items()}

    def _of_pair(self, pair: Pair) -> list[Decision]:
        aids = self._aids(pair)
        rows: list[ReviewRow] = [row for row in rows_of(self._ibs, aids[0]) if other_of(row, aids[0]) == aids[1]]
        return sorted((decision_of(self._ibs, row, pair) for row in rows), key=lambda item: item.version)

    def _last(self, pair: Pair, expected_version: int) -> Decision | None:
        found = self._of_pair(pair)
        last = newest(found) if found else None
        if (last.version if last else 0) != expected_version:
            raise DecisionConflict(expected_version, last)
        return last

    def _write(self, decision: Decision, last: Decision | None, expected_version: int) -> Decision:
        made = dataclasses.replace(
            decision, version=expected_version + 1, supersedes=last.record_id if last is not None else None
        )
        aids = self._aids(made.pair)
        try:
            written = append_row(self._ibs, made, aids)
        except Exception as error:  # the host's database layer raises what its driver raises
            history = self._of_pair(made.pair)
            if history and history[-1].version > expected_version:
                raise DecisionConflict(expected_version, history[-1]) from error
            raise HostError(f"the host did not take the decision: {type(error).__name__}: {error!s:.300}") from error
        if not written:  # another process of the host has written that number in between
            raise DecisionConflict(expected_version, self._of_pair(made.pair)[-1])
        try:
            note_on_match(self._ibs, made, aids)
        except Exception:  # the review is kept; the next one of this pair sets the match right
            logger.exception("the host's match of annotations %s and %s does not say what the review says", *aids)
        return made

    def _aids(self, pair: Pair) -> tuple[int, int]:
        aids = [_aid(self._ibs, text) for text in (pair.query_annotation, pair.candidate_annotation)]
        if aids[0] is None or aids[1] is None or aids[0] == aids[1]:
            raise HostError(
                f"the pair of {pair.query_annotation} and {pair.candidate_annotation} cannot be reviewed: one of them "
                "is not in the host's database any more, or it is twice the same"
            )
        return aids[0], aids[1]


def _aid(ibs: Any, text: str) -> int | None:
    aid = ibs.get_annot_aids_from_uuid(uuid.UUID(text))
    return None if aid is None else int(aid)
