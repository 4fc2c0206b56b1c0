"""Runs the service under uvicorn, and ends it so that every caller gets an answer."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from .server import ApiServer

__all__ = ["serve"]

_GRACE = 5  # seconds that answers get when the service stops
_FINISH = 3.0  # of these, what is being computed may take so many to be finished
_CONNECTIONS = 200  # beyond, a connection is refused at once


def serve(server: ApiServer, listening: socket.socket) -> None:
    """Answer on a socket that listens already, until the process is told to end (SIGINT, SIGTERM)."""
    config = uvicorn.Config(
        server.app,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
    )
    _Server(config, server).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells what is still computed to end before uvicorn cuts it off, which would answer without a body."""

    def __init__(self, config: uvicorn.Config, api: ApiServer) -> None:
        super().__init__(config)
        self._api = api

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; uvicorn calls this once."""
        asyncio.get_running_loop().call_later(_FINISH, self._api.close)
        await super().shutdown(sockets)
