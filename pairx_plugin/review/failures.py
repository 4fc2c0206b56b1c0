"""What goes wrong, as HTTP answers: one body that every known caller can read.

``detail`` serves FastAPI's callers, ``success`` and ``message`` Wildbook's, ``errors`` lists of issues with code and
field. Only 429, 502, 503 and 504 may be tried again, so a fault in what was sent is never a 5xx.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ..errors import ChipError, HostError, HostUnavailable, PairXError
from .decisions import DecisionConflict, DecisionInvalid

__all__ = ["CHIP_STATUSES", "ApiFailure", "QueueFull", "add_failure_handlers", "failure_body"]

logger = logging.getLogger(__name__)

_RETRYABLE = {429, 502, 503, 504}
CHIP_STATUSES = {"IMAGE_FORBIDDEN": 403, "IMAGE_TOO_LARGE": 413, "IMAGE_FETCH_FAILED": 502}
_CODES = {400: "BAD_REQUEST", 401: "AUTH_REQUIRED", 403: "FORBIDDEN", 404: "NOT_ASSOCIATED", 405: "METHOD_NOT_ALLOWED"}


class ApiFailure(Exception):
    """A request that cannot be answered as asked.

    Args:
        status: of HTTP.
        code: stable upper-case identifier.
        field: of the request that is at fault.
        more: further keys of the answer's body.
    """

    def __init__(
        self, status: int, code: str, message: str, *, field: str = "", more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.field, self.more = status, code, field, dict(more or {})


class QueueFull(PairXError, RuntimeError):
    """As many explanations wait as may."""

    code = "BUSY"
    retryable = True

    def __init__(self, size: int, wait: float) -> None:
        super().__init__(f"{size} explanations are waiting, which is the limit; try again in {wait:.0f} s")
        self.wait = wait


def failure_body(status: int, code: str, message: str, *, field: str = "", request_id: str = "") -> dict[str, Any]:
    """Return the body of an answer that says what went wrong."""
    issue = {"code": code, "message": message, "field": field, "retryable": status in _RETRYABLE}
    return {"success": False, "message": message, "detail": message, "errors": [issue], "request_id": request_id}


def add_failure_handlers(app: FastAPI) -> None:
    """Let every error of the application have the one body."""
    app.add_exception_handler(ApiFailure, _api_failure)
    app.add_exception_handler(PairXError, _own_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _answer(
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    field: str = "",
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    request_id = str(request.scope.get("review_request_id", ""))
    body = failure_body(status, code, message, field=field, request_id=request_id)
    headers = {**(headers or {}), "Cache-Control": "no-store"}
    if status in _RETRYABLE:
        headers["Retry-After"] = str(max(1, round(float((more or {}).get("retry_after", 5)))))
    return JSONResponse({**body, **(more or {})}, status_code=status, headers=headers)


async def _api_failure(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiFailure)
    return _answer(request, error.status, error.code, str(error), field=error.field, more=error.more)


async def _own_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PairXError)
    if isinstance(error, DecisionConflict):
        current = {**error.current.to_json(), "skipped": error.current.skipped} if error.current else None
        return _answer(request, 412, error.code, str(error), field="If-Match", more={"current": current})
    if isinstance(error, QueueFull):
        return _answer(request, 429, error.code, str(error), more={"retry_after": error.wait})
    if isinstance(error, DecisionInvalid):
        return _answer(request, 422, error.code, str(error), field=error.field)
    if isinstance(error, ChipError):
        return _answer(request, CHIP_STATUSES.get(error.code, 422), error.code, _without_paths(error))
    if isinstance(error, HostUnavailable):
        return _answer(request, 503, error.code, str(error))
    logger.error("%s %s: %s", request.method, request.url.path, error)
    status = 500 if isinstance(error, HostError) else 422
    return _answer(request, status, error.code, str(error))


def _without_paths(error: ChipError) -> str:
    """A reader learns that a photograph cannot be opened; where it lies on this machine is in the log."""
    logger.warning("%s", error)
    return {
        "IMAGE_NOT_FOUND": "the photograph is not where the host says",
        "IMAGE_UNREADABLE": "the photograph cannot be opened",
        "IMAGE_FORBIDDEN": "the photograph may not be read from where it lies",
        "IMAGE_TOO_LARGE": "the photograph is larger than may be read",
        "IMAGE_FETCH_FAILED": "the photograph's server did not send it",
    }.get(error.code, "the animal cannot be cut out of the photograph")


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0] if error.errors() else {"loc": (), "msg": "the request does not fit"}
    field = ".".join(str(part) for part in first["loc"] if part != "body")
    return _answer(request, 422, "BAD_REQUEST", f"{field or 'the request'}: {first['msg']}", field=field)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "BAD_REQUEST")
    return _answer(request, error.status_code, code, str(error.detail), headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, "INTERNAL", "something went wrong; the server's log says what")
