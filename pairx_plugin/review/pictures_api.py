"""Routes of pictures that other programs show: Wildbook IA's thumbs, chips of an explanation, links as SVG."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Request, Response

from ..errors import EvidenceError
from .failures import ApiFailure
from .jobs import Job
from .pair_pictures import VERSIONS, candidate_of, chips_of, find_query, jpeg, links_svg, pair_picture
from .services import Services, services_of

__all__ = ["router"]

router = APIRouter()
_DRAWING_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@router.get("/api/query/graph/match/thumb/")
def thumb(
    request: Request,
    extern_reference: str,
    query_annot_uuid: str,
    database_annot_uuid: str,
    version: str = "matches",
) -> Response:
    """A pair's picture as Wildbook IA serves it; the reference is the task's id.

    It shows what there is already: an explanation is asked for elsewhere.
    """
    services = services_of(request)
    view = VERSIONS.get(version.lower())
    if view is None:
        raise ApiFailure(
            422, "BAD_REQUEST", f"version is {version!r:.40}; there are: {', '.join(VERSIONS)}", field="version"
        )
    query = find_query(services, query_annot_uuid, extern_reference)
    candidate = candidate_of(query, database_annot_uuid)
    return _picture(request, jpeg(pair_picture(services, query, candidate, view)))


@router.get("/review/v1/explanations/{job_id}/chips/{side}.jpg")
def chip(request: Request, job_id: str, side: int) -> Response:
    """The chip of one side of an explanation: 0 for the query, 1 for the candidate."""
    services = services_of(request)
    job = _known(services, job_id)
    if side not in (0, 1):
        raise ApiFailure(404, "NOT_ASSOCIATED", f"there is no side {side}; 0 is the query, 1 the candidate")
    return _picture(request, jpeg(chips_of(services, job.query, job.candidate)[side].pixels))


@router.get("/review/v1/explanations/{job_id}.svg")
def links(request: Request, job_id: str) -> Response:
    """The links of an explanation over the plain pair, sharp at any size."""
    services = services_of(request)
    job = _known(services, job_id)
    if job.parts is None:
        raise ApiFailure(404, "NOT_ASSOCIATED", "the explanation has no links, or not yet")
    if services.source.changed(job.query, job.candidate) == "CHIP_CHANGED" and not job.key.made_anew:
        raise ApiFailure(404, "STALE", "the links lie on other pixels than there are today; ask for them anew")
    try:
        drawing = links_svg(job.parts, *chips_of(services, job.query, job.candidate))
    except EvidenceError as error:
        raise ApiFailure(404, "NOT_ASSOCIATED", str(error)) from error
    return _picture(
        request, drawing.encode("utf-8"), "image/svg+xml", more={"Content-Security-Policy": _DRAWING_POLICY}
    )


def _known(services: Services, job_id: str) -> Job:
    job = services.queue.get(job_id)
    if job is None:
        raise ApiFailure(404, "NOT_ASSOCIATED", "there is no such explanation, or it was let go; ask for it again")
    return job


def _picture(
    request: Request, data: bytes, media_type: str = "image/jpeg", *, more: dict[str, Any] | None = None
) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()[:24]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache", **(more or {})}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
