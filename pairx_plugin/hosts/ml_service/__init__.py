"""The service behind ml-service's ``/explain/``: the same body, answers and pictures, with records beside them.

WildMeOrg/ml-service explains pairs of photographs for Wildbook. This answers the same calls, so that a proxy can send
``/explain/`` here and the rest there. Source of what callers expect: ml-service at 7cad443
(``app/routers/explain_router.py``), WildMeOrg/Wildbook at 2fba64d (``ia/MatchInspectionPairxEnricher.java``).
"""

from __future__ import annotations

from ...errors import MissingExtra

try:
    import fastapi as _fastapi  # noqa: F401
except ImportError as error:
    raise MissingExtra(error.name or "fastapi", extra="serve", purpose="the service", cause=error) from error

from .configuration import ServiceConfig
from .explain_service import ExplainService
from .served_models import ServedModels
from .server import ApiServer

__all__ = ["ApiServer", "ExplainService", "ServedModels", "ServiceConfig"]
