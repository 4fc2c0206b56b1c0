"""Means and areas under curves with confidence intervals, drawn over individuals and not over pairs.

Pairs of one individual resemble each other, so drawing pairs would pretend to know more than was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["N_DRAWS", "Interval", "bootstrap", "mean_interval"]

N_DRAWS = 1000
_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure, its 95 % confidence interval, and how many values and individuals stand behind it.

    Attributes:
        low, high: None where there are fewer than two individuals, or too few draws gave a figure.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_individuals: int


def mean_interval(values: ArrayLike, individuals: Sequence[str], *, seed: int = 0, n_draws: int = N_DRAWS) -> Interval:
    """Return the mean of `values` with its interval.

    Args:
        values: (n,) finite numbers.
        individuals: (n,) whom each value belongs to.

    >>> mean_interval([1.0, 3.0], ["a", "a"])
    Interval(value=2.0, low=None, high=None, n=2, n_individuals=1)
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        return Interval(value=None, low=None, high=None, n=0, n_individuals=0)
    names, owner = np.unique(np.asarray(individuals, dtype=str), return_inverse=True)
    n = len(names)
    low = high = None
    if n > 1:
        # sums by individual: a table has thousands of means, and rows drawn one by one would take minutes
        chosen = np.random.default_rng(seed).integers(n, size=(n_draws, n))
        totals, counts = np.bincount(owner, weights=numbers), np.bincount(owner)
        low, high = _edges(totals[chosen].sum(axis=1) / counts[chosen].sum(axis=1))
    return Interval(value=float(numbers.mean()), low=low, high=high, n=len(numbers), n_individuals=n)


def bootstrap(
    statistic: Callable[[NDArray[np.intp]], float | None],
    individuals: Sequence[str],
    *,
    seed: int = 0,
    n_draws: int = N_DRAWS,
) -> Interval:
    """Return a statistic with its percentile interval over resampled individuals.

    Args:
        statistic: from row numbers, with repeats, to a figure; None where it is not defined for them.
        individuals: (n,) whom each row belongs to; all rows of an individual are drawn together.
        seed: the same rows and seed give the same interval.
    """
    names, owner = np.unique(np.asarray(individuals, dtype=str), return_inverse=True)
    n = len(owner)
    value = statistic(np.arange(n))
    rows_of = [np.flatnonzero(owner == index) for index in range(len(names))]
    low = high = None
    if value is not None and len(names) > 1:
        rng = np.random.default_rng(seed)
        drawn = []
        for _ in range(n_draws):
            chosen = rng.integers(len(names), size=len(names))
            figure = statistic(np.concatenate([rows_of[index] for index in chosen]))
            if figure is not None:
                drawn.append(figure)
        if len(drawn) >= n_draws // 2:  # fewer: the interval would be that of the lucky draws
            low, high = _edges(drawn)
    return Interval(value=value, low=low, high=high, n=n, n_individuals=len(names))


def _edges(drawn: ArrayLike) -> tuple[float, float]:
    tail = (1.0 - _LEVEL) / 2.0
    low, high = np.quantile(np.asarray(drawn, np.float64), [tail, 1.0 - tail])
    return float(low), float(high)
