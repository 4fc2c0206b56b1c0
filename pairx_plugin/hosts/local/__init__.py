"""The sample host: a small re-identification pipeline that stands where Wildbook stands.

Annotations come from a CSV file, chips are embedded and ranked by cosine, match-review records go to a
database, and the hooks are called after the ranking when the configuration says ``pairx_explain = true``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtra

if TYPE_CHECKING:
    from .configuration import LocalHostConfig
    from .host import LocalHost
    from .results import CandidateSummary, QuerySummary, RunSummary

_HOMES = {
    "CandidateSummary": "results",
    "LocalHost": "host",
    "LocalHostConfig": "configuration",
    "QuerySummary": "results",
    "RunSummary": "results",
}

__all__ = ["CandidateSummary", "LocalHost", "LocalHostConfig", "QuerySummary", "RunSummary"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:  # other rooms read its CSV, also beside a host that pins an older SQLAlchemy
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from sqlalchemy import Engine as _engine  # noqa: F401  new in SQLAlchemy 2
    except ImportError as error:
        raise MissingExtra("sqlalchemy>=2.0", extra="sample", purpose="the sample host", cause=error) from error
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
