"""Rows of the host's table of reviews, as the decisions of the review page.

The host keeps every review of a pair of annotations in its staging database, numbered by `review_count`, and never
changes one; its annotation matches repeat what the newest says. Both are written as the host's own graph of reviews
writes them. Pairs have no direction there: the smaller row id comes first.

Source: wildbook-ia:wbia/algo/graph/mixin_wbia.py, for which of its words goes into which column.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ...review import Decision, Pair

__all__ = ["ReviewRow", "append_row", "decision_of", "note_on_match", "other_of", "rows_of"]

_ID, _COUNT, _UUID = "review_rowid", "review_count", "review_uuid"
_AID_1, _AID_2, _METADATA = "annot_1_rowid", "annot_2_rowid", "review_metadata_json"
_EVIDENCE, _META, _USER = "review_evidence_decision", "review_meta_decision", "review_user_identity"
_CONFIDENCE, _TAGS = "review_user_confidence", "review_tags"
_TIMES = (
    "review_client_start_time_posix",
    "review_client_end_time_posix",
    "review_server_start_time_posix",
    "review_server_end_time_posix",
)
_COLUMNS = (_ID, _AID_1, _AID_2, _COUNT, _UUID, _EVIDENCE, _META, _USER, _CONFIDENCE, _TAGS, *_TIMES, _METADATA)
_KEY = "pairx"  # ours within a row's metadata
_KEPT = (
    *("action", "comment", "explanation_ids", "views", "supersedes", "task_id", "match_result_id", "rank"),
    *("timestamp", "timestamp_s1", "timestamp_c1", "timestamp_c2"),
)
_KNOWN_TAGS = ("photobomb", "scenerymatch")

ReviewRow = Mapping[str, Any]


def rows_of(ibs: Any, aid: int) -> list[ReviewRow]:
    """Return every review with an annotation in it, oldest first, whoever made it."""
    from sqlalchemy import text  # the host's own getter for this fails in wildbook-ia 4.0.4

    table = ibs.const.REVIEW_TABLE
    wanted = text(f"SELECT {_ID} FROM {table} WHERE {_AID_1} = :aid OR {_AID_2} = :aid ORDER BY {_ID}")
    with ibs.staging.connect() as connection:
        rowids = [row[0] for row in connection.execute(wanted, {"aid": int(aid)})]
    return [dict(zip(_COLUMNS, row)) for row in ibs.staging.get(table, _COLUMNS, rowids)] if rowids else []


def other_of(row: ReviewRow, aid: int) -> int:
    """Return the other annotation of a row."""
    return int(row[_AID_2] if int(row[_AID_1]) == int(aid) else row[_AID_1])


def decision_of(ibs: Any, row: ReviewRow, pair: Pair) -> Decision:
    """Return a row as a decision on `pair`; one that the host wrote itself has no more than the host knows."""
    const, ours = ibs.const, _metadata(row)
    times = dict(zip(_TIMES, (float(row[name] or 0.0) for name in _TIMES)))
    return Decision(
        pair=pair,
        evidence_decision=const.EVIDENCE_DECISION.INT_TO_CODE.get(row[_EVIDENCE], "unknown"),
        meta_decision=const.META_DECISION.INT_TO_CODE.get(row[_META], "null"),
        confidence=const.CONFIDENCE.INT_TO_CODE.get(row[_CONFIDENCE], "unspecified"),
        tags=tuple(tag for tag in str(row[_TAGS] or "").split(";") if tag in _KNOWN_TAGS),
        comment=str(ours.get("comment") or ""),
        user_id=str(row[_USER] or "unknown")[:120],
        explanation_ids=tuple(ours.get("explanation_ids") or ()),
        views=tuple(ours.get("views") or ()),
        timestamp=float(ours.get("timestamp") or times[_TIMES[3]]),
        timestamp_s1=float(ours.get("timestamp_s1") or times[_TIMES[2]]),
        timestamp_c1=float(ours.get("timestamp_c1") or times[_TIMES[0]]),
        timestamp_c2=float(ours.get("timestamp_c2") or times[_TIMES[1]]),
        action="undo" if ours.get("action") == "undo" else "decide",
        version=int(row[_COUNT]),
        supersedes=ours.get("supersedes"),
        record_id=uuid.UUID(str(row[_UUID])).hex,
    )


def append_row(ibs: Any, decision: Decision, aids: tuple[int, int]) -> bool:
    """Append a decision as a row with its own number; False where that number is taken by now."""
    const = ibs.const
    record = decision.to_json()
    record_id = uuid.UUID(decision.record_id)
    values = {
        _AID_1: min(aids),
        _AID_2: max(aids),
        _COUNT: decision.version,
        _UUID: record_id,
        _EVIDENCE: const.EVIDENCE_DECISION.CODE_TO_INT[decision.evidence_decision],
        _META: const.META_DECISION.CODE_TO_INT[decision.meta_decision],
        _USER: decision.user_id,
        _CONFIDENCE: const.CONFIDENCE.CODE_TO_INT[decision.confidence],
        _TAGS: ";".join(decision.tags),
        **dict(zip(_TIMES, _whole(decision))),
        _METADATA: json.dumps({_KEY: {name: record[name] for name in _KEPT}}, allow_nan=False),
    }
    # as the host's add_review, which would number it by itself and so append behind a review that nobody has seen
    (rowid,) = ibs.staging.add_cleanly(
        const.REVIEW_TABLE,
        tuple(values),
        [tuple(values.values())],
        ibs.get_review_rowid_from_superkey,
        (0, 1, 2),
    )
    return str(ibs.staging.get(const.REVIEW_TABLE, (_UUID,), [rowid])[0]) == str(record_id)


def note_on_match(ibs: Any, decision: Decision, aids: tuple[int, int]) -> None:
    """Let the host's annotation match of a pair say what its newest review says."""
    const = ibs.const
    rowids = ibs.add_annotmatch_undirected([aids[0]], [aids[1]])
    evidence = const.EVIDENCE_DECISION.CODE_TO_INT[decision.evidence_decision]
    ibs.set_annotmatch_evidence_decision(rowids, [evidence])
    ibs.set_annotmatch_meta_decision(rowids, [const.META_DECISION.CODE_TO_INT[decision.meta_decision]])
    ibs.set_annotmatch_tag_text(rowids, [";".join(decision.tags)])
    ibs.set_annotmatch_confidence(rowids, [const.CONFIDENCE.CODE_TO_INT[decision.confidence]])
    ibs.set_annotmatch_reviewer(rowids, [decision.user_id])
    ibs.set_annotmatch_posixtime_modified(rowids, [int(decision.timestamp)])


def _whole(decision: Decision) -> Sequence[int | None]:
    """The host's columns hold whole seconds; the rest of them stands in the metadata."""
    times = (decision.timestamp_c1, decision.timestamp_c2, decision.timestamp_s1, decision.timestamp)
    return [int(value) if value else None for value in times]


def _metadata(row: ReviewRow) -> Mapping[str, Any]:
    try:
        found = json.loads(row[_METADATA] or "{}")
    except ValueError:  # somebody else's; the review itself is in the columns
        return {}
    ours = found.get(_KEY) if isinstance(found, Mapping) else None
    return ours if isinstance(ours, Mapping) else {}
