"""Wildbook's match inspection: a pair is explained when somebody opens it, and answered in Wildbook's shape.

A match result is a query here, by its id, and a prospect one of its candidates, by its annotation's id.
"""

from __future__ import annotations

import math
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pairx_hooks import Candidate, Status

from .explanations_api import Asked, new_job
from .failures import ApiFailure
from .jobs import Job
from .pair_pictures import candidate_of, find_query, pair_picture
from .presenting import explanation_json
from .services import Services, address, services_of
from .source import ReviewQuery

__all__ = ["router"]

router = APIRouter(prefix="/api/v3/match-inspection")
_LOOK = 0.05  # seconds between two looks whether it is there
_STATUSES = {
    "OUT_OF_MEMORY": 503,
    "TIMEOUT": 504,
    "TIME_BUDGET": 504,
    "INTERNAL": 502,
}


@router.post("/{match_result_id}/{prospect_annotation_id}")
def inspect(request: Request, match_result_id: str, prospect_annotation_id: str) -> JSONResponse:
    """Return the pair's picture: 200 where it is there, 201 where it was made for this call."""
    services = services_of(request)
    query = find_query(services, match_result_id)
    candidate = candidate_of(query, prospect_annotation_id)
    there = _finished(services, query, candidate)
    job = there or _explained(services, query, candidate)
    body = _inspection(request, services, query, candidate, job)
    return JSONResponse(body, status_code=200 if there is not None else 201, headers={"Cache-Control": "no-store"})


@router.get("/{match_result_id}/{prospect_annotation_id}")
def inspection(request: Request, match_result_id: str, prospect_annotation_id: str) -> JSONResponse:
    """Return an inspection that was made already: the picture's address, and the record."""
    services = services_of(request)
    query = find_query(services, match_result_id)
    candidate = candidate_of(query, prospect_annotation_id)
    job = _finished(services, query, candidate)
    if job is None:
        raise ApiFailure(404, "NOT_ASSOCIATED", "this pair has not been inspected; ask for it with POST")
    return JSONResponse(_inspection(request, services, query, candidate, job), headers={"Cache-Control": "no-store"})


def _finished(services: Services, query: ReviewQuery, candidate: Candidate) -> Job | None:
    stale = services.source.changed(query, candidate)
    for job in reversed(services.queue.jobs_of(query.ranked_query.query_id)):
        same = job.key.task_id == query.task_id and job.key.rank == candidate.rank
        if same and job.status is Status.READY and job.parts is not None and job.parts.masks:
            if not stale or job.key.made_anew:
                return job
    return None


def _explained(services: Services, query: ReviewQuery, candidate: Candidate) -> Job:
    """Ask for the explanation and wait for it, no longer than one may take after those that wait before it."""
    asked = Asked(
        task=query.task_id,
        query=query.ranked_query.query_id,
        rank=candidate.rank,
        anew=bool(services.source.changed(query, candidate)),
    )
    reader = f"inspection-{secrets.token_hex(8)}"
    job = services.queue.ask(new_job(services, query, candidate, asked), reader, retry=True)
    deadline = time.monotonic() + (services.options.time_limit or math.inf)
    while not job.over and time.monotonic() < deadline:
        time.sleep(_LOOK)
    if not job.over:
        services.queue.drop(job.job_id, reader)
        raise ApiFailure(504, "TIMEOUT", f"the explanation took longer than {services.options.time_limit:g} s")
    if job.parts is None or job.status is not Status.READY:
        failure = job.failure
        code = failure.code if failure is not None else "INTERNAL"
        # Wildbook shows the words as they are; places of this machine are in the log and not here.
        raise ApiFailure(_STATUSES.get(code, 422), code, f"the pair could not be explained ({code})")
    return job


def _inspection(
    request: Request, services: Services, query: ReviewQuery, candidate: Candidate, job: Job
) -> dict[str, Any]:
    height, width = pair_picture(services, query, candidate, "heatmask").shape[:2]
    names = {
        "extern_reference": query.task_id,
        "query_annot_uuid": query.ranked_query.query.annotation_id,
        "database_annot_uuid": candidate.annotation.annotation_id,
        "version": "heatmask",
    }
    url = address(request, "api", "query", "graph", "match", "thumb", "") + "?" + urlencode(names)
    asset = {"url": url, "width": width, "height": height, "labels": ["matchInspectionPairx"]}
    record = explanation_json(request, job)["record"]
    return {"success": True, "asset": {**asset, "content_type": "image/jpeg"}, "explanation": record}
