"""Routes of ours in the host's web server, in the host's own style; the review page itself is in another room."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtra, PairXError, StoreError
from .answers import PICTURE_RULE
from .freshness import staleness
from .shelf import Shelf

if TYPE_CHECKING:
    from .review_mount import ReviewMount

__all__ = ["GRAPH_RULE", "PAGE_RULE", "REPORT_RULE", "register_routes"]

logger = logging.getLogger(__name__)

GRAPH_RULE = "/api/pairx/query/graph/"
PAGE_RULE, REPORT_RULE = "/pairx/review/", "/pairx/report/"
_EXPLANATION_RULE, _ANSWER_RULE, _STATE_RULE = "/api/pairx/explanation/", "/api/pairx/answer/", "/api/pairx/state/"
_STOCK_ENDPOINT = "query_chips_graph"


def register_routes(
    graph: Callable[..., Any], state: Callable[[], dict[str, Any]], review: ReviewMount
) -> list[str]:
    """Register our routes, and have the host's own graph route answer with our explanations in it.

    Args:
        graph: the host's ``query_chips_graph`` with our answers in its result.
        state: tells what is attached in this process.
        review: the review page, served where its own dependencies are installed.

    Returns:
        The rules that are served now.
    """
    from wbia.control import controller_inject

    api = controller_inject.get_wbia_flask_api(__name__)
    route = controller_inject.get_wbia_flask_route(__name__)

    def pairx_query_chips_graph(ibs: Any, *args: Any, **kwargs: Any) -> Any:
        return graph(ibs, *args, **kwargs)

    def pairx_state(ibs: Any, **_: Any) -> dict[str, Any]:
        return state()

    def pairx_review(extern_reference: Any = "", query_annot_uuid: Any = "", **_: Any) -> Any:
        return _review(review, extern_reference, query_annot_uuid)

    api(GRAPH_RULE, methods=["GET", "POST"])(pairx_query_chips_graph)
    api(_STATE_RULE, methods=["GET"])(pairx_state)
    api(_EXPLANATION_RULE, methods=["GET"])(pairx_explanation)
    api(_ANSWER_RULE, methods=["GET"])(pairx_answer)
    route(PICTURE_RULE, methods=["GET"], __route_prefix_check__=False)(pairx_picture)
    route(PAGE_RULE, methods=["GET"])(pairx_review)
    route(REPORT_RULE, methods=["GET"])(pairx_report)
    app = controller_inject.get_flask_app()
    # a host that serves one prefix alone drops every other rule, and so drops the page
    restricted = bool(getattr(controller_inject, "MICROSOFT_API_ENABLED", False))
    pages = review.register(app) if review.is_possible() and not restricted else []
    # Flask's own table of views: the host's URL keeps its rule and its translation, and calls our function
    if _STOCK_ENDPOINT in app.view_functions and "pairx_query_chips_graph" in app.view_functions:
        app.view_functions[_STOCK_ENDPOINT] = app.view_functions["pairx_query_chips_graph"]
    rules = [GRAPH_RULE, _STATE_RULE, _EXPLANATION_RULE, _ANSWER_RULE, PICTURE_RULE, PAGE_RULE, REPORT_RULE]
    return [*rules, *pages]


def pairx_explanation(
    ibs: Any, extern_reference: Any, query_annot_uuid: Any, database_annot_uuid: Any, **_: Any
) -> dict[str, Any]:
    """Return the record of a pair, and whether it is stale."""
    shelf = _shelf(ibs, extern_reference)
    query, candidate = str(query_annot_uuid), str(database_annot_uuid)
    record = _or_not_found(lambda: shelf.read_pair(query, candidate))
    if record is None:
        raise _not_found(_missing(shelf, f"the candidate {candidate} of query {query}"))
    reason = staleness(record, ibs)
    return {"explanation": record, "stale": reason is not None, "stale_reason": reason}


def pairx_answer(ibs: Any, extern_reference: Any, query_annot_uuid: Any, **_: Any) -> dict[str, Any]:
    """Return what came of a query, with the records of its candidates."""
    shelf, query = _shelf(ibs, extern_reference), str(query_annot_uuid)
    found = _or_not_found(lambda: shelf.read_query(query))
    if found is None:
        raise _not_found(_missing(shelf, f"query {query}"))
    records = [shelf.read_pair(query, item["dannot_uuid"]) or item for item in found["explanations"]]
    return {**found, "explanations": records}


def pairx_picture(
    extern_reference: Any, query_annot_uuid: Any, database_annot_uuid: Any, version: Any = "matches", **_: Any
) -> Any:
    """Send one picture of a pair."""
    import flask

    try:
        shelf = Shelf(flask.current_app.ibs.cachedir, str(extern_reference))
        found = shelf.picture(str(query_annot_uuid), str(database_annot_uuid), str(version).lower())
        if found is None:
            raise StoreError(_missing(shelf, f"a picture '{version}' of {database_annot_uuid}"))
    except PairXError as error:
        return _refusal(flask, error)
    # the address stays while the picture changes with model and chip, so a reader has to ask again
    return flask.Response(found[0], mimetype=found[1], headers={"Cache-Control": "no-cache"})


def pairx_report(extern_reference: Any = "", query_annot_uuid: Any = "", **_: Any) -> Any:
    """Send the plain page of a query, as the host's server wrote it."""
    import flask

    from .page import review_page

    ibs = flask.current_app.ibs
    try:
        shelf, query = Shelf(ibs.cachedir, str(extern_reference)), str(query_annot_uuid)
        found = shelf.read_query(query)
        if found is None:
            raise StoreError(_missing(shelf, f"query {query}"))
        return flask.Response(review_page(ibs, shelf, found), mimetype="text/html")
    except PairXError as error:
        page = f"<!doctype html><title>No explanation</title><p>{html.escape(str(error))}</p>"
        return flask.Response(page, status=404, mimetype="text/html")


def _review(review: ReviewMount, reference: Any, query: Any) -> Any:
    """Lead to the review page of a query, or show all of them; the plain page where there is no other."""
    import flask

    if not review.is_possible():
        return pairx_report(reference, query)
    try:
        if not reference and not query:
            return review.view(PAGE_RULE)
        address = review.task_address(flask.current_app.ibs, str(reference), str(query))
    except MissingExtra as error:
        logger.warning("%s", error)
        return pairx_report(reference, query)
    except PairXError:
        address = None
    return pairx_report(reference, query) if address is None else flask.redirect(address)


def _shelf(ibs: Any, reference: Any) -> Shelf:
    return Shelf(*_or_not_found(lambda: (ibs.cachedir, Shelf(ibs.cachedir, str(reference)).reference)))


def _or_not_found(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except PairXError as error:
        raise _not_found(str(error)) from error


def _not_found(message: str) -> Exception:
    from wbia.control.controller_inject import WebException

    error: Exception = WebException(message, code=404)
    return error


def _missing(shelf: Shelf, what: str) -> str:
    if not shelf.exists():
        return f"the host has kept nothing under the reference {shelf.reference}, so nothing about {what}"
    return (
        f"no explanation is kept of {what} under the reference {shelf.reference}: it was not among the best "
        "'pairx_top_k' candidates, the query did not ask for 'pairx_explain', or the process that ran it had not "
        "loaded pairx-plugin"
    )


def _refusal(flask: Any, error: PairXError) -> Any:
    """One body that every known caller can read."""
    body = {
        "success": False,
        "message": str(error),
        "detail": str(error),
        "errors": [{"code": error.code, "message": str(error), "field": None, "retryable": error.retryable}],
    }
    response = flask.jsonify(body)
    response.status_code = 404
    return response
