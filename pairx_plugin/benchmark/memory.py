"""The most memory that this process has held."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["peak_resident"]

_STATUS = Path("/proc/self/status")


def peak_resident() -> int | None:
    """Return the most bytes of memory that this process has held so far, or None where the system does not say.

    On Linux the kernel's mark of this process's own memory is read: what `getrusage` says there also counts the process
    that started this one.
    """
    try:
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
