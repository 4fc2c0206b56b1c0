"""The route by which a ranking that was made elsewhere becomes a task."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from ..errors import ChipError
from .failures import CHIP_STATUSES, ApiFailure
from .imported import ImportedTask, from_cm_dict, from_csv, from_match_results, from_pairs
from .presenting import task_json
from .services import address, services_of
from .source import TaskImporter

__all__ = ["MAX_IMPORT", "router"]

MAX_IMPORT = 16 * 1024 * 1024  # bytes of a body
_SHAPES = ("matchResultsRoot", "cm_dict", "pairs")

router = APIRouter()


@router.post("/review/v1/tasks", status_code=201)
async def import_task(request: Request, title: str = "") -> JSONResponse:
    """Take Wildbook's ``matchResultsRoot``, Wildbook IA's ``cm_dict``, or a table of pairs, as JSON or CSV."""
    content = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return await run_in_threadpool(_imported, request, content, media_type, title)


def _imported(request: Request, content: bytes, media_type: str, title: str) -> JSONResponse:
    services = services_of(request)
    source = services.source
    if not isinstance(source, TaskImporter):
        raise ApiFailure(422, "IMPORT_UNSUPPORTED", "this host takes no tasks from elsewhere")
    try:
        task_id = source.import_task(_read(content, media_type, title[:200].strip()))
    except ChipError as error:  # whoever brings a task learns which photograph it was, by the name it was given
        raise ApiFailure(CHIP_STATUSES.get(error.code, 422), error.code, str(error)) from error
    place = address(request, "review", "v1", "tasks", task_id)
    body = {"success": True, "task": task_json(request, services.task(task_id))}
    return JSONResponse(body, status_code=201, headers={"Location": place})


def _read(content: bytes, media_type: str, title: str) -> ImportedTask:
    try:
        text = content.decode("utf-8")
        if media_type == "text/csv":
            return from_csv(text, title or "pairs")
        body: Any = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ApiFailure(400, "BAD_REQUEST", f"the body is neither JSON nor CSV in UTF-8: {error}"[:300]) from error
    if isinstance(body, dict) and isinstance(body.get("json_result"), dict):
        body = body["json_result"]  # Wildbook IA's answer, as it came
    shapes = [name for name in _SHAPES if isinstance(body, dict) and name in body]
    if len(shapes) != 1:
        raise ApiFailure(422, "BAD_REQUEST", f"give one of: {', '.join(_SHAPES)}")
    name = shapes[0]
    given = str(body.get("title") or title or name)[:200]
    if not isinstance(body[name], list if name == "pairs" else dict):
        raise ApiFailure(422, "BAD_REQUEST", f"'{name}' is of another kind than it must be", field=name)
    if name == "matchResultsRoot":
        return from_match_results(body[name], given)
    if name == "pairs":
        return from_pairs(body[name], given)
    annotations = body.get("annotations") or {}
    if not isinstance(annotations, dict):
        raise ApiFailure(422, "BAD_REQUEST", "'annotations' must be an object", field="annotations")
    return from_cm_dict(body[name], annotations, given)
