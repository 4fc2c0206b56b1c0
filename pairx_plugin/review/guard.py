"""What stands before every request: host names, sign-in, forged writes, sizes, and the headers of answers.

One ASGI middleware, so that an answer of any kind passes it, streams and errors included.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import secrets
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote

from .failures import failure_body
from .options import ReviewOptions

__all__ = ["CSRF_HEADER", "MAX_BODY", "SESSION_COOKIE", "TOKEN_COOKIE", "Guard", "allowed_hosts", "is_loopback"]

SESSION_COOKIE, TOKEN_COOKIE = "pairx_review_session", "pairx_review_token"
CSRF_HEADER = "x-csrf-token"
MAX_BODY = 256 * 1024
_SAFE = {"GET", "HEAD", "OPTIONS"}
_OPEN = ("/health", "/review/static/", "/review/sign-in")  # what nobody has to sign in for
# What programs ask that have loaded no page before, and so have no word against forged writes.
_PROGRAMS = ("/explain", "/api/v3/match-inspection/")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
)
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


def is_loopback(host: str) -> bool:
    """Whether an address that a server binds to is reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Guard:
    """Lets a request through, or answers it.

    Args:
        app: behind the guard.
        options: token, host names.
        max_body: bytes of a request.
        larger: bytes of requests to these paths, where they may have more; a path that ends in ``/`` means those below
            it too.
        pages: False where the application has no pages, so that nobody can sign in and no session is begun.
    """

    def __init__(
        self,
        app: Any,
        options: ReviewOptions,
        *,
        max_body: int = MAX_BODY,
        larger: Mapping[str, int] | None = None,
        pages: bool = True,
    ) -> None:
        self._app, self._options, self._pages = app, options, pages
        self._max_body, self._larger = max_body, dict(larger or {})
        self._secret = secrets.token_bytes(32)
        self._hosts = {host.lower() for host in options.hosts}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        cookies = _cookies(headers.get("cookie", ""))
        session = cookies.get(SESSION_COOKIE, "")
        fresh = not _is_session(session)
        if fresh:
            session = secrets.token_urlsafe(24)
        scope["review_request_id"] = secrets.token_hex(8)
        scope["review_csrf"] = self._csrf(session)
        cookie = _new_cookie(SESSION_COOKIE, session, self._options.secure) if fresh and self._pages else None
        sender = _Sender(send, cookie)
        path = _path(scope)
        refusal = self._refusal(scope["method"], path, headers, cookies, session)
        if refusal is not None:
            await _refuse(scope, sender, path, *refusal, pages=self._pages)
            return
        await self._app(scope, _Limited(receive, self._limit(path)), sender)

    def signed_in(self, given: str) -> bool:
        """Whether a token is the right one."""
        return hmac.compare_digest(given.encode(), self._options.token.encode())

    def _limit(self, path: str) -> int:
        below = (size for place, size in self._larger.items() if place.endswith("/") and path.startswith(place))
        return self._larger.get(path, next(below, self._max_body))

    def _csrf(self, session: str) -> str:
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def _refusal(
        self, method: str, path: str, headers: dict[str, str], cookies: dict[str, str], session: str
    ) -> tuple[int, str, str] | None:
        """Return status, code and message where the request must not pass."""
        if self._hosts and _host_name(headers.get("host", "")) not in self._hosts:
            return 403, "HOST_FORBIDDEN", "this server does not answer under that name"
        length = headers.get("content-length", "0")
        limit = self._limit(path)
        if not (length.isascii() and length.isdigit()) or len(length) > 18 or int(length) > limit:
            return 413, "BODY_TOO_LARGE", f"a request may have {limit} bytes"
        bearer = headers.get("authorization", "").partition(" ")
        by_header = bearer[0].lower() == "bearer" and bool(self._options.token) and self.signed_in(bearer[2].strip())
        if self._options.token and not path.startswith(_OPEN):
            if not by_header and not self.signed_in(cookies.get(TOKEN_COOKIE, "")):
                return 401, "AUTH_REQUIRED", "sign in with the token that the server was started with"
        # A browser sends cookies along by itself, but never an Authorization header: that cannot be forged.
        if method in _SAFE or by_header or path.startswith("/review/sign-in"):
            return None
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return 403, "CSRF_FAILED", "writes from another site are refused"
        if not self._pages or path.startswith(_PROGRAMS):
            # Every browser says where such a request comes from, and no page of another site can keep it from that.
            if _is_foreign(headers.get("origin", ""), headers.get("host", "")):
                return 403, "CSRF_FAILED", "writes from another site are refused"
            return None
        if not hmac.compare_digest(headers.get(CSRF_HEADER, ""), self._csrf(session)):
            return 403, "CSRF_FAILED", "the page is too old to write; load it again"
        return None


class _Sender:
    """Adds the headers to an answer as it begins."""

    def __init__(self, send: Any, cookie: bytes | None) -> None:
        self._send, self._cookie = send, cookie

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message["headers"]}
            more = [item for item in _HEADERS if item[0] not in there]
            if b"content-security-policy" not in there:
                more.append((b"content-security-policy", _POLICY.encode()))
            if b"cache-control" not in there:
                more.append((b"cache-control", b"no-store"))
            if self._cookie is not None and (b"content-type", b"text/html; charset=utf-8") in message["headers"]:
                more.append((b"set-cookie", self._cookie))
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)


class _Limited:
    """Hands a body through as far as a request may have one; what is sent in pieces names no length."""

    def __init__(self, receive: Any, limit: int) -> None:
        self._receive, self._limit, self._taken = receive, limit, 0

    async def __call__(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request":
            self._taken += len(message.get("body", b""))
            if self._taken > self._limit:
                return {"type": "http.disconnect"}
        return message


async def _refuse(
    scope: Any, send: Any, path: str, status: int, code: str, message: str, *, pages: bool
) -> None:
    headers = [(b"cache-control", b"no-store")]
    if status == 401 and not pages:
        headers.append((b"www-authenticate", b"Bearer"))
    wants_page = pages and status == 401 and scope["method"] == "GET" and not path.startswith("/review/v1/")
    if wants_page:
        target = f"{scope.get('root_path', '')}/review/sign-in?next={quote(path, safe='/')}"
        headers.append((b"location", target.encode("latin-1")))
        status, body = 303, b""
    else:
        body = json.dumps(failure_body(status, code, message, request_id=scope["review_request_id"])).encode()
        headers.append((b"content-type", b"application/json"))
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _is_foreign(origin: str, host: str) -> bool:
    """Whether a page of another site sends a request, by the ``Origin`` that its browser names."""
    return bool(origin) and origin.partition("://")[2].lower() != host.lower()


def _path(scope: Any) -> str:
    """The path below the place where a host has mounted the application."""
    root, path = scope.get("root_path", ""), scope["path"]
    return path[len(root) :] if root and path.startswith(root) else path


def _cookies(header: str) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _is_session(value: str) -> bool:
    return len(value) == 32 and all(part.isalnum() or part in "-_" for part in value) and value.isascii()


def _new_cookie(name: str, value: str, secure: bool) -> bytes:
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}".encode()


def _host_name(header: str) -> str:
    """The name in a Host header, without port; names of IPv6 stand in brackets."""
    if header.startswith("["):
        return header.partition("]")[0].lower() + "]"
    return header.partition(":")[0].lower()


def allowed_hosts(host: str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the names under which a server that binds to `host` may be asked for."""
    local = ("localhost", "127.0.0.1", "[::1]")
    return tuple(dict.fromkeys((*(local if is_loopback(host) else ()), *more)))
