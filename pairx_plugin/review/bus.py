"""News for readers: what happens in threads reaches every open page as server-sent events."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

__all__ = ["NewsBus"]

_HEARTBEAT = 15.0  # seconds; proxies close a connection on which nothing comes
_BACKLOG = 500  # news that one slow page may be behind; then it reads everything anew


class NewsBus:
    """Hands news to all who listen to a task; :meth:`publish` may be called from any thread."""

    def __init__(self) -> None:
        self._listeners: dict[int, tuple[str, asyncio.AbstractEventLoop, asyncio.Queue[str]]] = {}
        self._count = 0
        self._closed = False
        self._lock = threading.Lock()

    def publish(self, task_id: str, kind: str, data: Mapping[str, Any]) -> None:
        """Send news to every page of a task."""
        message = _event(kind, data)
        with self._lock:
            listeners = [(loop, queue) for task, loop, queue in self._listeners.values() if task == task_id]
        for loop, queue in listeners:
            try:
                loop.call_soon_threadsafe(_put, queue, message)
            except RuntimeError:  # the loop has just been closed; so has its page
                continue

    def close(self) -> None:
        """Let every listener end."""
        with self._lock:
            self._closed = True
            listeners = list(self._listeners.values())
        for _, loop, queue in listeners:
            try:
                loop.call_soon_threadsafe(_put, queue, "")
            except RuntimeError:
                continue

    async def listen(self, task_id: str, on_leave: Callable[[], None]) -> AsyncIterator[str]:
        """Yield events of a task until the page goes; then `on_leave` is called."""
        queue: asyncio.Queue[str] = asyncio.Queue(_BACKLOG)
        with self._lock:
            self._count += 1
            number = self._count
            self._listeners[number] = (task_id, asyncio.get_running_loop(), queue)
        try:
            yield "retry: 2000\n\n" + _event("hello", {})
            while not self._closed:
                try:
                    message = await asyncio.wait_for(queue.get(), _HEARTBEAT)
                except asyncio.TimeoutError:
                    message = ": still here\n\n"
                if not message:
                    return
                yield message
        finally:
            with self._lock:
                del self._listeners[number]
            on_leave()


def _put(queue: asyncio.Queue[str], message: str) -> None:
    if queue.full():
        while not queue.empty():
            queue.get_nowait()
        message = _event("reload", {}) if message else message
    queue.put_nowait(message)


def _event(kind: str, data: Mapping[str, Any]) -> str:
    return f"event: {kind}\ndata: {json.dumps(data, separators=(',', ':'), allow_nan=False)}\n\n"
