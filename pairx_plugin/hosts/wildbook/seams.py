"""Attaching to a host that has no hooks: an attribute is replaced by one that calls the one before it.

A seam is attached once, however often it is asked for, and remembers what it replaced.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

__all__ = ["attach", "attached", "detach", "harmless"]

logger = logging.getLogger(__name__)

_MARK = "__pairx_replaces__"


def attach(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> bool:
    """Replace a function of a module or a method of a class.

    Args:
        owner: module or class.
        name: of its attribute.
        make: called with the present function, returns what shall stand in its place.

    Returns:
        False where there is no such function; True where the seam is attached, now or since before.
    """
    present = _raw(owner, name)
    function = present.__func__ if isinstance(present, (classmethod, staticmethod)) else present
    if not callable(function):
        return False
    if hasattr(function, _MARK):
        return True
    replacement = functools.wraps(function)(make(function))
    setattr(replacement, _MARK, (present, name in vars(owner)))
    setattr(owner, name, type(present)(replacement) if present is not function else replacement)
    return True


def attached(owner: Any, name: str) -> bool:
    """True where a seam stands at this attribute."""
    present = _raw(owner, name)
    return hasattr(getattr(present, "__func__", present), _MARK)


def detach(owner: Any, name: str) -> bool:
    """Put back what was there before; False where no seam is attached."""
    if not attached(owner, name):
        return False
    present = _raw(owner, name)
    before, own = getattr(getattr(present, "__func__", present), _MARK)
    if own:
        setattr(owner, name, before)
    else:  # it was inherited
        delattr(owner, name)
    return True


def harmless(what: str, function: Callable[..., Any], *args: Any, otherwise: Any = None, **kwargs: Any) -> Any:
    """Call a function of ours within the host; whatever it raises is logged, and `otherwise` is returned.

    The host runs a failing job six times, and a failing query is lost: nothing of ours may raise into it, nor end a
    process of the host as ``sys.exit`` in somebody's plugin would, or a panic of a compiled library, which is no
    Exception. Only KeyboardInterrupt passes.
    """
    try:
        return function(*args, **kwargs)
    except KeyboardInterrupt:
        raise
    except BaseException:
        logger.exception("%s failed; the host goes on without it", what)
        return otherwise


def _raw(owner: Any, name: str) -> Any:
    """Return an attribute as it is defined, so that a class method is known as one."""
    for place in (owner, *getattr(owner, "__mro__", ())):
        if name in vars(place):
            return vars(place)[name]
    return None
