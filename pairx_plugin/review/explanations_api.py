"""Routes of explanations: asked for, looked at, cancelled; and their colour maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pairx_hooks import Candidate, Explanation, Failure, Status
from pydantic import BaseModel, Field

from .evidence_parts import SIGNS, EvidenceParts, grey_mask, kept_parts
from .failures import ApiFailure
from .jobs import Job, JobKey
from .partners import Partners
from .presenting import explanation_json
from .services import Services, address, services_of
from .source import EvidenceRequest, ExplainerChoice, ReviewQuery

__all__ = ["Asked", "new_job", "router"]

router = APIRouter(prefix="/review/v1")
_MONTH = 30 * 24 * 3600
_HOME = ("review", "v1", "explanations")
_A_WHILE = "private, max-age=600"
_LONGEST_BUDGET = 86_400.0  # seconds; no setting takes more


class Asked(BaseModel):
    """The body of a request for an explanation; keys that are not known are ignored."""

    task: str = Field(max_length=200)
    query: str = Field(max_length=200)
    rank: int = Field(ge=1)
    explainer: str = Field(default="pairx", max_length=100)
    variant: str = Field(default="", max_length=40)
    layer_key: str = Field(default="", max_length=300)
    k_lines: int | None = Field(default=None, ge=1, le=100)
    k_colors: int | None = Field(default=None, ge=0, le=20)
    stage: str = Field(default="all", pattern="^(lines|all)$")
    reader: str = Field(default="", max_length=64, pattern="^[A-Za-z0-9_-]*$")
    prefetch: bool = False
    retry: bool = False
    anew: bool = False


class Gone(BaseModel):
    """The body of a cancellation."""

    reader: str = Field(default="", max_length=64)
    ids: list[str] = Field(max_length=100)


@router.get("/explainers")
def explainers(request: Request) -> dict[str, Any]:
    """Explainers, layers, limits, and how long an explanation usually takes."""
    services = services_of(request)
    options = services.options
    return {
        "explainers": [{**vars_of(item), "options": dict(item.options)} for item in services.source.explainers()],
        "layers": [{**vars_of(item), "grid": list(item.grid)} for item in services.source.layers()],
        "limits": {"k_lines": options.k_lines, "k_colors": options.k_colors, "time": options.time_limit},
        "usual_seconds": services.queue.usual_seconds,
    }


@router.post("/explanations")
def ask(request: Request, asked: Asked) -> Response:
    """Ask for an explanation: 201 where it is there, 202 where it is under way; the same inputs share one."""
    services = services_of(request)
    query = services.query(asked.task, asked.query)
    candidate = query.candidate(asked.rank)
    if candidate is None:
        raise ApiFailure(404, "NOT_ASSOCIATED", f"the query has no candidate of rank {asked.rank}", field="rank")
    job = services.queue.ask(new_job(services, query, candidate, asked), asked.reader, retry=asked.retry)
    headers = {"Location": address(request, "review", "v1", "explanations", job.job_id)}
    if not job.over:
        headers["Retry-After"] = str(max(1, round(services.queue.usual_seconds or 5)))
    return JSONResponse(explanation_json(request, job), status_code=201 if job.over else 202, headers=headers)


@router.get("/explanations/{job_id}")
def explanation(request: Request, job_id: str) -> Response:
    """How far an explanation is, and what there is of it."""
    job = _known(services_of(request), job_id)
    etag = f'"{job.job_id[:12]}-{job.revision}-{services_of(request).language(request)}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Language, Cookie"}
    if job.over and request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    return JSONResponse(explanation_json(request, job), headers=headers)


@router.get("/explanations/{job_id}/maps/{number}.png")
def colour_map(request: Request, job_id: str, number: int) -> Response:
    """One colour map as a grey picture: white is full colour."""
    job = _known(services_of(request), job_id)
    data = job.parts.masks.get(number) if job.parts is not None else None
    if data is None:
        raise ApiFailure(404, "NOT_ASSOCIATED", f"the explanation has no colour map {number}")
    kept = f"private, max-age={_MONTH}, immutable" if job.status is Status.READY else "no-cache"
    return Response(data, media_type="image/png", headers={"Cache-Control": kept})


@router.get("/explanations/{job_id}/partners/{side}/{row}/{col}")
def partners(request: Request, job_id: str, side: int, row: int, col: int) -> Response:
    """Where the partner of one cell of a side lies in the other: the cell that adds most with it, and two maps."""
    job, found = _partners(request, job_id, side)
    peak = found.peak(side, row, col)
    rows, cols = found.grids[1 - side]
    body = {
        "side": side,
        "cell": [row, col],
        "place": None if peak is None else [(peak[1] + 0.5) / cols, (peak[0] + 0.5) / rows],
        "grid": [rows, cols],
        "value": None if peak is None else float(found.row(side, row, col)[peak]),
        "maps": {
            sign: address(request, *_HOME, job.job_id, "partners", side, row, col, f"{sign}.png") for sign in SIGNS
        },
    }
    return JSONResponse(body, headers={"Cache-Control": _A_WHILE})


@router.get("/explanations/{job_id}/partners/{side}/{row}/{col}/{sign}.png")
def partner_map(request: Request, job_id: str, side: int, row: int, col: int, sign: str) -> Response:
    """What each cell of the other side adds to the similarity with one cell, or takes from it, as a grey picture."""
    _, found = _partners(request, job_id, side)
    if sign not in SIGNS:
        raise ApiFailure(404, "NOT_ASSOCIATED", f"a sign is one of: {', '.join(SIGNS)}")
    grey = grey_mask(found.row(side, row, col) * np.float32(SIGNS[sign]), found.scale())
    return Response(grey, media_type="image/png", headers={"Cache-Control": _A_WHILE})


@router.delete("/explanations/{job_id}")
def cancel(request: Request, job_id: str, reader: str = "") -> dict[str, Any]:
    """Say that a reader no longer waits; what nobody waits for is cancelled."""
    services_of(request).queue.drop(job_id, reader)
    return {"success": True}


@router.post("/explanations/cancel")
def cancel_all(request: Request, gone: Gone) -> dict[str, Any]:
    """Say that a reader no longer waits for several at once."""
    services_of(request).queue.drop_all(gone.ids, gone.reader)
    return {"success": True}


def vars_of(record: Any) -> dict[str, Any]:
    """Return the fields of a flat record."""
    return dict(vars(record))


def _known(services: Services, job_id: str) -> Job:
    job = services.queue.get(job_id)
    if job is None:
        raise ApiFailure(404, "NOT_ASSOCIATED", "there is no such explanation, or it was let go; ask for it again")
    return job


def _partners(request: Request, job_id: str, side: int) -> tuple[Job, Partners]:
    job = _known(services_of(request), job_id)
    if job.partners is None or side not in (0, 1):
        raise ApiFailure(404, "NOT_ASSOCIATED", "this explanation does not say which places belong together")
    return job, job.partners


def new_job(services: Services, query: ReviewQuery, candidate: Candidate, asked: Asked) -> Job:
    """Return a new job; kept evidence comes along, and what can never be made says so at once."""
    options = services.options
    chosen = _chosen(services, asked)
    wanted = EvidenceRequest(
        explainer=asked.explainer,
        layer_key=asked.layer_key,
        k_lines=options.k_lines if asked.k_lines is None else asked.k_lines,
        k_colors=0 if asked.stage == "lines" else options.k_colors if asked.k_colors is None else asked.k_colors,
        variant=chosen.variant,
        options=chosen.options,
        time_budget=min(options.time_limit, _LONGEST_BUDGET),
    )
    key = JobKey(task_id=query.task_id, query_id=query.ranked_query.query_id, rank=candidate.rank, request=wanted)
    if not chosen.usable:
        refused = Failure(code="EXPLAINER_UNUSABLE", message=chosen.reason)
        return Job(key=key, query=query, candidate=candidate, status=Status.UNSUPPORTED, failure=refused)
    kept = _kept(query, candidate, wanted)
    changed = services.source.changed(query, candidate)
    if changed and not asked.anew:
        # Lines that were found on other pixels must not lie on these; another network's may, with a word.
        shown = kept if changed == "MODEL_CHANGED" else None
        return Job(key=key, query=query, candidate=candidate, status=Status.STALE, stale=changed, parts=shown)
    if changed:
        key = JobKey(**{**vars_of(key), "made_anew": True})
        kept = None
    priority = 1 if asked.prefetch else 0
    if kept is not None and wanted.k_colors == 0:
        return Job(key=key, query=query, candidate=candidate, status=Status.READY, parts=kept)
    return Job(key=key, query=query, candidate=candidate, parts=kept, priority=priority)


def _chosen(services: Services, asked: Asked) -> ExplainerChoice:
    """Return the explainer that was asked for, usable or not; refuse what there is not."""
    choices = services.source.explainers()
    known = {(item.explainer_id, item.variant): item for item in choices}
    if (asked.explainer, asked.variant) not in known:
        there = ", ".join(" ".join(filter(None, key)) for key in known)
        field, value = ("variant", asked.variant) if (asked.explainer, "") in known else ("explainer", asked.explainer)
        raise ApiFailure(422, "EXPLAINER_UNKNOWN", f"no {field} {value!r}; there are: {there}", field=field)
    layers = [item.key for item in services.source.layers() if item.key]
    if asked.layer_key and asked.layer_key not in layers:
        raise ApiFailure(
            422, "LAYER_UNKNOWN", f"no layer {asked.layer_key!r} to choose; there are: {', '.join(layers)}",
            field="layer_key",
        )
    return known[asked.explainer, asked.variant]


def _kept(query: ReviewQuery, candidate: Candidate, wanted: EvidenceRequest) -> EvidenceParts | None:
    """Return evidence that the host has kept, where it answers what is asked."""
    kept: Explanation | None = query.explanations.get(candidate.rank)
    if kept is None or not kept.status.usable or not kept.record.get("matches"):
        return None
    record, params = kept.record, kept.record.get("params") or {}
    fits = (
        record.get("algorithm") == wanted.explainer
        and not wanted.variant
        and wanted.layer_key in ("", record.get("layer_key"))
        and isinstance(params.get("k_lines"), int)
        and params["k_lines"] >= wanted.k_lines
    )
    return kept_parts(kept, query.ranked_query, candidate) if fits else None
