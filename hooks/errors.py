"""Errors of the hook contract, and the name that was meant where one is wrong."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable

__all__ = [
    "HookCallError",
    "HookValidationError",
    "OwnFailure",
    "PluginLoadError",
    "PluginNameError",
    "RecordError",
    "ReviewHookError",
    "code_of",
    "described",
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


class OwnFailure(ReviewHookError, RuntimeError):
    """What a hook looks up is the plugin's own and cannot be had, so that no other plugin is asked for it.

    None means "not mine", and any other exception "mine or not, I failed"; in both cases the next plugin is asked, and
    might answer with something else than what was ranked.

    Args:
        message: what is wrong, and the next step.
        code: stable upper-case identifier for the review record.
        retryable: True where the same call may succeed later without a change.
    """

    def __init__(self, message: str, *, code: str = "PLUGIN_FAILED", retryable: bool = False) -> None:
        super().__init__(message)
        self.code, self.retryable = code, retryable

    @classmethod
    def of(cls, error: BaseException) -> OwnFailure:
        """Return an exception as a failure of one's own, with its words, its `code` and its `retryable`."""
        if isinstance(error, cls):
            return error
        code, retryable = code_of(error)
        words = str(error) if code != "PLUGIN_FAILED" else described(error)
        return cls(words, code=code, retryable=retryable)


class HookCallError(ReviewHookError, RuntimeError):
    """No plugin answered, and at least one failed while it tried; the first one's exception is the cause.

    Where a plugin said by an :class:`OwnFailure` that nobody else shall be asked, that one is the cause.

    Args:
        message: what was asked for and what went wrong.
        plugin: name of the plugin that failed.
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


def described(error: BaseException) -> str:
    """Return an exception as ``Type: message``, be its ``__str__`` broken."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    return text.removeprefix(f"{type(error).__module__}.")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; nearest: 'x'"`` for the known name closest to `name`, or an empty string.

    >>> nearest("load_chips", ["load_chip", "attach_explanations"])
    "; nearest: 'load_chip'"
    """
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; nearest: '{found[0]}'" if found else ""
