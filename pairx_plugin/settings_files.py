"""Configuration files that settings are read from."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from .errors import SettingsError

__all__ = ["read_settings_file"]


def read_settings_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        SettingsError: the file is missing, unreadable or not TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot read the configuration {os.fspath(path)!r}: {error.strerror or error}; "
            "give the path of a TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"the configuration {os.fspath(path)!r} is not TOML: {error}") from error
