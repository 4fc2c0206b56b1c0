"""What becomes of errors: one clear line and an exit code, never a traceback unless it is asked for."""

from __future__ import annotations

import logging
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from pairx_hooks import ReviewHookError

from ..errors import (
    ChipError,
    EvidenceError,
    ExplainerNotFound,
    HostError,
    HostUnavailable,
    ModelError,
    PairXError,
    SettingsError,
)

__all__ = [
    "BAD_INPUT",
    "FAILED",
    "INTERRUPTED",
    "PARTIAL",
    "CarefulGroup",
    "exit_code",
    "is_input_code",
    "print_error",
    "watch_logging",
]

FAILED, BAD_INPUT, PARTIAL, INTERRUPTED = 1, 2, 3, 130

# Typer handles its own ways to end. ClickException is looked up: some releases carry click along, others import it.
_CLICKS = tuple(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
# It also ends quietly when the reader of the output has gone.
_TYPERS_OWN: tuple[type[BaseException], ...] = (typer.Exit, typer.Abort, *_CLICKS, BrokenPipeError)

# What the person at the keyboard can put right: files, names, values. HostUnavailable and the like are not theirs.
_INPUT_ERRORS = (SettingsError, ChipError, ModelError, EvidenceError, ExplainerNotFound, HostError)


class CarefulGroup(TyperGroup):
    """Turns the errors of every command into a line on the error stream and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr, flush=True)
            raise typer.Exit(INTERRUPTED) from None
        except (PairXError, ReviewHookError) as error:
            if ctx.params.get("debug"):
                raise
            print_error(error.code, str(error))
            raise typer.Exit(exit_code(error)) from None
        except _TYPERS_OWN:
            raise
        except Exception as error:  # the disk, the memory, or a mistake of ours or of a package below
            if ctx.params.get("debug"):
                raise
            code = "SYSTEM_ERROR" if isinstance(error, (OSError, MemoryError)) else "INTERNAL"
            print_error(code, f"{type(error).__name__}: {error}; run again with --debug to see where")
            raise typer.Exit(FAILED) from None


def exit_code(error: BaseException) -> int:
    """Return 2 where the input is at fault, else 1."""
    own = isinstance(error, _INPUT_ERRORS) and not isinstance(error, HostUnavailable)
    return BAD_INPUT if own else FAILED


def is_input_code(code: str) -> bool:
    """Return whether a failure's code is one of the errors for which the input is at fault."""
    return any(code == kind.code for kind in _all_kinds(PairXError) if issubclass(kind, _INPUT_ERRORS))


def _all_kinds(kind: type[PairXError]) -> list[type[PairXError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _all_kinds(child))]


def print_error(code: str, message: str) -> None:
    """Write one line to the error stream: a stable code for scripts, and a sentence for people."""
    print(f"error [{code}]: {' '.join(message.split())}", file=sys.stderr, flush=True)


def watch_logging(debug: bool) -> None:
    """Show the log on the error stream: all of it with `debug`, else warnings of this distribution."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s" if debug else "%(message)s"))
    root = logging.getLogger("pairx_plugin")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else logging.ERROR)
    root.propagate = False
