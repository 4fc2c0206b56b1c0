"""Figures about named attributes: ranking against the truth, calibration, and what abstaining is worth."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .packages import scikit_learn

__all__ = ["average_precision", "calibration_error", "coverage_accuracy", "truth_of"]

_PARTS = re.compile(r"[:=/.\s]+")


def truth_of(name: str, present: Collection[str], vocabulary: Collection[str]) -> bool | None:
    """Return whether an attribute holds; None where the data have no such word.

    Args:
        name: as an explainer says it: a word, or a group and a word such as ``mark:scar``.
        present: words that hold.
        vocabulary: all words that the data know.

    >>> truth_of("mark:scar", {"scar"}, {"scar", "notch"}), truth_of("collar", {"scar"}, {"scar"})
    (True, None)
    """
    words = [name, name.lower(), _PARTS.split(name.strip().lower())[-1]]
    known = next((word for word in words if word in vocabulary), None)
    return None if known is None else known in present


def average_precision(scores: ArrayLike, truth: Sequence[bool]) -> float | None:
    """Return the average precision of a ranking; None without any true item.

    >>> average_precision([0.9, 0.8, 0.1], [True, False, True])
    0.8333333333333333
    """
    if not any(truth):
        return None
    return float(scikit_learn("metrics").average_precision_score(np.asarray(truth, int), np.asarray(scores, float)))


def calibration_error(confidences: ArrayLike, correct: Sequence[bool], *, n_bins: int = 10) -> float | None:
    """Return the expected calibration error: mean gap between confidence and accuracy over bins of equal width.

    >>> calibration_error([0.9, 0.9], [True, False])
    0.4
    """
    said, was = np.asarray(confidences, np.float64), np.asarray(correct, np.float64)
    if not len(said):
        return None
    place = np.clip((said * n_bins).astype(int), 0, n_bins - 1)
    gaps = [abs(said[place == b].mean() - was[place == b].mean()) * (place == b).mean() for b in np.unique(place)]
    return float(round(sum(gaps), 12))


def coverage_accuracy(confidences: ArrayLike, correct: Sequence[bool]) -> list[tuple[float, float, float]]:
    """Return (threshold, coverage, accuracy) for each threshold at which something is still said, most cautious first.

    >>> coverage_accuracy([0.9, 0.6], [True, False])
    [(0.9, 0.5, 1.0), (0.6, 1.0, 0.5)]
    """
    said, was = np.asarray(confidences, np.float64), np.asarray(correct, np.float64)
    thresholds = sorted({float(value) for value in said}, reverse=True)
    return [(edge, float((said >= edge).mean()), float(was[said >= edge].mean())) for edge in thresholds]
