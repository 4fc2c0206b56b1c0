"""Routes of the service: explain, photographs sent before, what there is to ask for, and whether it answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from ...errors import PairXError
from ...installed import plugin_version
from .answers import ExplainAnswer, Health, Offer, Sent, failures
from .asked import MOST_DRAWN, VIEWS
from .bodies import answered, asked_of, check_kind
from .configuration import BATCH
from .explain_service import ExplainService
from .refusals import refusal_of
from .turns import Cancelled, Ticket, Turns

__all__ = ["CLIENT_LEFT", "Desk", "asked_body", "desk_of", "explain_router", "json_answer", "json_response", "router"]

CLIENT_LEFT = 499
"""Status of an answer that nobody reads; the log of requests shows it."""
_FAILURES = failures(400, 401, 403, 408, 413, 422, 429, 500, 502, 503, 504)

_UPLOAD = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_SENT: Any = {201: {"model": Sent}, **failures(400, 401, 403, 408, 413, 422, 429, 503, 504)}

explain_router = APIRouter()
router = APIRouter()


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the routes of one server share."""

    service: ExplainService
    turns: Turns


def desk_of(request: Request) -> Desk:
    """Return the desk of the server that a request came to."""
    found: Desk = request.app.state.explain_desk
    return found


def asked_body(*, required: bool) -> dict[str, Any]:
    """Return what the OpenAPI document says of a body that is read here and not by FastAPI."""
    schema = {"$ref": "#/components/schemas/Asked"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


@explain_router.post("/explain", include_in_schema=False)
@explain_router.post(
    "/explain/", response_model=ExplainAnswer, responses=_FAILURES, openapi_extra=asked_body(required=True)
)
async def explain(request: Request) -> Response:
    """Explain why a model finds pairs of photographs similar: one query with each candidate, or one with one."""
    check_kind(request)
    desk = desk_of(request)

    def work(content: bytes, ticket: Ticket) -> bytes:
        asked = asked_of(content)
        del content  # it may have 64 megabytes
        return json_answer(desk.service.answer(asked, ticket).to_json())

    try:
        answer = await answered(request, desk.turns, work)
    except Cancelled:
        return Response(status_code=CLIENT_LEFT)
    return json_response(answer)


@explain_router.post(
    "/explain/photographs/",
    status_code=201,
    response_model=Sent,
    responses=_SENT,
    openapi_extra={"requestBody": {"required": True, "content": _UPLOAD}},
)
async def send_photograph(request: Request) -> Response:
    """Keep a photograph, the request's whole body, for the requests that name it: once, for many candidates."""
    desk = desk_of(request)

    def work(content: bytes, ticket: Ticket) -> bytes:
        try:
            with ticket.reading():
                uri, (width, height) = desk.service.gate.keep(content)
        except PairXError as error:
            raise refusal_of(error, "body") from error
        return json_answer({"uri": uri, "width": width, "height": height})

    try:
        answer = await answered(request, desk.turns, work)
    except Cancelled:
        return Response(status_code=CLIENT_LEFT)
    return json_response(answer, 201)


@router.get("/health", response_model=Health, responses=failures(400))
async def health(request: Request) -> dict[str, Any]:
    """Whether the service answers, and how busy it is."""
    desk = desk_of(request)
    states = [desk.service.models.state(name) for name in desk.service.models.ids]
    return {
        "status": "degraded" if "failed" in states else "healthy",
        "service": "pairx-plugin",
        "version": plugin_version(),
        "models": {state: states.count(state) for state in ("ready", "unloaded", "failed")},
        "requests": desk.turns.inside,
        "usual_seconds": desk.turns.usual_seconds,
    }


@router.get("/review/v1/explainers", response_model=Offer, responses=failures(400, 401))
async def explainers(request: Request) -> dict[str, Any]:
    """What requests may ask for: explainers, models, limits, and how long it usually takes."""
    desk = desk_of(request)
    rules = desk.service.gate.rules
    return {
        "explainers": desk.service.explainers,
        "models": [_model(desk.service, name) for name in desk.service.models.ids],
        "limits": {
            "pairs": BATCH,
            "views": list(VIEWS),
            "k_lines": MOST_DRAWN,
            "k_colors": MOST_DRAWN,
            "seconds": desk.turns.time_limit,
            "photograph_bytes": rules.max_bytes,
            "photograph_pixels": rules.max_pixels,
            "inline": rules.inline,
        },
        "usual_seconds": desk.turns.usual_seconds,
    }


def json_answer(body: dict[str, Any]) -> bytes:
    """Return a body as JSON without NaN; several megabytes of pictures are better not written on the event loop."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")


def json_response(body: bytes, status: int = 200) -> Response:
    """Return what :func:`json_answer` wrote as an answer that nobody keeps."""
    return Response(body, status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"})


def _model(service: ExplainService, name: str) -> dict[str, Any]:
    found = service.models.loaded(name)
    return {
        "model_id": name,
        "state": service.models.state(name),
        "input_size": list(found.input_size) if found is not None else None,
        "layer_key": found.default_layer if found is not None else None,
        "layers": [{"layer_key": layer.key, "grid": list(layer.grid)} for layer in service.models.stages(name)],
    }
