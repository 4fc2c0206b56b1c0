"""Decisions of reviewers: the host's vocabulary, one frozen record each, appended and never changed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..errors import PairXError

__all__ = [
    "CONFIDENCES",
    "EVIDENCE_DECISIONS",
    "MAX_COMMENT",
    "SCHEMA",
    "TAGS",
    "UNDECIDED",
    "Decision",
    "DecisionConflict",
    "DecisionInvalid",
    "DecisionLog",
    "Pair",
    "effective",
    "newest",
]

SCHEMA = "pairx.review/1"
# Wildbook IA's words (wildbook-ia:wbia/constants.py), so that its tools read them.
EVIDENCE_DECISIONS = ("match", "nomatch", "notcomp", "unknown", "unreviewed")
CONFIDENCES = ("absolutely_sure", "pretty_sure", "not_sure", "guessing", "unspecified")
TAGS = ("photobomb", "scenerymatch")
UNDECIDED = "unreviewed"
ACTIONS = ("decide", "undo")
MAX_COMMENT, _MAX_VIEWS, _MAX_USER = 4000, 200, 120


class DecisionInvalid(PairXError, ValueError):
    """A decision has a value that the vocabulary does not hold."""

    code = "DECISION_INVALID"

    def __init__(self, message: str, field_name: str) -> None:
        super().__init__(message)
        self.field = field_name


class DecisionConflict(PairXError, RuntimeError):
    """Somebody else has decided the pair since this reviewer last saw it.

    Args:
        current: the pair's latest record; None where there is none.
    """

    code = "DECISION_CONFLICT"

    def __init__(self, expected: int, current: Decision | None) -> None:
        version = current.version if current else 0
        who = f", by {current.user_id}" if current else ""
        super().__init__(
            f"the decision on this pair has version {version}{who}, not {expected}; look at it, then decide again"
        )
        self.current = current


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Which pair a decision is about: a candidate of a query of a task."""

    task_id: str
    query_id: str
    rank: int
    query_annotation: str
    candidate_annotation: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One record of the log.

    Attributes:
        version: 1 for the first record of its pair, and one more for each further one.
        action: ``decide``, or ``undo``: then the other fields repeat what stood before the decision taken back.
        timestamp: seconds since 1970, of the server; `timestamp_s1` when the pair was first shown, `timestamp_c1` and
            `timestamp_c2` when the reviewer's clock saw it and the decision; 0 where not known.
        views: what was looked at: ``{"view", "k", "ms"}``.
        supersedes: id of the pair's record before this one.
        back_to_skip: True for an undo that leads back to a skip. It follows from the records before, so a log does not
            keep it; :func:`newest` says it.
    """

    pair: Pair
    evidence_decision: str
    confidence: str = "unspecified"
    tags: tuple[str, ...] = ()
    comment: str = ""
    meta_decision: str = "null"
    user_id: str = "user:web:anonymous"
    explanation_ids: tuple[str, ...] = ()
    views: tuple[Mapping[str, Any], ...] = ()
    timestamp_s1: float = 0.0
    timestamp_c1: float = 0.0
    timestamp_c2: float = 0.0
    action: str = "decide"
    version: int = 0
    supersedes: str | None = None
    record_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    timestamp: float = field(default_factory=time.time)
    back_to_skip: bool = False

    def __post_init__(self) -> None:
        _one_of("evidence_decision", self.evidence_decision, EVIDENCE_DECISIONS)
        _one_of("confidence", self.confidence, CONFIDENCES)
        _one_of("meta_decision", self.meta_decision, ("same", "diff", "null"))
        _one_of("action", self.action, ACTIONS)
        for tag in self.tags:
            _one_of("tags", tag, TAGS)
        for name, longest in (("comment", MAX_COMMENT), ("user_id", _MAX_USER)):
            value = getattr(self, name)
            if len(value) > longest or "\0" in value:
                raise DecisionInvalid(
                    f"{name} has {len(value)} characters; at most {longest} and no NUL are kept", name
                )
        if len(self.views) > _MAX_VIEWS or len(self.explanation_ids) > _MAX_VIEWS:
            raise DecisionInvalid(f"at most {_MAX_VIEWS} views and explanation ids are kept", "views")

    @property
    def skipped(self) -> bool:
        """True where the reviewer passed the pair over on purpose, and nothing else was decided since that stands."""
        return self.evidence_decision == UNDECIDED and (self.action == "decide" or self.back_to_skip)

    def to_json(self) -> dict[str, Any]:
        """Return the record in schema ``pairx.review/1``."""
        return {
            "schema": SCHEMA,
            "id": self.record_id,
            "task_id": self.pair.task_id,
            "match_result_id": self.pair.query_id,
            "rank": self.pair.rank,
            "query_annot_uuid": self.pair.query_annotation,
            "database_annot_uuid": self.pair.candidate_annotation,
            "evidence_decision": self.evidence_decision,
            "meta_decision": self.meta_decision,
            "confidence": self.confidence,
            "tags": list(self.tags),
            "comment": self.comment,
            "user_id": self.user_id,
            "timestamp": self.timestamp,
            "timestamp_s1": self.timestamp_s1,
            "timestamp_c1": self.timestamp_c1,
            "timestamp_c2": self.timestamp_c2,
            "explanation_ids": list(self.explanation_ids),
            "views": [dict(view) for view in self.views],
            "action": self.action,
            "version": self.version,
            "supersedes": self.supersedes,
        }


def effective(history: Sequence[Decision]) -> list[Decision]:
    """Return the decisions of one pair that stand: each undo takes back the last one before it.

    Args:
        history: all records of the pair, oldest first.
    """
    standing: list[Decision] = []
    for record in history:
        if record.action == "decide":
            standing.append(record)
        elif standing:
            standing.pop()
    return standing


def newest(history: Sequence[Decision]) -> Decision:
    """Return the newest record of one pair; where it takes a decision on a skipped pair back, it says that.

    Args:
        history: all records of the pair, oldest first; at least one.
    """
    record = history[-1]
    if record.action != "undo" or record.evidence_decision != UNDECIDED:
        return record
    standing = effective(history)
    return replace(record, back_to_skip=bool(standing))


class DecisionLog(Protocol):
    """Where decisions are kept; nothing in it is ever changed or removed."""

    def append(self, decision: Decision, expected_version: int) -> Decision:
        """Append a decision and return it with its version.

        Args:
            expected_version: the pair's version that the reviewer saw; 0 for a pair without records.

        Raises:
            DecisionConflict: the pair has another version by now.
        """
        ...

    def undo(self, pair: Pair, expected_version: int, user_id: str) -> Decision:
        """Append a record that takes the last standing decision of the pair back.

        Raises:
            DecisionConflict: as :meth:`append`.
            DecisionInvalid: there is nothing to take back.
        """
        ...

    def latest(self, query_id: str) -> Mapping[str, Decision]:
        """Return the newest record of each of the query's pairs by the candidate's annotation, see :func:`newest`."""
        ...

    def counts(self, task_id: str) -> Mapping[str, int]:
        """Return how many pairs of each query have a decision that says something or were skipped, by query id."""
        ...

    def history(self, task_id: str) -> Iterator[Decision]:
        """Yield every record of a task, oldest first."""
        ...


def _one_of(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise DecisionInvalid(f"{name} is {value!r:.80}; it must be one of: {', '.join(choices)}", name)
