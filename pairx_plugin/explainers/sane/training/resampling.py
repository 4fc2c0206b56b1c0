"""Confidence intervals over individuals: photographs of one animal are no independent witnesses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["interval"]

_ROUNDS = 2000


def interval(groups: Sequence[Sequence[float]], seed: int) -> dict[str, Any] | None:
    """Return mean, 95 % interval and counts of values in groups; groups are resampled, not values.

    Args:
        groups: the values of one individual each, none empty.
        seed: of the resampling.

    Returns:
        ``mean``, ``low``, ``high``, ``n`` values and ``n_individuals``; None without any value.
    """
    if not groups:
        return None
    sums, counts = np.array([sum(group) for group in groups]), np.array([len(group) for group in groups])
    drawn = np.random.default_rng(seed).integers(0, len(groups), (_ROUNDS, len(groups)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {
        "mean": float(sums.sum() / counts.sum()),
        "low": float(low),
        "high": float(high),
        "n": int(counts.sum()),
        "n_individuals": len(groups),
    }
