"""The memory that this process holds, and the most that it has held."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["peak_resident", "resident"]

_STATUS = Path("/proc/self/status")


def peak_resident() -> int | None:
    """Return the most bytes of memory that this process has held so far, or None where the system does not say.

    On Linux the kernel's mark of this process's own memory is read: what `getrusage` says there also counts the process
    that started this one.
    """
    peak = _of_status("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident() -> int | None:
    """Return the bytes of memory that this process holds now, or None where the system does not say: on Linux alone."""
    return _of_status("VmRSS")


def _of_status(name: str) -> int | None:
    try:
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None
