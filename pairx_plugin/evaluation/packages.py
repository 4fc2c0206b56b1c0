"""The packages of the extra ``evaluate``, imported when a figure needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingExtra

__all__ = ["scikit_learn", "scipy"]


def scipy(module: str) -> Any:
    """Return ``scipy.module``.

    Raises:
        MissingExtra: it cannot be imported.
    """
    return _imported("scipy", f"scipy.{module}")


def scikit_learn(module: str) -> Any:
    """Return ``sklearn.module``.

    Raises:
        MissingExtra: it cannot be imported.
    """
    return _imported("scikit-learn", f"sklearn.{module}")


def _imported(package: str, module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(package, extra="evaluate", purpose="the evaluation", cause=error) from error
