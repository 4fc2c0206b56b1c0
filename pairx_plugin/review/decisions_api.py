"""Routes of decisions: given, taken back, exported."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import datetime, timezone

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

from .decisions import Decision, Pair, newest
from .failures import ApiFailure
from .presenting import decision_json
from .services import Services, reviewer_of, services_of

__all__ = ["router"]

router = APIRouter(prefix="/review/v1/tasks/{task_id}")
_COLUMNS = (
    "task_id",
    "match_result_id",
    "rank",
    "query_annot_uuid",
    "database_annot_uuid",
    "evidence_decision",
    "meta_decision",
    "confidence",
    "tags",
    "comment",
    "user_id",
    "timestamp",
    "action",
    "version",
    "id",
    "supersedes",
)


class Seen(BaseModel):
    """One view that a reviewer had open."""

    view: str = Field(max_length=20)
    k: int = Field(ge=0, le=1000)
    ms: int = Field(ge=0, le=10**9)


class Given(BaseModel):
    """The body of a decision; keys that are not known are ignored."""

    evidence_decision: str = Field(max_length=40)
    query_annot_uuid: str | None = None
    database_annot_uuid: str | None = None
    confidence: str = Field(default="unspecified", max_length=40)
    tags: list[str] = Field(default_factory=list, max_length=20)
    comment: str = ""
    reviewer: str = Field(default="", max_length=80)
    explanation_ids: list[str] = Field(default_factory=list, max_length=50)
    views: list[Seen] = Field(default_factory=list, max_length=200)
    timestamp_s1: float = Field(default=0.0, allow_inf_nan=False)
    timestamp_c1: float = Field(default=0.0, allow_inf_nan=False)
    timestamp_c2: float = Field(default=0.0, allow_inf_nan=False)


class TakenBack(BaseModel):
    """The body of an undo."""

    reviewer: str = Field(default="", max_length=80)


@router.put("/pairs/{query_id}/{rank}/decision")
def decide(request: Request, task_id: str, query_id: str, rank: int, given: Given) -> Response:
    """Append a decision; ``If-Match`` names the version that the reviewer saw."""
    services = services_of(request)
    pair = _pair(services, task_id, query_id, rank)
    for name, sent, ours in (
        ("query_annot_uuid", given.query_annot_uuid, pair.query_annotation),
        ("database_annot_uuid", given.database_annot_uuid, pair.candidate_annotation),
    ):
        if sent is not None and sent != ours:
            raise ApiFailure(409, "PAIR_CHANGED", f"{name} is {sent!r:.80}, here it is {ours!r:.80}", field=name)
    made = Decision(
        pair=pair,
        evidence_decision=given.evidence_decision,
        confidence=given.confidence,
        tags=tuple(dict.fromkeys(given.tags)),
        comment=given.comment.strip(),
        user_id=_user(reviewer_of(request) or given.reviewer),
        explanation_ids=tuple(item[:80] for item in given.explanation_ids),
        views=tuple(view.model_dump() for view in given.views),
        timestamp_s1=given.timestamp_s1,
        timestamp_c1=given.timestamp_c1,
        timestamp_c2=given.timestamp_c2,
    )
    return _told(services, services.source.decisions.append(made, _version(request)))


@router.post("/pairs/{query_id}/{rank}/decision/undo")
def undo(request: Request, task_id: str, query_id: str, rank: int, taken: TakenBack) -> Response:
    """Append a record that takes the last standing decision back."""
    services = services_of(request)
    pair = _pair(services, task_id, query_id, rank)
    user = _user(reviewer_of(request) or taken.reviewer)
    return _told(services, services.source.decisions.undo(pair, _version(request), user))


@router.get("/decisions.json")
def as_json(request: Request, task_id: str) -> Response:
    """Every record of a task, oldest first, and the newest of each pair."""
    services = services_of(request)
    services.task(task_id)
    history = list(services.source.decisions.history(task_id))
    body = {
        "schema": "pairx.reviews/1",
        "task_id": task_id,
        "exported": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "current": [decision_json(decision) for decision in _newest(history)],
        "history": [decision.to_json() for decision in history],
    }
    return JSONResponse(body, headers=_attachment(task_id, "json"))


@router.get("/decisions.csv")
def as_csv(request: Request, task_id: str, every: bool = False) -> Response:
    """The newest record of each pair as CSV, or every record."""
    services = services_of(request)
    services.task(task_id)
    history = list(services.source.decisions.history(task_id))
    rows = history if every else _newest(history)
    return StreamingResponse(_lines(rows), media_type="text/csv; charset=utf-8", headers=_attachment(task_id, "csv"))


def _pair(services: Services, task_id: str, query_id: str, rank: int) -> Pair:
    query = services.query(task_id, query_id)
    candidate = query.candidate(rank)
    if candidate is None:
        raise ApiFailure(404, "NOT_ASSOCIATED", f"the query has no candidate of rank {rank}", field="rank")
    return Pair(
        task_id=query.task_id,
        query_id=query.ranked_query.query_id,
        rank=rank,
        query_annotation=query.ranked_query.query.annotation_id,
        candidate_annotation=candidate.annotation.annotation_id,
    )


def _version(request: Request) -> int:
    given = request.headers.get("if-match")
    if given is None:
        raise ApiFailure(428, "VERSION_NEEDED", "send If-Match with the version that you saw", field="If-Match")
    number = given.strip().removeprefix("W/").strip('"')
    if not number.isdigit():
        raise ApiFailure(400, "BAD_REQUEST", f"If-Match is {given!r:.40}; it must be a version", field="If-Match")
    return int(number)


def _user(reviewer: str) -> str:
    """Return WBIA's kind of user id; line ends and other control characters are left out of the name."""
    name = " ".join("".join(part if part.isprintable() else " " for part in reviewer).split())
    return f"user:web:{name or 'anonymous'}"


def _told(services: Services, decision: Decision) -> Response:
    """Answer with the new record, and tell every open page of the task."""
    news = {"query_id": decision.pair.query_id, "rank": decision.pair.rank, "decision": decision_json(decision)}
    services.bus.publish(decision.pair.task_id, "decision", news)
    return JSONResponse({"success": True, **news}, headers={"ETag": f'"{decision.version}"'})


def _newest(history: list[Decision]) -> list[Decision]:
    pairs: dict[tuple[str, str], list[Decision]] = {}
    for item in history:
        pairs.setdefault((item.pair.query_id, item.pair.candidate_annotation), []).append(item)
    return [newest(records) for records in pairs.values()]


def _lines(decisions: list[Decision]) -> Iterator[str]:
    yield "\ufeff"  # without it Excel takes UTF-8 for something else
    for row in (_COLUMNS, *(_row(decision) for decision in decisions)):
        stream = io.StringIO()
        csv.writer(stream).writerow(row)
        yield stream.getvalue()


def _row(decision: Decision) -> list[str]:
    record = decision.to_json()
    record["tags"] = " ".join(decision.tags)
    record["timestamp"] = datetime.fromtimestamp(decision.timestamp, timezone.utc).isoformat(timespec="milliseconds")
    return [_harmless("" if record[name] is None else str(record[name])) for name in _COLUMNS]


def _harmless(cell: str) -> str:
    """A cell that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{cell}" if cell[:1] in tuple("=+-@\t\r\n") and cell else cell


def _attachment(task_id: str, kind: str) -> dict[str, str]:
    name = re.sub(r"[^A-Za-z0-9_-]", "-", task_id)[:60]
    return {"Content-Disposition": f'attachment; filename="decisions-{name}.{kind}"'}
