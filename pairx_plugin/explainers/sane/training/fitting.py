"""One attribute's classifier: logistic regression on pooled features, penalty and calibration chosen by individual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....models.optional import import_optional

__all__ = ["Fitted", "fit_attribute"]

_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # inverse, as scikit-learn's C
_ROUNDS = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A classifier with what is known of it from individuals that were left out.

    Attributes:
        weights: (C,) of the features as the network gives them.
        bias: of the score.
        calibration: (a, b) of Platt's ``1 / (1 + exp(-(a score + b)))``.
        penalty: the inverse strength of L2 that was chosen.
        average_precision: over all left-out photographs.
        left_out: (n,) calibrated probabilities of the photographs, each from a classifier that knew none of its
            individual; NaN where the label is unknown.
    """

    weights: NDArray[np.float64]
    bias: float
    calibration: tuple[float, float]
    penalty: float
    average_precision: float
    left_out: NDArray[np.float64]


def fit_attribute(
    pooled: NDArray[np.float32],
    labels: Sequence[bool | None],
    individuals: Sequence[str],
    *,
    folds: int,
    seed: int,
) -> Fitted:
    """Fit one attribute.

    Args:
        pooled: (n, C) features.
        labels: what is known of each photograph; None is left out.
        individuals: who it shows; no individual is in two folds.
        folds: of the cross-validation; fewer where there are not as many individuals with the attribute or without.

    Raises:
        MissingExtra: scikit-learn cannot be imported.
        ValueError: fewer than two individuals with the attribute, or without.
    """
    linear = import_optional("sklearn.linear_model", extra="attributes", purpose="training an attribute head")
    known = np.array([label is not None for label in labels])
    truth = np.array([bool(label) for label in labels])[known]
    groups = np.array(individuals)[known]
    features = pooled[known].astype(np.float64)
    mean, spread = features.mean(0), features.std(0)
    spread = np.where(spread > 1e-8, spread, 1.0)
    scaled = (features - mean) / spread
    parts = _folds(truth, groups, folds, seed)
    scores = {penalty: _left_out(linear, scaled, truth, parts, penalty) for penalty in _PENALTIES}
    precision = {penalty: _average_precision(truth, score) for penalty, score in scores.items()}
    best = max(_PENALTIES, key=lambda penalty: (round(precision[penalty], 4), -penalty))
    slope, offset = _platt(linear, scores[best], truth)
    model = _regression(linear, best).fit(scaled, truth)
    weights = model.coef_[0] / spread
    left_out = np.full(len(labels), np.nan)
    left_out[known] = 1 / (1 + np.exp(-(slope * scores[best] + offset)))
    return Fitted(
        weights=weights,
        bias=float(model.intercept_[0] - weights @ mean),
        calibration=(slope, offset),
        penalty=best,
        average_precision=precision[best],
        left_out=left_out,
    )


def _folds(
    truth: NDArray[np.bool_], groups: NDArray[Any], folds: int, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split by individual, so that each part has about as many of either truth."""
    selection = import_optional("sklearn.model_selection", extra="attributes", purpose="training an attribute head")
    fewest = min(len(set(groups[truth])), len(set(groups[~truth])))
    if fewest < 2:
        raise ValueError("an attribute needs two individuals with it and two without")
    splitter = selection.StratifiedGroupKFold(n_splits=min(folds, fewest), shuffle=True, random_state=seed)
    parts = list(splitter.split(np.zeros(len(truth)), truth, groups))
    return [(train, test) for train, test in parts if len(test) and 0 < truth[train].sum() < len(train)]


def _left_out(
    linear: Any,
    scaled: NDArray[np.float64],
    truth: NDArray[np.bool_],
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    penalty: float,
) -> NDArray[np.float64]:
    """Return each photograph's score from a classifier that saw nothing of its individual."""
    scores = np.zeros(len(truth))
    for train, test in parts:
        scores[test] = _regression(linear, penalty).fit(scaled[train], truth[train]).decision_function(scaled[test])
    return scores


def _regression(linear: Any, penalty: float) -> Any:
    return linear.LogisticRegression(C=penalty, class_weight="balanced", max_iter=_ROUNDS)


def _platt(linear: Any, scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit probabilities to left-out scores, without class balance: how often it is there is part of the answer."""
    fitted = linear.LogisticRegression(C=1e3, max_iter=_ROUNDS).fit(scores[:, None], truth)
    return max(0.0, float(fitted.coef_[0, 0])), float(fitted.intercept_[0])


def _average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    metrics = import_optional("sklearn.metrics", extra="attributes", purpose="training an attribute head")
    return float(metrics.average_precision_score(truth, scores))
