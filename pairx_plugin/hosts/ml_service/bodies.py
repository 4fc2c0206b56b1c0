"""The bodies of requests: let in where there is room, in time, and read in a thread like all other work.

A body of 64 megabytes is read for seconds, and while it is, nobody else is answered on the event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from ...review.failures import ApiFailure
from .asked import Asked
from .turns import Ticket, Turns

__all__ = ["answered", "asked_of", "check_kind", "has_body"]

T = TypeVar("T")
_ARRIVAL = 30.0  # seconds that a body may take to arrive, so that slow senders do not hold the room of others
_MOST_VALUES = 100_000  # of a body; the largest request that can be answered has a few hundred


async def answered(request: Request, turns: Turns, work: Callable[[bytes, Ticket], T]) -> T:
    """Let a request in, take its body, and do the work with it in a thread.

    Nothing of the body is taken before there is room, so that what all callers send together is bounded.

    Raises:
        ApiFailure: there is no room, the body is too slow or too large, or what :meth:`Turns.work_out` raises.
        Cancelled: the caller has left.
    """
    with turns.room() as ticket:
        try:
            held = [await asyncio.wait_for(_all_of(request), min(_ARRIVAL, turns.time_limit))]
        except asyncio.TimeoutError as error:
            raise ApiFailure(408, "BODY_SLOW", f"the body did not arrive within {_ARRIVAL:g} s") from error
        except ClientDisconnect as error:  # nobody reads this, unless the guard has cut the body off
            raise ApiFailure(413, "BODY_TOO_LARGE", "the request has more bytes than it may have") from error
        return await turns.work_out(ticket, lambda own: work(held.pop(), own), request.is_disconnected)


def has_body(request: Request) -> bool:
    """Whether a request brings a body."""
    length = request.headers.get("content-length", "")
    return "transfer-encoding" in request.headers or (length.isdigit() and int(length) > 0)


def check_kind(request: Request) -> None:
    """Refuse a body that says it is no JSON, or packed; programs that send text often say nothing.

    Raises:
        ApiFailure: so it is.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise ApiFailure(422, "BAD_REQUEST", f"the body is {kind!r:.80}; send it as application/json")
    packed = request.headers.get("content-encoding", "identity")
    if packed.lower() not in ("", "identity"):
        raise ApiFailure(422, "BAD_REQUEST", f"the body is packed, by {packed!r:.40}; send it as it is")


def asked_of(content: bytes) -> Asked:
    """Return what a body asks for.

    Raises:
        ApiFailure: it is no JSON, or a value does not fit; the message names the first.
    """
    if content.count(b",") > _MOST_VALUES:  # counted in milliseconds, where to read them would take seconds
        raise ApiFailure(413, "BODY_TOO_LARGE", f"the body has more than {_MOST_VALUES} values")
    try:
        return Asked.model_validate_json(content.decode(json.detect_encoding(content)))
    except UnicodeDecodeError as error:
        raise ApiFailure(422, "BAD_REQUEST", f"the body is no text: {error.reason}; send JSON in UTF-8") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = _field(first["loc"])
        raise ApiFailure(422, "BAD_REQUEST", f"{field or 'the request'}: {first['msg']}", field=field) from error


async def _all_of(request: Request) -> bytes:
    """Return a body without leaving it with the request, which lives as long as the work."""
    return b"".join([part async for part in request.stream()])


def _field(place: tuple[int | str, ...]) -> str:
    """Return where a value stands, such as ``bb2[0][3]``."""
    names = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in place]
    return "".join(names).lstrip(".")[:200]
