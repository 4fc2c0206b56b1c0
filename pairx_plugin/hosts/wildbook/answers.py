"""What came of a query, as JSON that the host's encoder takes: for ``cm_dict``, for Python callers and for routes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from pairx_hooks import Failure, Status

from ...installed import plugin_version
from .arguments import argument_options
from .options import FLAG, Options, flag_is_on, own_key, server_options

__all__ = [
    "ANSWER_KEY",
    "ANSWER_SCHEMA",
    "AnswerCollector",
    "PICTURE_RULE",
    "absence",
    "answer",
    "picture_url",
    "summary_of",
]

ANSWER_KEY = "pairx"  # in a query's entry of cm_dict, and as an attribute of the host's match
ANSWER_SCHEMA = "pairx.wildbook/1"
_LONGEST_BATCH = 500  # queries that are reviewed together
PICTURE_RULE = "/api/pairx/picture/"


def picture_url(reference: str, query: str, candidate: str, version: str) -> str:
    """Return where the host serves a picture of ours, without host name."""
    parameters = {
        "extern_reference": reference,
        "query_annot_uuid": query,
        "database_annot_uuid": candidate,
        "version": version,
    }
    return f"{PICTURE_RULE}?{urlencode(parameters)}"


def answer(
    *,
    options: Options,
    reference: str,
    query: str,
    n_candidates: int,
    batch: Sequence[str] = (),
    records: Sequence[Mapping[str, Any]] = (),
    failure: Failure | None = None,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what came of one query.

    Args:
        reference: the host's ``dannot_extern_reference``.
        query: the query's annotation UUID.
        n_candidates: how many candidates the host scored.
        batch: annotation UUIDs of all queries that were asked at once, this one among them.
        records: explanation records in rank order.
        failure: why nothing was explained.
        facts: whatever else is known: the model, seconds, a re-ranking.
    """
    found = [Status(record["status"]) for record in records]
    usable = sum(status.usable for status in found)
    whole = all(status is Status.READY for status in found)
    return {
        "schema": ANSWER_SCHEMA,
        "plugin": {"name": "pairx-plugin", "version": plugin_version()},
        "status": "failed" if failure or (records and not usable) else "ready" if whole else "partial",
        "extern_reference": reference,
        "query_annot_uuid": query,
        "top_k": options.settings.top_k,
        "n_candidates": n_candidates,
        "batch": list(batch)[:_LONGEST_BATCH],
        "n_explained": usable,
        "explanations": [dict(record) for record in records],
        "failure": None if failure is None else failure.to_json(),
        "warnings": [warning.to_json() for warning in options.warnings],
        **(facts or {}),
    }


def summary_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer without the records themselves, which lie in files of their own."""
    short = [
        {
            "rank": record.get("rank"),
            "status": record["status"],
            "id": record.get("id"),
            "score": record.get("score"),
            "dannot_uuid": record["host"]["dannot_uuid"],
        }
        for record in found["explanations"]
    ]
    return {**found, "explanations": short}


def absence(result: Mapping[str, Any], query: str) -> str | None:
    """Return why a result of the host has no explanations although they were asked for, None where it has an answer.

    The host drops the flag without a word in a process that has not loaded this plugin; that is how one finds out.
    A query that does not name the flag asked for explanations where they are the default of the present process.

    Args:
        result: of ``query_chips_graph``, as a caller or a job gets it.
        query: the query's annotation UUID, a key of ``cm_dict``.
    """
    entry = result.get("cm_dict", {}).get(query, {})
    if ANSWER_KEY in entry:
        return None
    config = result.get("query_config_dict") or {}
    by_default: Mapping[str, Any] = {**server_options(), **argument_options(sys.argv[1:])}
    said = [value for key, value in config.items() if own_key(key) == FLAG]
    if not flag_is_on(said[-1] if said else by_default.get(FLAG)):
        return f"'{FLAG}' was not asked for"
    return (
        f"'{FLAG}' was asked for, and the process that ran the query had not loaded pairx-plugin, or has another "
        "pipeline than MiewId; start every process of the host with it (README, In Wildbook)"
    )


class AnswerCollector:
    """Hands answers from where the host scores to where it puts its result together, within one thread."""

    def __init__(self) -> None:
        self._here = threading.local()

    @contextmanager
    def collecting(self) -> Iterator[dict[str, dict[str, Any]]]:
        """Collect the answers of this thread by query UUID; an outer collection goes on afterwards."""
        before = getattr(self._here, "answers", None)
        found: dict[str, dict[str, Any]] = {}
        self._here.answers = found
        try:
            yield found
        finally:
            self._here.answers = before

    def add(self, found: Mapping[str, Any]) -> None:
        """Hand over one answer, if somebody collects."""
        answers = getattr(self._here, "answers", None)
        if answers is not None:
            answers[str(found["query_annot_uuid"])] = dict(found)
