"""The host's ``query_chips_graph`` with our answers in its result, for jobs, Python callers and HTTP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .answers import ANSWER_KEY, AnswerCollector
from .seams import harmless

__all__ = ["with_our_answers"]


def with_our_answers(query_chips_graph: Callable[..., Any], collector: AnswerCollector) -> Callable[..., Any]:
    """Wrap the host's function; where nothing was asked of us, its result is what comes out."""

    def wrapped(ibs: Any, *args: Any, **kwargs: Any) -> Any:
        with collector.collecting() as answers:
            result = query_chips_graph(ibs, *args, **kwargs)
        if answers:
            harmless("putting explanations into the result", _put, result, answers)
        return result

    return wrapped


def _put(result: Mapping[str, Any], answers: Mapping[str, dict[str, Any]]) -> None:
    for query, entry in result["cm_dict"].items():
        if str(query) in answers:
            entry[ANSWER_KEY] = answers[str(query)]
