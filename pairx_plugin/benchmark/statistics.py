"""Figures of repeated measurements: the median with the smallest and the largest, never a mean of a few."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Spread", "median_interval", "ratios"]


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one thing.

    Attributes:
        values: in the order in which they were taken; at least one.
    """

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Return the spread of `values`, or None without any."""
        kept = tuple(float(value) for value in values)
        return cls(kept) if kept else None

    @property
    def median(self) -> float:
        """The middle one, or the mean of the two in the middle."""
        return statistics.median(self.values)

    @property
    def least(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def most(self) -> float:
        """The largest."""
        return max(self.values)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"median": self.median, "least": self.least, "most": self.most, "values": list(self.values)}


def ratios(above: Spread | None, below: Spread | None) -> Spread | None:
    """Divide measurements that were taken in the same turns, turn by turn; None where a side is missing.

    What slows a whole turn down, such as another program, slows both sides and cancels.
    """
    if above is None or below is None:
        return None
    return Spread.of(over / under for over, under in zip(above.values, below.values) if under > 0)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Return the order statistics between which the true median lies, whatever the measurements' distribution.

    Args:
        values: independent measurements.
        confidence: that is reached at least; with fewer than six values 95 % cannot be, and all of them are spanned.

    Source: the sign test; the number of values below the median is binomial with one half.
    """
    ordered, n = sorted(values), len(values)
    cut, tail = 0, 2.0 ** -n  # chance that `cut` or fewer values lie below the median
    while cut + 1 < n / 2 and 2 * (tail + math.comb(n, cut + 1) * 2.0 ** -n) <= 1 - confidence:
        cut += 1
        tail += math.comb(n, cut) * 2.0 ** -n
    return ordered[cut], ordered[n - 1 - cut]
