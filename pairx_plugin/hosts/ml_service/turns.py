"""Lets in so many requests as there is room for, and each to the network when its turn comes."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from statistics import median
from typing import TypeVar

from ...review.failures import ApiFailure

__all__ = ["Cancelled", "Ticket", "Turns"]

logger = logging.getLogger(__name__)

T = TypeVar("T")
_LOOK = 0.25  # seconds between two looks whether anybody still waits
_FIRST_GUESS = 5.0


class Cancelled(Exception):
    """Nobody waits for the work any more."""


class Ticket:
    """One request on its way."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._stop = turns, threading.Event()

    def cancel(self) -> None:
        """Say that nobody waits any more."""
        self._stop.set()

    def cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise :class:`Cancelled` where nobody waits any more."""
        if self._stop.is_set():
            raise Cancelled

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn to compute, first come first served; the time that it takes is measured."""
        line, changed = self._turns.line, self._turns.changed
        with changed:
            line.append(self)
            try:
                while self not in line[: self._turns.at_once]:
                    self.check()
                    changed.wait(_LOOK)
            except BaseException:
                line.remove(self)
                changed.notify_all()
                raise
        started = time.monotonic()
        try:
            yield
        finally:
            with changed:
                line.remove(self)
                self._turns.times.append(time.monotonic() - started)
                changed.notify_all()


class Turns:
    """Bounds what happens at once; each request that is let in has a thread of its own.

    Args:
        waiting: requests that may wait besides those that are computed.
        at_once: requests that are computed at once.
        time_limit: seconds for one request.
    """

    def __init__(self, *, waiting: int, at_once: int, time_limit: float) -> None:
        self.at_once, self.time_limit = at_once, time_limit
        self.line: list[Ticket] = []
        self.changed = threading.Condition()
        self.times: deque[float] = deque(maxlen=9)
        self._room = waiting + at_once
        self._inside: set[Ticket] = set()
        self._closed = False

    @property
    def inside(self) -> int:
        """Requests that are read, wait or are computed."""
        with self.changed:
            return len(self._inside)

    @property
    def usual_seconds(self) -> float | None:
        """Median time of the last computations; None before the first."""
        with self.changed:
            return median(self.times) if self.times else None

    async def run(self, work: Callable[[Ticket], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """Do the work in a thread, and return what it returns.

        Args:
            work: asks its ticket whether anybody still waits, and for its turn to compute.
            gone: tells whether the caller has left.

        Raises:
            ApiFailure: there is no room (429), the service stops (503), or it took too long (504).
            Cancelled: the caller has left.
        """
        ticket = self._enter()
        future: Future[T] = Future()
        threading.Thread(target=self._work, args=[ticket, work, future], name="pairx-api", daemon=True).start()
        waiting, deadline = asyncio.wrap_future(future), time.monotonic() + self.time_limit
        try:
            while True:
                left = deadline - time.monotonic()
                done, _ = await asyncio.wait({waiting}, timeout=max(0.0, min(_LOOK, left)))
                if done:
                    return waiting.result()
                if left <= 0:
                    raise ApiFailure(
                        504,
                        "TIMEOUT",
                        f"this took longer than {self.time_limit:g} s; try again, or ask for fewer pairs or colours",
                    )
                if await gone():
                    raise Cancelled
        finally:
            if not waiting.done():
                ticket.cancel()  # the work ends at its next step, and gives its room back then

    def open(self) -> None:
        """Let requests in, again after :meth:`close`."""
        with self.changed:
            self._closed = False

    def close(self) -> None:
        """Let nobody in any more, and tell what runs to end."""
        with self.changed:
            self._closed = True
            for ticket in self._inside:
                ticket.cancel()
            self.changed.notify_all()

    def _enter(self) -> Ticket:
        with self.changed:
            if self._closed:
                raise ApiFailure(503, "CLOSING", "the service is being stopped; try again when it is back")
            if len(self._inside) >= self._room:
                usual = median(self.times) if self.times else _FIRST_GUESS
                wait = max(1.0, usual * len(self._inside) / self.at_once)
                message = f"{len(self._inside)} requests are under way, which is the limit; try again in {wait:.0f} s"
                raise ApiFailure(429, "BUSY", message, more={"retry_after": round(wait)})
            ticket = Ticket(self)
            self._inside.add(ticket)
            return ticket

    def _work(self, ticket: Ticket, work: Callable[[Ticket], T], future: Future[T]) -> None:
        try:
            found = work(ticket)
        except BaseException as error:
            self._leave(ticket)
            if not future.cancelled():
                future.set_exception(error)
            return
        self._leave(ticket)
        if not future.cancelled():
            future.set_result(found)

    def _leave(self, ticket: Ticket) -> None:
        with self.changed:
            self._inside.discard(ticket)
