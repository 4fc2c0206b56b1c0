"""The page within a host that speaks WSGI: requests go to the application in a thread with an event loop of its own.

A WSGI server hands an answer on when it is whole, and many serve one request at a time, so a stream without an end must
not come through here: set :attr:`.options.ReviewOptions.events` to False, and the page looks for news by itself.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

__all__ = ["WsgiAnswer", "WsgiBridge"]

logger = logging.getLogger(__name__)

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
_MOST = 64 * 1024 * 1024  # bytes of a body that are read at all; the application has limits of its own


@dataclass(frozen=True, kw_only=True)
class WsgiAnswer:
    """A whole answer, for frameworks that build their own."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class WsgiBridge:
    """Answers WSGI requests with an ASGI application; threads may share it.

    Args:
        app: such as :attr:`.server.ReviewServer.app`.
        mount: path below which the application is reached, such as ``/pairx``, without a slash at its end.
    """

    def __init__(self, app: Any, mount: str = "") -> None:
        self._app, self._mount = app, mount
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def __call__(self, environ: Mapping[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as a WSGI application."""
        answer = self.answer(environ)
        start_response(f"{answer.status} {_phrase(answer.status)}", list(answer.headers))
        return [answer.body]

    def answer(
        self, environ: Mapping[str, Any], *, body: bytes | None = None, more: Mapping[str, Any] | None = None
    ) -> WsgiAnswer:
        """Answer one request.

        Args:
            environ: the request.
            body: where the host has read it already.
            more: what the host knows of the request besides, for the application's scope: ``review_user``, the name
                under which the host knows the reviewer.
        """
        length = _length(environ)
        if body is None:
            body = environ["wsgi.input"].read(length) if 0 < length <= _MOST else b""
        scope = {**_scope(environ, self._mount, max(length, len(body))), **(more or {})}
        return asyncio.run_coroutine_threadsafe(_call(self._app, scope, body), self._running()).result()

    def close(self) -> None:
        """End the thread; a later request starts another."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run, args=[self._loop], name="pairx-review-wsgi", daemon=True).start()
            return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _call(app: Any, scope: dict[str, Any], body: bytes) -> WsgiAnswer:
    incoming: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    done = asyncio.Event()
    begun: dict[str, Any] = {}
    parts: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await done.wait()  # an application that listens for the reader's going would stop at once otherwise
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            begun.update(message)
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                done.set()

    try:
        await app(scope, receive, send)
    except Exception:
        if not begun:
            raise
        logger.exception("%s %s failed after it was answered", scope["method"], scope["path"])
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in begun.get("headers", ())]
    return WsgiAnswer(status=int(begun.get("status", 500)), headers=tuple(headers), body=b"".join(parts))


def _scope(environ: Mapping[str, Any], mount: str, length: int) -> dict[str, Any]:
    headers = [
        (name[len("HTTP_") :].replace("_", "-").lower().encode("latin-1"), str(value).encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    headers.append((b"content-length", str(length).encode()))
    if environ.get("CONTENT_TYPE"):
        headers.append((b"content-type", str(environ["CONTENT_TYPE"]).encode("latin-1")))
    script = _decoded(environ.get("SCRIPT_NAME", ""))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"].upper(),
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": script + _decoded(environ.get("PATH_INFO", "")),
        "query_string": str(environ.get("QUERY_STRING", "")).encode("latin-1"),
        "root_path": script + mount,
        "headers": headers,
        "client": (str(environ.get("REMOTE_ADDR", "")), 0),
        "server": (str(environ.get("SERVER_NAME", "")), int(environ.get("SERVER_PORT") or 0)),
    }


def _decoded(path: str) -> str:
    """WSGI hands the bytes of a path as Latin-1; they are UTF-8."""
    return path.encode("latin-1").decode("utf-8", "replace")


def _length(environ: Mapping[str, Any]) -> int:
    try:
        return int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
