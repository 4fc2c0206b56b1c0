"""The review page: a reviewer compares a query with its candidates, sees the evidence, and decides.

A server with pages and an HTTP API, for any host that implements :class:`ReviewSource`: the sample host serves it by
itself, others mount :attr:`ReviewServer.app` in an application of their own. Explanations are computed in the same
process, one after another, from a bounded queue.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra

try:
    import fastapi as _fastapi  # noqa: F401
    import jinja2 as _jinja2  # noqa: F401
except ImportError as error:
    raise MissingExtra(error.name or "fastapi", extra="serve", purpose="the review page", cause=error) from error

from .choices import choose_layers, explainer_choices
from .decisions import Decision, DecisionConflict, DecisionInvalid, DecisionLog, Pair
from .guard import allowed_hosts, is_loopback
from .options import ReviewOptions
from .partners import Partners
from .rivals import rivals_first
from .server import ReviewServer
from .source import (
    EvidenceRequest,
    ExplainerChoice,
    Found,
    LayerChoice,
    ReviewQuery,
    ReviewSource,
    ReviewTask,
    Step,
    TaskQuery,
)
from .stepwise import explain_in_steps
from .wsgi import WsgiBridge

if TYPE_CHECKING:
    from .decision_log import SqlDecisionLog

__all__ = [
    "Decision",
    "DecisionConflict",
    "DecisionInvalid",
    "DecisionLog",
    "EvidenceRequest",
    "ExplainerChoice",
    "Found",
    "LayerChoice",
    "Pair",
    "Partners",
    "ReviewOptions",
    "ReviewQuery",
    "ReviewServer",
    "ReviewSource",
    "ReviewTask",
    "SqlDecisionLog",
    "Step",
    "TaskQuery",
    "WsgiBridge",
    "allowed_hosts",
    "choose_layers",
    "explain_in_steps",
    "explainer_choices",
    "is_loopback",
    "rivals_first",
]


def __getattr__(name: str) -> Any:
    if name != "SqlDecisionLog":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:  # a host that keeps decisions in tables of its own may have an older SQLAlchemy, or none
        return import_module(".decision_log", __name__).SqlDecisionLog
    except ImportError as error:
        raise MissingExtra("sqlalchemy", extra="serve", purpose="the log of decisions", cause=error) from error
