"""Reads an explainer's own options out of `Settings.options`; unknown names belong to other explainers."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import SettingsError, nearest
from ..settings import Settings

__all__ = ["choice", "flag"]

_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def choice(settings: Settings, name: str, default: str, choices: Sequence[str]) -> str:
    """Return one of `choices`.

    Raises:
        SettingsError: the option has another value.
    """
    value = settings.options.get(name, default)
    if not isinstance(value, str) or value not in choices:
        raise SettingsError(
            f"option '{name}' has no choice {value!r}{nearest(str(value), choices)}; choose from: {', '.join(choices)}"
        )
    return value


def flag(settings: Settings, name: str, default: bool = False) -> bool:
    """Return a truth value; texts such as ``true`` and ``off`` are read as such.

    Raises:
        SettingsError: the option has another value.
    """
    value = settings.options.get(name, default)
    known = _FLAGS.get(str(value).strip().lower())
    if known is None:
        raise SettingsError(f"option '{name}' must be true or false, not {value!r}")
    return known
