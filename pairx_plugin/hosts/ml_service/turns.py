"""Lets in so many requests as there is room for, and each to the processor and to the network when its turn comes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from statistics import median
from typing import TypeVar

from ...review.failures import ApiFailure

__all__ = ["Cancelled", "Line", "Ticket", "Turns"]

T = TypeVar("T")
_LOOK = 0.25  # seconds between two looks whether anybody still waits
_FIRST_GUESS = 5.0
_READING = 2  # photographs that are decoded and cut at once: each takes hundreds of megabytes while it is


class Cancelled(Exception):
    """Nobody waits for the work any more."""


class Line:
    """First come, first served.

    Args:
        at_once: tickets that are served at once.
    """

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self._times: deque[float] = deque(maxlen=9)
        self._waiting: list[Ticket] = []
        self._changed = threading.Condition()

    @property
    def usual_seconds(self) -> float | None:
        """Median time that the last ones were served; None before the first."""
        with self._changed:
            return median(self._times) if self._times else None

    @contextmanager
    def served(self, ticket: Ticket) -> Iterator[None]:
        """Wait for a ticket's turn, and have it.

        Raises:
            Cancelled: nobody waits for the ticket any more.
        """
        with self._changed:
            self._waiting.append(ticket)
            try:
                while ticket not in self._waiting[: self.at_once]:
                    ticket.check()
                    self._changed.wait(_LOOK)
            except BaseException:
                self._leave(ticket)
                raise
        started = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._times.append(time.monotonic() - started)
                self._leave(ticket)

    def _leave(self, ticket: Ticket) -> None:
        self._waiting.remove(ticket)
        self._changed.notify_all()


class Ticket:
    """One request on its way, from its arrival on."""

    def __init__(self, turns: Turns) -> None:
        self._turns, self._stop = turns, threading.Event()
        self.deadline = time.monotonic() + turns.time_limit
        self.begun = False  # its work has a thread, which gives the room back when it ends

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
        """Wait for the turn to compute; the time that it takes is measured."""
        with self._turns.computing.served(self):
            yield

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Wait for the turn to decode a photograph, so that what is decoded at once fits into memory."""
        with self._turns.reading.served(self):
            yield


class Turns:
    """Bounds what happens at once; each request that is let in has a thread of its own.

    Args:
        waiting: requests that may wait besides those that are computed.
        at_once: requests that are computed at once.
        time_limit: seconds for one request.
    """

    def __init__(self, *, waiting: int, at_once: int, time_limit: float) -> None:
        self.time_limit = time_limit
        self.computing, self.reading = Line(at_once), Line(_READING)
        self._room = waiting + at_once
        self._inside: set[Ticket] = set()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def inside(self) -> int:
        """Requests that arrive, are read, wait or are computed."""
        with self._lock:
            return len(self._inside)

    @property
    def usual_seconds(self) -> float | None:
        """Median time of the last computations; None before the first."""
        return self.computing.usual_seconds

    @contextmanager
    def room(self) -> Iterator[Ticket]:
        """Have room for a request from its arrival on; where its work has begun, until that ends.

        Raises:
            ApiFailure: there is no room (429), or the service stops (503).
        """
        ticket = self._enter()
        try:
            yield ticket
        finally:
            if not ticket.begun:
                self._leave(ticket)

    async def work_out(self, ticket: Ticket, work: Callable[[Ticket], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """Do the work in a thread, and return what it returns.

        Args:
            ticket: of :meth:`room`.
            work: asks its ticket whether anybody still waits, and for its turn to compute.
            gone: tells whether the caller has left.

        Raises:
            ApiFailure: the service stops (503), or it took too long (504).
            Cancelled: the caller has left.
        """
        future: Future[T] = Future()
        thread = threading.Thread(target=self._work, args=[ticket, work, future], name="pairx-api", daemon=True)
        ticket.begun = True
        try:
            thread.start()
        except BaseException:  # no more threads
            ticket.begun = False
            raise
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(_seen)
        try:
            while not waiting.done():
                self._check(ticket)
                await asyncio.wait({waiting}, timeout=max(0.0, min(_LOOK, ticket.deadline - time.monotonic())))
                if not waiting.done() and await gone():
                    raise Cancelled
            if self._closed and isinstance(waiting.exception(), Cancelled):
                raise _closing()
            return waiting.result()
        finally:
            if not waiting.done():
                ticket.cancel()  # the work ends at its next step, and gives its room back then

    def open(self) -> None:
        """Let requests in, again after :meth:`close`."""
        with self._lock:
            self._closed = False

    def close(self) -> None:
        """Let nobody in any more, and tell what runs to end."""
        with self._lock:
            self._closed = True
            for ticket in self._inside:
                ticket.cancel()

    def _check(self, ticket: Ticket) -> None:
        if self._closed:
            raise _closing()
        if time.monotonic() >= ticket.deadline:
            raise ApiFailure(
                504,
                "TIMEOUT",
                f"this took longer than {self.time_limit:g} s; try again, or ask for fewer pairs or colours",
            )

    def _enter(self) -> Ticket:
        with self._lock:
            if self._closed:
                raise _closing()
            if len(self._inside) >= self._room:
                usual = self.usual_seconds or _FIRST_GUESS
                wait = max(1.0, usual * len(self._inside) / self.computing.at_once)
                message = f"{len(self._inside)} requests are under way, which is the limit; try again in {wait:.0f} s"
                raise ApiFailure(429, "BUSY", message, more={"retry_after": round(wait)})
            ticket = Ticket(self)
            self._inside.add(ticket)
            return ticket

    def _work(self, ticket: Ticket, work: Callable[[Ticket], T], future: Future[T]) -> None:
        future.set_running_or_notify_cancel()  # from here on nobody can cancel it in between
        try:
            found = work(ticket)
        except BaseException as error:
            self._leave(ticket)
            future.set_exception(error)
            return
        self._leave(ticket)
        future.set_result(found)

    def _leave(self, ticket: Ticket) -> None:
        with self._lock:
            self._inside.discard(ticket)


def _closing() -> ApiFailure:
    return ApiFailure(503, "CLOSING", "the service is being stopped; try again when it is back")


def _seen(future: asyncio.Future[T]) -> None:
    """Look at what became of work that nobody waits for any more, or asyncio complains that nobody did."""
    if not future.cancelled():
        future.exception()
