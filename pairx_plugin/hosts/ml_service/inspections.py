"""Wildbook's match inspection: one pair of a match result, explained once and kept while there is room.

Wildbook's own address is asked with two ids and no body, since it knows the pair. This service does not, so the first
call brings the pair in the body of ``/explain/``; after it, the ids are enough.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from PIL import Image

from ...review.failures import ApiFailure
from ...review.services import address
from .answers import Inspection, failures
from .asked import Asked
from .bodies import answered, asked_of, check_kind, has_body
from .routes import CLIENT_LEFT, Desk, asked_body, desk_of, json_answer, json_response
from .turns import Cancelled, Ticket

__all__ = ["Inspections", "router"]

_KEPT_BYTES = 64_000_000
_ROOT = ("api", "v3", "match-inspection")
_PATH = "/api/v3/match-inspection/{match_result_id}/{prospect_annotation_id}"
_FAILURES = failures(400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504)
_Id = Annotated[str, Path(min_length=1, max_length=200)]

router = APIRouter()


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A pair's picture and record; `made_of` tells what it was asked with."""

    made_of: str
    picture: bytes
    width: int
    height: int
    record: Mapping[str, Any]


class Inspections:
    """Keeps inspections, the longest unused going first; safe for threads.

    Args:
        most_bytes: of pictures and records.
    """

    def __init__(self, most_bytes: int = _KEPT_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[Kept, int]] = OrderedDict()
        self._most, self._size, self._lock = most_bytes, 0, threading.Lock()

    def get(self, key: tuple[str, str]) -> Kept | None:
        """Return what is kept of a pair."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: tuple[str, str], kept: Kept) -> None:
        """Keep a pair, in place of what was kept of it."""
        size = len(kept.picture) + len(json_answer(dict(kept.record)))
        with self._lock:
            self._size += size - self._kept.pop(key, (kept, 0))[1]
            self._kept[key] = kept, size
            while self._size > self._most and len(self._kept) > 1:
                self._size -= self._kept.popitem(last=False)[1][1]


@router.post(
    _PATH,
    response_model=Inspection,
    responses={201: {"model": Inspection, "description": "Made now."}, **_FAILURES},
    openapi_extra=asked_body(required=False),
)
async def inspect(request: Request, match_result_id: _Id, prospect_annotation_id: _Id) -> Response:
    """Return the inspection of a pair: 200 where it is kept, 201 where it was made from the body."""
    key = match_result_id, prospect_annotation_id
    if not has_body(request):
        return json_response(_body(request, key, _kept(request, key)))
    check_kind(request)
    desk = desk_of(request)
    try:
        body, status = await answered(request, desk.turns, partial(_found_or_made, request, key))
    except Cancelled:
        return Response(status_code=CLIENT_LEFT)
    return json_response(body, status)


@router.get(_PATH, response_model=Inspection, responses=failures(400, 401, 404, 422))
async def inspection(request: Request, match_result_id: _Id, prospect_annotation_id: _Id) -> Response:
    """Return an inspection that is kept."""
    key = match_result_id, prospect_annotation_id
    return json_response(_body(request, key, _kept(request, key)))


@router.get(
    _PATH + "/picture.png",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The picture."}, **failures(400, 401, 404, 422)},
)
async def picture(request: Request, match_result_id: _Id, prospect_annotation_id: _Id) -> Response:
    """Return the picture of an inspection."""
    kept = _kept(request, (match_result_id, prospect_annotation_id))
    etag = f'"{hashlib.sha256(kept.picture).hexdigest()[:24]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    return Response(kept.picture, media_type="image/png", headers=headers)


def _found_or_made(request: Request, key: tuple[str, str], content: bytes, ticket: Ticket) -> tuple[bytes, int]:
    """Return the answer to a request with a body, and its status."""
    if content.strip() in (b"", b"null"):
        return _body(request, key, _kept(request, key)), 200
    asked = asked_of(content)
    del content  # it may have 64 megabytes
    made_of = hashlib.sha256(asked.model_dump_json().encode("utf-8", "replace")).hexdigest()
    kept = _store_of(request).get(key)
    if kept is not None and kept.made_of == made_of:
        return _body(request, key, kept), 200
    if len(asked.image1_uris) != 1 or len(asked.image2_uris) != 1:
        raise ApiFailure(422, "BAD_REQUEST", "an inspection is of one query and one candidate", field="image2_uris")
    made = _made(desk_of(request), asked, made_of, ticket)
    _store_of(request).put(key, made)
    return _body(request, key, made), 201


def _made(desk: Desk, asked: Asked, made_of: str, ticket: Ticket) -> Kept:
    answer = desk.service.answer(asked.model_copy(update={"output": "both"}), ticket)
    with Image.open(io.BytesIO(answer.pictures[0])) as image:
        width, height = image.size
    assert answer.records is not None
    return Kept(made_of=made_of, picture=answer.pictures[0], width=width, height=height, record=answer.records[0])


def _kept(request: Request, key: tuple[str, str]) -> Kept:
    found = _store_of(request).get(key)
    if found is None:
        raise ApiFailure(
            404, "NOT_ASSOCIATED", "no inspection of this pair is kept; send the pair as the body of /explain/"
        )
    return found


def _store_of(request: Request) -> Inspections:
    found: Inspections = request.app.state.inspections
    return found


def _body(request: Request, key: tuple[str, str], kept: Kept) -> bytes:
    asset = {
        "url": address(request, *_ROOT, *key, "picture.png"),
        "width": kept.width,
        "height": kept.height,
        "content_type": "image/png",
        "labels": ["matchInspectionPairx"],
    }
    return json_answer({"success": True, "asset": asset, "explanation": dict(kept.record)})
