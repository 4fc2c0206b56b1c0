"""The review page within the host's web server: one view of the host's application hands requests on to it.

The page is an ASGI application, the host's server speaks WSGI and serves one request at a time. So the page runs behind
:class:`pairx_plugin.review.WsgiBridge`, at an address of the host's own, with the host's session; explanations are
computed in a thread of their own, and the page asks for news instead of listening to a stream. Note 0012.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from importlib import util
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ...errors import MissingExtra, SettingsError

if TYPE_CHECKING:
    from ...review import ReviewServer, WsgiAnswer, WsgiBridge
    from .shared_models import SharedModels

__all__ = ["MOUNT", "ReviewMount"]

logger = logging.getLogger(__name__)

MOUNT = "/pairx"
_RULE = f"{MOUNT}/review/<path:rest>"
_METHODS = ("GET", "POST", "PUT", "DELETE")
_SIGN_IN, _TOKEN, _BLIND = "PAIRX_REVIEW_SIGN_IN", "PAIRX_REVIEW_TOKEN", "PAIRX_REVIEW_BLIND"
_OFF = ("", "0", "false", "no", "off")


class ReviewMount:
    """Serves the review page of the controller that the host's application has; made when it is first asked for.

    ``PAIRX_REVIEW_SIGN_IN=1`` has the page send everybody who has not told the host a name to the host's own sign-in;
    ``PAIRX_REVIEW_TOKEN`` is asked of everybody; ``PAIRX_REVIEW_BLIND=1`` leaves the names of individuals out.

    Args:
        plugin: the host's MiewID plugin, a module.
        models: its networks, kept.
        environment: of the process.
    """

    def __init__(self, plugin: Any, models: SharedModels, environment: Mapping[str, str] | None = None) -> None:
        self._plugin, self._models = plugin, models
        self._environment = os.environ if environment is None else environment
        self._served: tuple[Any, ReviewServer, WsgiBridge] | None = None
        self._lock = threading.RLock()

    @staticmethod
    def is_possible() -> bool:
        """True where the page's own dependencies are installed."""
        return util.find_spec("fastapi") is not None

    def register(self, app: Any) -> list[str]:
        """Add the page's addresses to the host's Flask application; return them."""
        app.add_url_rule(_RULE, "pairx_review_page", self._view, methods=list(_METHODS))
        return [_RULE]

    def task_address(self, ibs: Any, reference: str, query: str) -> str | None:
        """Return where the page shows a query; None where nothing is known of the query.

        Raises:
            StoreError: `reference` or `query` is none.
            MissingExtra: the page's dependencies are not installed.
        """
        from .review_tasks import task_of_query

        self._server(ibs)
        task = task_of_query(ibs.cachedir, reference, query)
        if task is None:
            return None
        return f"{MOUNT}/review/tasks/{quote(task)}?{urlencode({'query': query})}"

    def view(self, path: str | None = None) -> Any:
        """Answer the host's present request; at `path` of the page where one is given."""
        import flask

        request, ibs = flask.request, flask.current_app.ibs
        user = self._user()
        if user is None and self._is_on(_SIGN_IN):
            return self._to_sign_in(request)
        try:
            _, _, bridge = self._server(ibs)
        except MissingExtra as error:
            return flask.Response(str(error), status=501, mimetype="text/plain")
        environ = request.environ if path is None else {**request.environ, "PATH_INFO": path}
        answer: WsgiAnswer = bridge.answer(environ, body=_body(request), more={"review_user": user or ""})
        response = flask.Response(answer.body, status=answer.status)
        response.headers.clear()
        for name, value in answer.headers:
            response.headers.add(name, value)
        return response

    def close(self) -> None:
        """Stop computing; a later request begins anew."""
        with self._lock:
            served, self._served = self._served, None
        if served is not None:
            served[1].close()
            served[2].close()

    def _view(self, rest: str = "") -> Any:
        return self.view()

    def _server(self, ibs: Any) -> tuple[Any, ReviewServer, WsgiBridge]:
        with self._lock:
            if self._served is not None and self._served[0] is not ibs:
                self.close()
            if self._served is None:
                self._served = (ibs, *self._made(ibs))
            return self._served

    def _made(self, ibs: Any) -> tuple[ReviewServer, WsgiBridge]:
        try:
            from ...review import ReviewOptions, ReviewServer, WsgiBridge
            from .review_source import WildbookReviewSource
        except ImportError as error:
            if isinstance(error, MissingExtra):
                raise
            raise MissingExtra("fastapi", extra="serve", purpose="the review page", cause=error) from error
        token = self._environment.get(_TOKEN, "")
        options: dict[str, Any] = {"events": False, "show_names": not self._is_on(_BLIND)}
        try:
            chosen = ReviewOptions(token=token, **options)
        except SettingsError:  # nobody gets in by a token that is too short to be one
            logger.exception("%s is not used, and nobody can sign in", _TOKEN)
            chosen = ReviewOptions(token=os.urandom(24).hex(), **options)
        server = ReviewServer(WildbookReviewSource(ibs, self._plugin, self._models), chosen)
        return server, WsgiBridge(server.app, mount=MOUNT)

    def _is_on(self, variable: str) -> bool:
        return self._environment.get(variable, "").strip().lower() not in _OFF

    def _user(self) -> str | None:
        """Return the name that a reviewer has told the host; None where there is none."""
        import flask
        from wbia.control import controller_inject

        user = controller_inject.get_user() if flask.session else None  # asking begins a session
        name = user.get("username") if isinstance(user, Mapping) else None
        return str(name)[:80] if name else None

    def _to_sign_in(self, request: Any) -> Any:
        import flask

        if request.method == "GET" and f"{MOUNT}/review/v1/" not in request.path:
            from wbia.web import appfuncs

            back = request.url.replace(request.url_root, "")
            return flask.redirect(flask.url_for("login", refer=appfuncs.encode_refer_url(back)))
        response = flask.jsonify(_UNKNOWN_READER)
        response.status_code = 401  # by which the page loads itself again, and so comes to the sign-in
        return response


_UNKNOWN_READER: Mapping[str, Any] = {
    "success": False,
    "message": "tell the host who you are first",
    "detail": "tell the host who you are first",
    "errors": [
        {"code": "AUTH_REQUIRED", "message": "tell the host who you are first", "field": None, "retryable": False}
    ],
}


def _body(request: Any) -> bytes:
    """Return the body of a request, also where the host has parsed it as a form already."""
    body: bytes = request.get_data()
    if not body and request.form:
        body = urlencode(list(request.form.items(multi=True))).encode()
    return body
