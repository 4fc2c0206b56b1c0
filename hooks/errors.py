"""Errors of the hook contract, and the name that was meant where one is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "HookCallError",
    "HookValidationError",
    "PluginLoadError",
    "PluginNameError",
    "RecordError",
    "ReviewHookError",
    "code_of",
    "nearest",
]


class ReviewHookError(Exception):
    """Base of every error that the contract raises on purpose.

    Attributes:
        code: stable upper-case identifier, fit for :class:`~pairx_hooks.Failure`.
        retryable: True where the same call may succeed later without a change.
    """

    code = "HOOK_ERROR"
    retryable = False


class RecordError(ReviewHookError, ValueError):
    """A record was given a value that it cannot hold."""

    code = "RECORD_INVALID"


class HookValidationError(ReviewHookError, TypeError):
    """A plugin implements a hook that does not exist, or in a way in which it could not be called."""

    code = "HOOK_INVALID"


class PluginNameError(ReviewHookError, ValueError):
    """A plugin's name is taken or blocked, or the plugin is registered under another name."""

    code = "PLUGIN_NAME_TAKEN"


class PluginLoadError(ReviewHookError, ImportError):
    """A plugin that an entry point names cannot be imported."""

    code = "PLUGIN_NOT_LOADED"


class HookCallError(ReviewHookError, RuntimeError):
    """No plugin answered, and at least one failed while it tried; the first one's exception is the cause.

    Args:
        message: what was asked for and what went wrong.
        plugin: name of the plugin that failed first.
        cause: its exception, whose `code` and `retryable` are taken over where it has them.
    """

    code = "PLUGIN_FAILED"

    def __init__(self, message: str, *, plugin: str, cause: BaseException) -> None:
        super().__init__(message)
        self.plugin = plugin
        self.code, self.retryable = code_of(cause)


def code_of(error: BaseException) -> tuple[str, bool]:
    """Return an exception's `code` and `retryable` where it has them, else ``PLUGIN_FAILED`` and False."""
    code, retryable = getattr(error, "code", None), getattr(error, "retryable", False)
    if not isinstance(code, str) or not code.strip():  # the code of SystemExit is a number
        code = "PLUGIN_FAILED"
    return code, retryable is True


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; nearest: 'x'"`` for the known name closest to `name`, or an empty string.

    >>> nearest("load_chips", ["load_chip", "attach_explanations"])
    "; nearest: 'load_chip'"
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; nearest: '{found[0]}'" if found else ""
