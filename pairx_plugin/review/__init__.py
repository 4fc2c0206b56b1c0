"""The review page: a reviewer compares a query with its candidates, sees the evidence, and decides.

A server with pages and an HTTP API, for any host that implements :class:`ReviewSource`: the sample host serves it by
itself, others mount :attr:`ReviewServer.app` in an application of their own. Explanations are computed in the same
process, one after another, from a bounded queue.
"""

from __future__ import annotations

from ..errors import MissingExtra

try:
    import fastapi as _fastapi  # noqa: F401
    import jinja2 as _jinja2  # noqa: F401
    import sqlalchemy as _sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtra(error.name or "fastapi", extra="serve", purpose="the review page", cause=error) from error

from .decision_log import SqlDecisionLog
from .decisions import Decision, DecisionConflict, DecisionInvalid, DecisionLog, Pair
from .guard import allowed_hosts, is_loopback
from .options import ReviewOptions
from .server import ReviewServer
from .source import (
    EvidenceRequest,
    ExplainerChoice,
    LayerChoice,
    ReviewQuery,
    ReviewSource,
    ReviewTask,
    Step,
    TaskQuery,
)
from .stepwise import explain_in_steps

__all__ = [
    "Decision",
    "DecisionConflict",
    "DecisionInvalid",
    "DecisionLog",
    "EvidenceRequest",
    "ExplainerChoice",
    "LayerChoice",
    "Pair",
    "ReviewOptions",
    "ReviewQuery",
    "ReviewServer",
    "ReviewSource",
    "ReviewTask",
    "SqlDecisionLog",
    "Step",
    "TaskQuery",
    "allowed_hosts",
    "explain_in_steps",
    "is_loopback",
]
