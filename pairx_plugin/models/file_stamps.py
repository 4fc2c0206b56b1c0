"""What tells a loaded model from one whose files or options are others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .miewid_files import find_config

__all__ = ["cache_key", "files_beside", "stamps_of"]


def files_beside(path: Path) -> list[Path]:
    """Return the files of a folder, or a checkpoint and its configuration."""
    if path.is_dir():
        return sorted(entry for entry in path.iterdir() if entry.is_file())
    config = find_config(path)
    return [entry for entry in (path, config) if entry is not None and entry.is_file()]


def stamps_of(files: list[Path]) -> list[tuple[str, int, int]]:
    """Return path, time of change in nanoseconds and size of each file."""
    return [(str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files]


def cache_key(text: str, given: dict[str, Any]) -> Any:
    """Return what tells requests apart; None for options that cannot be compared, such as a mapping."""
    options = sorted(given.items())
    key = (text, tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in options))
    try:
        hash(key)
    except TypeError:
        return None
    return key
