"""The host's own parameters of its re-ranking, checked, and numbers of options in general."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pairx_hooks import Failure

from ...errors import SettingsError
from ...settings import PREFIX

__all__ = ["RANGES", "Reranking", "checked_number", "shown", "without_effect"]

RANGES: Mapping[str, tuple[type, float, float]] = {
    "shortlist_k": (int, 0, 10_000),
    "alpha": (float, 0.0, 1.0),
    "sigmoid_k": (float, 0.0, 1_000.0),
    "sigmoid_x0": (float, 0.0, 1.0),
}
_STRETCHING = ("sigmoid_k", "sigmoid_x0")
_LONGEST = 200


@dataclass(frozen=True, kw_only=True)
class Reranking:
    """Re-ranking by plausibility, with the host's own parameter names.

    Attributes:
        shortlist_k: how many candidates are looked at, best first.
        alpha: weight of the host's score, in [0, 1]; the plausibility has the rest.
        sigmoid_k, sigmoid_x0: slope and middle of the curve by which the host stretches its own figure; what is mixed
            here is a share already, so nothing comes of them.
    """

    shortlist_k: int = 20
    alpha: float = 0.8
    sigmoid_k: float = 10.0
    sigmoid_x0: float = 0.5

    def __post_init__(self) -> None:
        for name in ("shortlist_k", "alpha", "sigmoid_k", "sigmoid_x0"):
            object.__setattr__(self, name, checked_number(name, getattr(self, name), *RANGES[name]))


def without_effect(reranking: Reranking | None) -> tuple[Failure, ...]:
    """Return a warning for each of the host's parameters that was changed and that nothing comes of."""
    usual = Reranking()
    asked = _STRETCHING if reranking is not None else ()
    changed = [name for name in asked if getattr(reranking, name) != getattr(usual, name)]
    return tuple(
        Failure(
            code="SETTING_WITHOUT_EFFECT",
            message=f"'{PREFIX}{name}' was read and has no effect: the calibrated plausibility needs no stretching",
        )
        for name in changed
    )


def checked_number(name: str, value: Any, kind: type, least: float, most: float) -> Any:
    """Return an option's value as a number.

    Raises:
        SettingsError: it is none, or out of its range.
    """
    try:
        number = kind(value.strip() if isinstance(value, str) else value)
        fits = not isinstance(value, bool) and (isinstance(value, str) or number == value) and math.isfinite(number)
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits or not least <= number <= most:
        wanted = "a whole number" if kind is int else "a number"
        raise SettingsError(
            f"option '{PREFIX}{name}' must be {wanted} from {least:g} to {most:g}, "
            f"not {type(value).__name__} {shown(value)!r}"
        )
    return number


def shown(value: Any) -> str:
    """Return a value for a message: short, whatever it is."""
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # a foreign object's repr may raise
        text = f"(a {type(value).__name__})"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
