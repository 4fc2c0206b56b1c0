"""Whether a figure parts pairs of one individual from pairs of two that the network finds equally similar.

Source: section 4.1 of the evaluation protocol; Shrack et al., arXiv 2503.22881, for the idea of comparing at matched
similarity.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .packages import scikit_learn

__all__ = ["AUC_RANGE", "TOLERANCE", "auc", "balanced_matches", "couple_wins", "match_by_similarity"]

TOLERANCE = 0.01
AUC_RANGE = (0.48, 0.52)
_HALVINGS, _ORDERS = 6, 8


def auc(positive: ArrayLike, negative: ArrayLike) -> float | None:
    """Return the share of (positive, negative) couples in which the positive is larger; ties count half.

    Returns:
        In [0, 1]; None without any of one kind.

    >>> auc([2.0, 3.0], [1.0, 2.0])
    0.875
    """
    high, low = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    if not len(high) or not len(low):
        return None
    labels = np.concatenate([np.ones(len(high)), np.zeros(len(low))])
    return float(scikit_learn("metrics").roc_auc_score(labels, np.concatenate([high, low])))


def couple_wins(positive: ArrayLike, negative: ArrayLike) -> NDArray[np.float64]:
    """Return (n, m) 1 where a positive is larger than a negative, 0.5 where they are equal; its mean is :func:`auc`.

    Resampling rows and columns of it is much quicker than sorting each draw anew.
    """
    high, low = np.asarray(positive, np.float64)[:, None], np.asarray(negative, np.float64)[None]
    return (high > low) + 0.5 * (high == low)


def match_by_similarity(
    positive: Sequence[float],
    negative: Sequence[float],
    strata_positive: Sequence[str],
    strata_negative: Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> dict[int, int]:
    """Match each positive pair to a near unused negative pair of its stratum.

    Of those within the tolerance the nearest is taken on the side that evens out the differences so far, so that the
    positives do not end up a little more similar one and all; where that side has none, the nearest of all.

    Args:
        positive, negative: cosines.
        strata_positive, strata_negative: species and the like; only equal ones are matched.
        tolerance: largest difference of the two cosines.
        seed: of the order in which positives choose.

    Returns:
        Index of the negative by index of the positive; positives without a partner are left out.

    >>> match_by_similarity([0.5, 0.9], [0.505, 0.2], ["a", "a"], ["a", "a"])
    {0: 0}
    """
    high, low = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    by_stratum = _ordered(low, np.asarray(strata_negative, dtype=str))
    nobody = np.zeros(0, np.intp), np.zeros(0)
    unused = np.ones(len(low), dtype=bool)
    found: dict[int, int] = {}
    balance = 0.0
    for index in np.random.default_rng(seed).permutation(len(high)):
        places, cosines = by_stratum.get(str(strata_positive[index]), nobody)
        # the slack lets rounding decide below and not here
        first, last = np.searchsorted(cosines, high[index] + np.array([-1.0, 1.0]) * (tolerance + 1e-9))
        near = np.sort(places[first:last])
        gaps = low[near] - high[index]
        fits = unused[near] & (np.abs(gaps) <= tolerance)
        evening = fits & (gaps * balance <= 0.0)
        pool = np.flatnonzero(evening if evening.any() else fits)
        if len(pool):
            nearest = int(pool[np.abs(gaps[pool]).argmin()])
            found[int(index)] = int(near[nearest])
            unused[near[nearest]] = False
            balance += float(gaps[nearest])
    return dict(sorted(found.items()))


def _ordered(
    cosines: NDArray[np.float64], strata: NDArray[np.str_]
) -> dict[str, tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Return the places and the cosines of each stratum, least similar first: data sets have 100,000 pairs of two."""
    names, of_place = np.unique(strata, return_inverse=True)
    order = np.argsort(cosines, kind="stable")
    parts = ((str(name), order[of_place[order] == number]) for number, name in enumerate(names))
    return {name: (places, cosines[places]) for name, places in parts}


def balanced_matches(
    positive: Sequence[float],
    negative: Sequence[float],
    strata_positive: Sequence[str],
    strata_negative: Sequence[str],
    *,
    seed: int = 0,
) -> tuple[dict[int, int], float, float | None]:
    """Match pairs in several orders, and then more and more tightly, until their cosines alone tell nothing.

    Returns:
        The matches; the tolerance that was needed; the AUC of the cosine on them, None without any match. It lies in
        :data:`AUC_RANGE` wherever the data allow it: on few pairs no matching may reach it, and then the one that
        comes nearest to it is returned.
    """
    high, low = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    nearest: tuple[float, dict[int, int], float, float | None] = (np.inf, {}, TOLERANCE, None)
    for halving in range(_HALVINGS):
        tolerance = TOLERANCE / 2.0**halving
        balanced: tuple[dict[int, int], float] | None = None
        for order in range(_ORDERS):
            found = match_by_similarity(
                positive, negative, strata_positive, strata_negative, tolerance=tolerance, seed=seed + order
            )
            area = auc(high[list(found)], low[list(found.values())]) if found else None
            if area is None:
                continue
            if abs(area - 0.5) < nearest[0]:
                nearest = (abs(area - 0.5), found, tolerance, area)
            if AUC_RANGE[0] <= area <= AUC_RANGE[1] and (balanced is None or len(found) > len(balanced[0])):
                balanced = found, area
        if balanced is not None:
            return balanced[0], tolerance, balanced[1]
    return nearest[1:]
