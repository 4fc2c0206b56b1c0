"""The sample host: a small re-identification pipeline that stands where Wildbook stands.

Annotations come from a CSV file, chips are embedded and ranked by cosine, match-review records go to a
database, and the hooks are called after the ranking when the configuration says ``pairx_explain = true``.
"""

from __future__ import annotations

from ...errors import MissingExtra

try:
    import sqlalchemy as _sqlalchemy  # noqa: F401
except ImportError as error:
    raise MissingExtra("sqlalchemy", extra="sample", purpose="the sample host", cause=error) from error

from .configuration import LocalHostConfig
from .host import LocalHost
from .results import CandidateSummary, QuerySummary, RunSummary

__all__ = ["CandidateSummary", "LocalHost", "LocalHostConfig", "QuerySummary", "RunSummary"]
