"""Routes of tasks and queries, of chips, and of news."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from .chip_pictures import SIZES
from .failures import ApiFailure
from .presenting import query_json, task_json
from .services import services_of

__all__ = ["router"]

router = APIRouter()


@router.get("/health")
def health(request: Request) -> dict[str, Any]:
    """Whether the server answers, and how long an explanation takes."""
    return {"status": "ok", "usual_seconds": services_of(request).queue.usual_seconds}


@router.get("/review/v1/session")
def session(request: Request) -> dict[str, str]:
    """The word that writes need; another site can send requests here, but not read this answer."""
    return {"csrf": str(request.scope.get("review_csrf", ""))}


@router.get("/review/v1/tasks")
def tasks(request: Request) -> dict[str, Any]:
    """All tasks, newest first."""
    return {"tasks": [task_json(request, task) for task in services_of(request).source.tasks()]}


@router.get("/review/v1/tasks/{task_id}")
def task(request: Request, task_id: str, view: str = "annot", cutoff: int = 0) -> dict[str, Any]:
    """One task; with `cutoff`, each query brings so many candidates."""
    services = services_of(request)
    _check_view(view, cutoff)
    found = task_json(request, services.task(task_id))
    if cutoff:
        for item in found["queries"]:
            item.update(query_json(request, services.query(task_id, item["query_id"]), view=view, cutoff=cutoff))
    return found


@router.get("/review/v1/tasks/{task_id}/queries/{query_id}")
def query(request: Request, task_id: str, query_id: str, view: str = "annot", cutoff: int = 0) -> dict[str, Any]:
    """One query with its candidates, their evidence and their decisions."""
    _check_view(view, cutoff)
    return query_json(request, services_of(request).query(task_id, query_id), view=view, cutoff=cutoff)


@router.get("/review/v1/tasks/{task_id}/queries/{query_id}/chips/{rank}")
def chip(request: Request, task_id: str, query_id: str, rank: int, size: str = "full") -> Response:
    """A chip: that of the query for rank 0, else the candidate's."""
    services = services_of(request)
    if size not in SIZES:
        raise ApiFailure(422, "BAD_REQUEST", f"size is {size!r:.40}; there are: {', '.join(SIZES)}", field="size")
    found = services.query(task_id, query_id)
    candidate = found.candidate(rank)
    if candidate is None and rank != 0:
        raise ApiFailure(404, "NOT_ASSOCIATED", f"the query has no candidate of rank {rank}", field="rank")
    annotation = candidate.annotation if candidate is not None else found.ranked_query.query
    picture = services.chips.get(annotation, size)
    etag = f'"{picture.etag}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(picture.data, media_type=picture.media_type, headers=headers)


@router.get("/review/v1/tasks/{task_id}/events")
async def events(request: Request, task_id: str, reader: str = "") -> Response:
    """News of a task as server-sent events: explanations and decisions; who goes waits for nothing more."""
    services = services_of(request)
    if not services.options.events:
        return Response(status_code=204)  # by which a browser knows not to ask again
    stream = services.bus.listen(task_id, lambda: services.queue.drop_reader(reader) if reader else None)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _check_view(view: str, cutoff: int) -> None:
    if view not in ("annot", "indiv"):
        raise ApiFailure(422, "BAD_REQUEST", f"view is {view!r:.40}; it must be annot or indiv", field="view")
    if cutoff < 0:
        raise ApiFailure(422, "BAD_REQUEST", f"cutoff is {cutoff}; it must be 0 or more", field="cutoff")
