"""Writes files whole or not at all: a reader sees the earlier file or the new one, never a part of either.

The new content is written beside the file and takes its place in one step. Whatever stops the writing, an exception,
a full disk or the end of the process, leaves the earlier file as it was; only the end of the process can leave a
``.part`` file behind. A loss of power is not covered: nothing waits for the disk.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import StoreError

__all__ = ["replacing", "unwritten", "write_whole"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a binary file that takes the place of `path` when the block ends, and vanishes when it raises.

    Missing folders are made. A symbolic link stays, and the file that it points to is replaced. A file that is there
    keeps its permissions; a new one has those that the process gives to all its files. What is no file that could be
    replaced, such as a pipe or ``/dev/null``, is written to.

    Raises:
        OSError: the file cannot be written; not a :class:`StoreError`, so that callers can look at its number.
    """
    earlier = _stat(path)
    if earlier is not None and not stat.S_ISREG(earlier.st_mode):
        with open(path, "wb") as file:  # raises for a folder
            yield file
        return
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    # Opened by name, unlike tempfile's: those are the owner's alone, whatever the process gives to its files.
    temporary = target.parent / f".{secrets.token_hex(8)}.part"
    try:
        with open(temporary, "xb") as file:
            if earlier is not None:
                os.chmod(temporary, stat.S_IMODE(earlier.st_mode))
            yield file
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):  # what went wrong first is what has to be told
            temporary.unlink(missing_ok=True)
        raise


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> int:
    """Write a file as :func:`replacing` does, text as UTF-8 with its line ends as they are, and return its bytes.

    Raises:
        OSError: it cannot be written.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with replacing(path) as file:
        file.write(data)
    return len(data)


def unwritten(
    what: str,
    path: str | os.PathLike[str],
    error: OSError,
    advice: str = "choose another place, or make room there",
) -> StoreError:
    """Return the error that tells a user why a file could not be written.

    >>> str(unwritten("the report", "report.html", OSError(28, "No space left on device")))
    "the report 'report.html' cannot be written: No space left on device; choose another place, or make room there"
    """
    return StoreError(f"{what} {os.fspath(path)!r} cannot be written: {error.strerror or error}; {advice}")


def _stat(path: str | os.PathLike[str]) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None
