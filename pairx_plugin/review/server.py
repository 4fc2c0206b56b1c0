"""One server: routes, guard and shared parts put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.staticfiles import StaticFiles

from ..closable import Closable
from . import decisions_api, explanations_api, imports_api, inspections_api, pages, pictures_api, tasks_api
from .failures import add_failure_handlers
from .guard import Guard
from .options import ReviewOptions
from .services import Services
from .source import ReviewSource

__all__ = ["ReviewServer"]


class ReviewServer(Closable):
    """The review page of one source.

    Attributes:
        app: the ASGI application, to be run, or mounted in a host's own at any path. A host that mounts it calls
            :meth:`close` itself, since a mounted application is not told when the server stops.
        state: what the routers of a host find in ``request.app.state``.

    Args:
        source: the host.
        options: how the server is set up.
        more: routers of a host's own, to be served behind the same guard.
        larger: bytes that requests to these paths may have, see :class:`.guard.Guard`.
    """

    def __init__(
        self,
        source: ReviewSource,
        options: ReviewOptions = ReviewOptions(),
        *,
        more: Sequence[APIRouter] = (),
        larger: Mapping[str, int] | None = None,
    ) -> None:
        self.services = Services.build(source, options)

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            yield
            self.close()

        routes = FastAPI(title="PAIR-X review", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
        routes.state.services = self.services
        add_failure_handlers(routes)
        # The pictures come first: a picture's name begins like its explanation's.
        rooms = (tasks_api, pictures_api, explanations_api, decisions_api, inspections_api, imports_api, pages)
        for router in (*(room.router for room in rooms), *more):
            routes.include_router(router)
        files = str(resources.files(__package__).joinpath("static"))
        routes.mount("/review/static", StaticFiles(directory=files), name="static")
        self.state = routes.state
        sizes = {"/review/v1/tasks": imports_api.MAX_IMPORT, **(larger or {})}
        self.app: Any = Guard(routes, options, larger=sizes)
        routes.state.guard = self.app

    def close(self) -> None:
        """Stop computing and let open pages go."""
        self.services.close()
