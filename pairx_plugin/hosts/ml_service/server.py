"""One service: routes, guard and shared parts put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ...closable import Closable
from ...review.failures import add_failure_handlers
from ...review.guard import Guard
from ...review.options import ReviewOptions
from . import inspections, routes
from .asked import Asked
from .configuration import ServiceConfig
from .explain_service import ExplainService
from .routes import Desk
from .turns import Turns

__all__ = ["ApiServer"]

_SMALL_BODY = 64 * 1024
_SUMMARY = (
    "Why a wildlife re-identification model finds two photographs similar. `/explain/` takes and answers what "
    "WildMeOrg/ml-service does, with records beside the pictures."
)


class ApiServer(Closable):
    """The service as an ASGI application.

    Attributes:
        app: to be run, or mounted in another application.

    Args:
        service: answers.
        config: how much at once.
        token: asked of everybody in ``Authorization: Bearer``; empty for none.
        hosts: names that the ``Host`` header may have; empty for any.
    """

    def __init__(
        self,
        service: ExplainService,
        config: ServiceConfig = ServiceConfig(),
        *,
        token: str = "",
        hosts: tuple[str, ...] = (),
    ) -> None:
        self.turns = Turns(waiting=config.waiting, at_once=config.at_once, time_limit=config.time_limit)

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            self.turns.open()
            yield
            self.close()

        app = FastAPI(
            title="PAIR-X explanations",
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,  # Wildbook's client would follow with GET
            lifespan=lifespan,
        )
        app.state.explain_desk = Desk(service=service, turns=self.turns)
        app.state.inspections = inspections.Inspections()
        add_failure_handlers(app)
        for router in (routes.explain_router, routes.router, inspections.router):
            app.include_router(router)
        _describe(app, bool(token))
        larger = {place: config.max_body for place in ("/explain", "/explain/", "/api/v3/match-inspection/")}
        options = ReviewOptions(token=token, hosts=hosts)
        self.app: Any = Guard(app, options, max_body=_SMALL_BODY, larger=larger, pages=False)

    def close(self) -> None:
        """Let nobody in any more, and tell what runs to end."""
        self.turns.close()


def _describe(app: FastAPI, with_token: bool) -> None:
    """Have the OpenAPI document made once, with the token where one is asked for."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(title=app.title, version="1", description=_SUMMARY, routes=app.routes)
            parts = schema.setdefault("components", {})
            parts.setdefault("schemas", {})["Asked"] = Asked.model_json_schema()
            if with_token:
                parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                schema["security"] = [{"token": []}]
                schema["paths"]["/health"]["get"]["security"] = []
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
