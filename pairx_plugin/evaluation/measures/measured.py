"""What one measure finds for one pair."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Measured"]


class Measured:
    """Figures by name; what could not be measured is counted with its reason.

    Attributes:
        figures: finite numbers.
        dropped: reason codes by figure.
        details: whatever a report shows besides, JSON values.
    """

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self.dropped: dict[str, str] = {}
        self.details: dict[str, Any] = {}

    def put(self, name: str, value: float | None, reason: str = "NOT_DEFINED") -> None:
        """Take a figure; None, or a number that is not finite, is dropped for the reason."""
        if value is None or not math.isfinite(value):
            self.dropped[name] = reason
        else:
            self.figures[name] = float(value)

    def drop(self, names: Sequence[str], reason: str) -> None:
        """Drop several figures for one reason."""
        self.dropped.update(dict.fromkeys(names, reason))

    def mean(self, name: str, values: Sequence[float | None], reason: str = "NOT_DEFINED") -> None:
        """Take the mean of those values that are there."""
        known = [value for value in values if value is not None]
        self.put(name, sum(known) / len(known) if known else None, reason)

    def to_json(self) -> Mapping[str, Any]:
        """Return JSON values."""
        return {"figures": self.figures, "dropped": self.dropped, "details": self.details}
