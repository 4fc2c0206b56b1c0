"""One server: routes, guard and shared parts put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from types import TracebackType
from typing import Any

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from . import decisions_api, explanations_api, pages, tasks_api
from .failures import add_failure_handlers
from .guard import Guard
from .options import ReviewOptions
from .services import Services
from .source import ReviewSource

__all__ = ["ReviewServer"]


class ReviewServer:
    """The review page of one source.

    Attributes:
        app: the ASGI application, to be run, or mounted in a host's own at any path. A host that mounts it calls
            :meth:`close` itself, since a mounted application is not told when the server stops.

    Args:
        source: the host.
        options: how the server is set up.
    """

    def __init__(self, source: ReviewSource, options: ReviewOptions = ReviewOptions()) -> None:
        self.services = Services.build(source, options)

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            yield
            self.close()

        routes = FastAPI(title="PAIR-X review", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
        routes.state.services = self.services
        add_failure_handlers(routes)
        for room in (tasks_api, explanations_api, decisions_api, pages):
            routes.include_router(room.router)
        files = str(resources.files(__package__).joinpath("static"))
        routes.mount("/review/static", StaticFiles(directory=files), name="static")
        self.app: Any = Guard(routes, options)
        routes.state.guard = self.app

    def __enter__(self) -> ReviewServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop computing and let open pages go."""
        self.services.close()
