"""Fits a calibration on decisions, and says how well it does on individuals that it has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration import FIGURES, IDENTITY_PARAMS, Calibration, figures_of
from ..errors import CalibrationRefused, SettingsError
from .attribute_figures import calibration_error
from .bootstrap import bootstrap
from .packages import scikit_learn
from .separation import auc

__all__ = [
    "LEAST",
    "LEAST_INDIVIDUALS",
    "LEAST_OF_EACH",
    "METHODS",
    "Identity",
    "JudgedPair",
    "fit_calibration",
    "identities",
    "missing_decisions",
]

Floats = NDArray[np.float64]

METHODS = ("logistic", "isotonic")
LEAST, LEAST_OF_EACH, LEAST_INDIVIDUALS = 100, 30, 10
_FOLDS, _BINS = 5, 10
Identity = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class JudgedPair:
    """A pair that a reviewer confirmed or rejected, with the record of its explanation.

    Attributes:
        individual_0, individual_1: whom the host knows the two animals for, or their annotation ids.
        same: confirmed.
    """

    individual_0: str
    individual_1: str
    same: bool
    record: Mapping[str, Any]

    @property
    def identity(self) -> Identity:
        """Network, layer, explainer and settings that the record was made with."""
        provenance, params = (self.record.get(name) or {} for name in ("provenance", "params"))
        parts = (self.record.get("model_sha256"), self.record.get("layer_key"), self.record.get("algorithm"))
        settings = tuple(params.get(name) for name in IDENTITY_PARAMS)
        return (*parts, str(provenance.get("explainer_version")), *settings)

    @property
    def figures(self) -> dict[str, float] | None:
        """The figures that a calibration looks at."""
        return figures_of(self.record.get("plausibility") or {})


def identities(pairs: Iterable[JudgedPair]) -> list[tuple[Identity, int]]:
    """Return what the pairs were explained with, the most frequent first."""
    counted: dict[Identity, int] = {}
    for pair in pairs:
        counted[pair.identity] = counted.get(pair.identity, 0) + 1
    return sorted(counted.items(), key=lambda item: -item[1])


def fit_calibration(
    pairs: Sequence[JudgedPair], *, method: str = "logistic", least: int = LEAST, n_left_out: int = 0, seed: int = 0
) -> Calibration:
    """Fit a calibration on pairs that were all explained with the same network, layer and settings.

    The figures that it reports are of held-out individuals: a pair is predicted by a fit on pairs none of whose two
    animals is one of those of its fold.

    Args:
        pairs: decisions with figures.
        method: ``logistic``, or ``isotonic`` on top of it, which needs many more decisions.
        least: smallest number of decisions.
        n_left_out: decisions that could not be used, for the record.

    Raises:
        CalibrationRefused: there are too few decisions, of too few individuals or of one kind, or none that hold out.
        SettingsError: no such method, or the pairs were not all explained alike.
    """
    if method not in METHODS:
        raise SettingsError(f"there is no calibration method {method!r}; choose from: {', '.join(METHODS)}")
    usable = [pair for pair in pairs if pair.figures is not None]
    n_left_out += len(pairs) - len(usable)
    if len({pair.identity for pair in usable}) > 1:
        raise SettingsError("the pairs were explained with several networks, layers or settings; fit one at a time")
    _check_enough(usable, least, n_left_out)
    values = np.array([[pair.figures[name] for name in FIGURES] for pair in usable if pair.figures is not None])
    same = np.array([pair.same for pair in usable])
    held_out = _held_out(usable, values, same, method, seed)
    seen = np.isfinite(held_out)
    if len(set(same[seen])) < 2:
        raise CalibrationRefused(
            "no pair of both kinds could be held out: nearly all decisions are about the same few individuals; decide "
            "more pairs of other individuals"
        )
    fitted = _fit(values, same, method)
    area = _area(held_out[seen], same[seen], [pair.individual_0 for pair, ok in zip(usable, seen) if ok], seed)
    identity = usable[0].identity
    return Calibration(
        model_sha256=str(identity[0]),
        layer_key=str(identity[1]),
        explainer=str(identity[2]),
        explainer_version=str(identity[3]),
        params=dict(zip(IDENTITY_PARAMS, identity[4:])),
        method=method,
        n_same=int(same.sum()),
        n_different=int((~same).sum()),
        n_individuals=len(_individuals(usable)),
        n_left_out=n_left_out,
        auc=area[0],
        auc_low=area[1],
        auc_high=area[2],
        brier=float(((held_out[seen] - same[seen]) ** 2).mean()),
        calibration_error=calibration_error(held_out[seen], list(same[seen])) or 0.0,
        bins=_bins(held_out[seen], same[seen]),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        **fitted,
    )


def missing_decisions(
    n_same: int, n_different: int, n_individuals: int, least: int, *, what: str = "usable decisions"
) -> list[str]:
    """Return of what there is too little to calibrate on; empty where there is enough.

    >>> missing_decisions(40, 10, 12, 100)
    ['50 usable decisions, 100 needed', '10 rejected pairs, 30 needed']
    """
    share = min(LEAST_OF_EACH, max(1, least // 3))
    wanted = [
        (n_same + n_different, least, what),
        (n_same, share, "confirmed pairs"),
        (n_different, share, "rejected pairs"),
        (n_individuals, LEAST_INDIVIDUALS, "individuals"),
    ]
    return [f"{there} {words}, {needed} needed" for there, needed, words in wanted if there < needed]


def _check_enough(pairs: Sequence[JudgedPair], least: int, n_left_out: int) -> None:
    n_same = sum(pair.same for pair in pairs)
    missing = missing_decisions(n_same, len(pairs) - n_same, len(_individuals(pairs)), least)
    if missing:
        raise CalibrationRefused(
            f"there is too little to calibrate on: {'; '.join(missing)} ({n_left_out} decisions left out, as their "
            f"pairs have no figures, or of another network, layer or setting); confirm and reject more pairs on the "
            f"review page, and explain them"
        )


def _individuals(pairs: Sequence[JudgedPair]) -> set[str]:
    return {name for pair in pairs for name in (pair.individual_0, pair.individual_1)}


def _held_out(pairs: Sequence[JudgedPair], values: Floats, same: NDArray[np.bool_], method: str, seed: int) -> Floats:
    """Return each pair's probability by a fit that has seen neither of its animals; NaN where none could be made."""
    names = sorted(_individuals(pairs))
    shuffled = np.random.default_rng(seed).permutation(np.array(names)).tolist()
    folds = {name: number % _FOLDS for number, name in enumerate(shuffled)}
    found = np.full(len(pairs), np.nan)
    for fold in range(_FOLDS):
        test = np.array([folds[pair.individual_0] == fold for pair in pairs])
        held = _individuals([pair for pair, is_test in zip(pairs, test) if is_test])
        train = np.array([not {pair.individual_0, pair.individual_1} & held for pair in pairs])
        if test.any() and len(set(same[train])) == 2:
            # leaving animals out takes more rejected pairs than confirmed ones, as those have two of them each
            fitted = _fit(values[train], same[train], method, share=float(same.mean()))
            found[test] = _predict(fitted, values[test])
    return found


