"""Importing packages that only some models need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingExtra


def import_optional(package: str, *, extra: str, purpose: str) -> Any:
    """Import a package that an extra of this distribution installs.

    Raises:
        MissingExtra: it is not there, or there and broken: a torchvision of another torch release raises
            RuntimeError while it registers its operators, and a missing shared library raises OSError.
    """
    try:
        return import_module(package)
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingExtra(package, extra=extra, purpose=purpose, cause=error) from error
