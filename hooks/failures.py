"""A plugin's failures: kept as text, bounded in number, said once in the log."""

from __future__ import annotations

import logging
import threading
import traceback
from collections import deque
from dataclasses import dataclass

from .base import Record
from .errors import ReviewHookError, described

__all__ = ["FailureLog", "PluginFailure", "in_words"]

_LOG = logging.getLogger(__name__)
_LONGEST_ERROR, _LONGEST_TRACEBACK = 2_000, 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PluginFailure(Record):
    """One failure of one plugin.

    Attributes:
        plugin: the name under which it is or would be registered.
        hook: the hook that failed, or None where the plugin could not be loaded or registered.
        error: the exception in words, or what was wrong with the answer.
        traceback: as Python prints it, newest call last; empty where nothing was raised.
    """

    plugin: str
    hook: str | None
    error: str
    traceback: str = ""


class FailureLog:
    """The latest failures of a manager's plugins; threads may share it.

    Only text is kept, since an exception would hold on to the plugin's frames, and to the tensors in them.

    Args:
        limit: how many failures are kept; older ones are dropped.
    """

    def __init__(self, limit: int) -> None:
        self._failures: deque[PluginFailure] = deque(maxlen=limit)
        self._said: set[tuple[str, str | None]] = set()
        self._lock = threading.Lock()

    def add(self, plugin: str, hook: str | None, problem: BaseException | str) -> PluginFailure:
        """Record an exception, or an answer that is wrong; the first one of a plugin's hook is a WARNING."""
        text = problem if isinstance(problem, str) else in_words(problem)
        failure = PluginFailure(
            plugin=plugin,
            hook=hook,
            error=text[:_LONGEST_ERROR],
            traceback=_traceback(problem)[-_LONGEST_TRACEBACK:],
        )
        with self._lock:
            self._failures.append(failure)
            level = logging.DEBUG if (plugin, hook) in self._said else logging.WARNING
            self._said.add((plugin, hook))
        place = f"in {hook}" if hook else "to load"
        _LOG.log(level, "plugin '%s' failed %s: %s", plugin, place, failure.error)
        if failure.traceback:
            _LOG.debug("plugin '%s' failed %s:\n%s", plugin, place, failure.traceback)
        return failure

    def all(self) -> tuple[PluginFailure, ...]:
        """Return the failures that are kept, oldest first."""
        with self._lock:
            return tuple(self._failures)


def in_words(error: BaseException) -> str:
    """Return an exception as ``Type: message``, be its ``__str__`` broken; of our own only the message."""
    text = described(error)
    return text.partition(": ")[2] if isinstance(error, ReviewHookError) else text


def _traceback(problem: BaseException | str) -> str:
    if isinstance(problem, str):
        return ""
    return "".join(traceback.format_exception(type(problem), problem, problem.__traceback__))