def _fit(values: Floats, same: NDArray[np.bool_], method: str, share: float | None = None) -> dict[str, Any]:
    """Fit a curve; with `share`, pairs weigh as if that share of them had been confirmed."""
    own = float(same.mean())
    wanted = own if share is None else share
    weight = np.where(same, wanted / own, (1.0 - wanted) / (1.0 - own))
    means, scales = values.mean(axis=0), values.std(axis=0)
    scales = np.where(scales > 0, scales, 1.0)
    scaled = (values - means) / scales
    model = scikit_learn("linear_model").LogisticRegression(C=1.0, max_iter=1000)
    model.fit(scaled, same, sample_weight=weight)
    knots: tuple[tuple[float, float], ...] = ()
    if method == "isotonic":
        scores = scaled @ model.coef_[0] + model.intercept_[0]
        curve = scikit_learn("isotonic").IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        curve.fit(scores, same.astype(float), sample_weight=weight)
        knots = tuple((float(x), float(y)) for x, y in zip(curve.X_thresholds_, curve.y_thresholds_))
    return {
        "means": tuple(map(float, means)),
        "scales": tuple(map(float, scales)),
        "weights": tuple(map(float, model.coef_[0])),
        "intercept": float(model.intercept_[0]),
        "knots": knots,
    }


def _predict(fitted: Mapping[str, Any], values: Floats) -> Floats:
    scores = ((values - fitted["means"]) / fitted["scales"]) @ np.array(fitted["weights"]) + fitted["intercept"]
    if fitted["knots"]:
        x, y = np.array(fitted["knots"]).T
        curve: Floats = np.interp(scores, x, y)
        return curve
    logistic: Floats = 1.0 / (1.0 + np.exp(-np.clip(scores, -700, 700)))
    return logistic


def _area(
    predicted: Floats, same: NDArray[np.bool_], individuals: Sequence[str], seed: int
) -> tuple[float, float | None, float | None]:
    def statistic(rows: NDArray[np.intp]) -> float | None:
        return auc(predicted[rows][same[rows]], predicted[rows][~same[rows]])

    found = bootstrap(statistic, individuals, seed=seed)
    return float(found.value or 0.5), found.low, found.high


def _bins(predicted: Floats, same: NDArray[np.bool_]) -> tuple[tuple[float, float, int], ...]:
    place = np.clip((predicted * _BINS).astype(int), 0, _BINS - 1)
    return tuple(
        (float(predicted[place == b].mean()), float(same[place == b].mean()), int((place == b).sum()))
        for b in np.unique(place)
    )
