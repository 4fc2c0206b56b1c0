"""Wildbook IA with its MiewID plugin, in the host's own process.

One flag of a query, ``pairx_explain``, has its best candidates explained on the network that ranked them, which is
loaded once and shared with the host. The host's three versions of a match picture become three different pictures,
and the record of every explanation is kept beside them, stands in the result under ``pairx``, and is served by routes.
:func:`install` attaches all of it in one process; :mod:`.loading` says how it gets into all of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .answers import absence
    from .installing import Installation, install
    from .loading import wait_for_host

_HOMES = {"Installation": "installing", "absence": "answers", "install": "installing", "wait_for_host": "loading"}

__all__ = ["Installation", "absence", "install", "wait_for_host"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:  # every Python of the host's environment may come by here; nothing heavy before it is used
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
