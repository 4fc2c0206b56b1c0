"""The pages: all tasks, one task, its report, and the sign-in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse

from ..report.page_templates import page_templates
from .failures import ApiFailure
from .guard import TOKEN_COOKIE
from .options import LANGUAGES
from .presenting import query_json, task_json
from .report_page import report_parts
from .services import LANGUAGE_COOKIE, Services, address, reviewer_of, services_of

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["router"]

router = APIRouter()
_YEAR = 365 * 24 * 3600
_REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@router.get("/", include_in_schema=False)
@router.get("/review", include_in_schema=False)
@router.get("/review/", include_in_schema=False)
def index(request: Request) -> Response:
    """All tasks; where there is one only, that one."""
    services = services_of(request)
    token = request.query_params.get("token")
    if token is not None:
        return _signed_in(request, token, address(request, "review", ""))
    found = services.source.tasks()
    if len(found) == 1:
        return RedirectResponse(address(request, "review", "tasks", found[0].task_id), status_code=303)
    return _page(request, "tasks.html.j2", tasks=[task_json(request, item) for item in found])


@router.get("/review/tasks/{task_id}")
def task(request: Request, task_id: str, query: str = "") -> Response:
    """The page of a task, at one of its queries."""
    services = services_of(request)
    found = services.source.task(task_id)
    if found is None or not found.queries:
        return _page(request, "missing.html.j2", status=404)
    ids = [item.query_id for item in found.queries]
    chosen = services.query(task_id, query if query in ids else _first_open(services, task_id, ids))
    return _page(
        request,
        "review.html.j2",
        task=task_json(request, found),
        query=query_json(request, chosen),
        api=address(request, "review", "v1"),
        own=address(request, "review", "tasks", task_id),
        default_view=services.options.default_view,
        events=services.options.events,
        reviewer=reviewer_of(request),
    )


@router.get("/review/tasks/{task_id}/report.html")
def report(request: Request, task_id: str, query: str = "") -> Response:
    """The report of a task or of one of its queries, as one file to keep."""
    services = services_of(request)
    found = services.task(task_id)
    ids = [item.query_id for item in found.queries]
    if query and query not in ids:
        raise ApiFailure(404, "NOT_ASSOCIATED", f"the task has no query {query!r:.80}", field="query")
    parts = report_parts(services, found, [query] if query else ids, services.language(request))
    return StreamingResponse(
        parts, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": _REPORT_POLICY}
    )


@router.get("/review/language/{tag}")
def language(request: Request, tag: str, back: str = "") -> Response:
    """Keep the reader's choice of language, and go back."""
    answer = RedirectResponse(_local(request, back), status_code=303)
    if tag in LANGUAGES:
        secure = services_of(request).options.secure
        answer.set_cookie(LANGUAGE_COOKIE, tag, max_age=_YEAR, samesite="lax", httponly=True, secure=secure)
    return answer


@router.get("/review/sign-in")
def sign_in(request: Request, next: str = "") -> Response:
    """Ask for the token."""
    if not services_of(request).options.token:
        return RedirectResponse(_local(request, next), status_code=303)
    return _page(request, "sign_in.html.j2", back=next, wrong=False)


@router.post("/review/sign-in")
async def signed_in(request: Request) -> Response:
    """Take the token; a form without script, so that it works before anything else does."""
    body = parse_qs((await request.body()).decode("utf-8", "replace"))
    return _signed_in(request, body.get("token", [""])[0].strip(), _local(request, body.get("next", [""])[0]))


def _signed_in(request: Request, token: str, target: str) -> Response:
    options = services_of(request).options
    if not options.token:
        return RedirectResponse(target, status_code=303)
    if not request.app.state.guard.signed_in(token):
        return _page(request, "sign_in.html.j2", status=401, back=target, wrong=True)
    answer = RedirectResponse(target, status_code=303)
    answer.set_cookie(TOKEN_COOKIE, token, samesite="lax", httponly=True, secure=options.secure)
    return answer


def _first_open(services: Services, task_id: str, ids: list[str]) -> str:
    """The first query on which somebody has still to decide."""
    counts = services.source.decisions.counts(task_id)
    found = services.task(task_id)
    for item in found.queries:
        if item.failure is None and counts.get(item.query_id, 0) < item.n_candidates:
            return item.query_id
    return ids[0]


def _local(request: Request, target: str) -> str:
    """A path of this server; anything else would send a reader elsewhere."""
    clean = target.startswith("/") and not target.startswith(("//", "/\\")) and "\\" not in target
    clean = clean and all(part.isprintable() for part in target)
    return target if clean else address(request, "review", "")


def _page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    services = services_of(request)
    tag = services.language(request)
    html = (
        _environment()
        .get_template(template)
        .render(
            say=services.wording[tag],
            tag=tag,
            languages=LANGUAGES,
            here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            root=str(request.scope.get("root_path", "")).rstrip("/"),
            csrf=request.scope.get("review_csrf", ""),
            messages=services.wording.for_script(tag),
            signed=bool(services.options.token),
            **values,
        )
    )
    return HTMLResponse(html, status_code=status)


def _environment() -> Environment:
    environment = page_templates("pairx_plugin.review", purpose="the review page")
    environment.filters["data"] = _data
    return environment


def _data(value: Any) -> str:
    """JSON for a data block within a page: no text in it can end the block."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    escaped = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    from markupsafe import Markup

    return Markup(escaped)
