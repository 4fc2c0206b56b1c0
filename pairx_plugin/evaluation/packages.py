"""The packages of the extras ``evaluate`` and ``quantus``, imported when a figure needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..errors import MissingExtra

__all__ = ["quantus", "scikit_learn", "scipy"]


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


def quantus() -> Any:
    """Return ``quantus``.

    Raises:
        MissingExtra: it cannot be imported.
    """
    return _imported("quantus", "quantus", extra="quantus", purpose="the measure 'quantus' of the evaluation")


def _imported(package: str, module: str, extra: str = "evaluate", purpose: str = "the evaluation") -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtra(package, extra=extra, purpose=purpose, cause=error) from error
