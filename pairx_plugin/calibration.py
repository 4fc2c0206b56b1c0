"""From plausibility figures to the share of pairs like these that reviewers confirmed.

A calibration is fitted on a host's own decisions (``pairx-plugin calibrate``), for one network, one layer and one way
to explain, and holds for nothing else. What it says is a share among reviewed pairs: it is high where most of them were
confirmed, and it is no probability that two photographs show one individual.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .errors import SettingsError
from .fitted_files import FittedFile

__all__ = [
    "FIGURES",
    "IDENTITY_PARAMS",
    "SCHEMA",
    "SUFFIX",
    "Applied",
    "Calibration",
    "annotate",
    "applied",
    "figures_of",
]

SCHEMA = "pairx.calibration/1"
SUFFIX = ".calibration.json"  # beside the database, under its name
FIGURES = ("irm_rob", "inlier_fraction", "inlier_excess", "match_coverage")
IDENTITY_PARAMS = ("mode", "channel_reduction", "similarity_seed", "k_lines")
_LARGEST_RATIO = 1000.0
_DOUBTS = {
    "stale": (
        "CALIBRATION_STALE",
        "the calibration is for another network, layer or setting ({reason}) and is not used; make it again with "
        "`pairx-plugin calibrate`",
    ),
    "unreadable": ("CALIBRATION_UNREADABLE", "the calibration is not used: {reason}"),
}


@dataclass(frozen=True, kw_only=True)
class Calibration(FittedFile):
    """A fitted curve with where it comes from and how well it did on individuals that it had not seen.

    Attributes:
        model_sha256, layer_key, explainer, explainer_version, params: what it holds for.
        means, scales, weights, intercept: of the logistic curve over :data:`FIGURES`.
        knots: (score, probability) rising, by which an isotonic curve replaces the logistic one; empty without.
        method: ``logistic`` or ``isotonic``.
        n_same, n_different, n_individuals, n_left_out: what it was fitted on, and decisions that could not be used.
        auc, auc_low, auc_high, brier, calibration_error: on held-out individuals.
        bins: (mean probability, share confirmed, pairs) on held-out individuals.
        created: ISO time.
    """

    schema, noun, command = SCHEMA, "calibration", "calibrate"

    model_sha256: str
    layer_key: str
    explainer: str
    explainer_version: str
    params: Mapping[str, Any]
    method: str
    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    knots: tuple[tuple[float, float], ...] = ()
    n_same: int
    n_different: int
    n_individuals: int
    n_left_out: int = 0
    auc: float
    auc_low: float | None
    auc_high: float | None
    brier: float
    calibration_error: float
    bins: tuple[tuple[float, float, int], ...] = ()
    created: str = ""

    @property
    def separates(self) -> bool:
        """Whether the figures told confirmed from rejected pairs of individuals that were not fitted on."""
        return self.auc_low is not None and self.auc_low > 0.5

    def score(self, figures: Mapping[str, float]) -> float:
        """Return the log odds of the logistic curve for all of :data:`FIGURES`."""
        values = [figures[name] for name in FIGURES]
        parts = zip(values, self.means, self.scales, self.weights)
        return self.intercept + sum((value - mean) / scale * weight for value, mean, scale, weight in parts)

    def probability(self, figures: Mapping[str, float]) -> float:
        """Return the share of reviewed pairs with such figures that were confirmed, in [0, 1]."""
        score = self.score(figures)
        if not self.knots:
            return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, score))))
        if score <= self.knots[0][0]:
            return self.knots[0][1]
        for (left, low), (right, high) in zip(self.knots, self.knots[1:]):
            if score <= right:
                return low + (high - low) * ((score - left) / (right - left) if right > left else 1.0)
        return self.knots[-1][1]

    @property
    def prevalence(self) -> float:
        """Share of the reviewed pairs that were confirmed, whatever their figures."""
        return self.n_same / (self.n_same + self.n_different)

    def likelihood_ratio(self, figures: Mapping[str, float]) -> float:
        """Return how much likelier such figures are among confirmed pairs than among rejected ones, 0.001 to 1000.

        Unlike :meth:`probability` it does not depend on how many of the reviewed pairs were right.
        """
        share = min(max(self.probability(figures), 1e-6), 1.0 - 1e-6)
        ratio = (share / (1.0 - share)) * (self.n_different / self.n_same)
        return min(max(ratio, _LARGEST_RATIO**-1), _LARGEST_RATIO)

    def misfit(self, record: Mapping[str, Any], layer_key: str) -> str:
        """Return the code of what a record has that this calibration is not for; empty where it fits."""
        provenance, params = _mapping(record.get("provenance")), _mapping(record.get("params"))
        if record.get("model_sha256") != self.model_sha256:
            return "MODEL_DIFFERS"
        if layer_key != self.layer_key:
            return "LAYER_DIFFERS"
        made_by = record.get("algorithm"), str(provenance.get("explainer_version"))
        if made_by != (self.explainer, self.explainer_version):
            return "EXPLAINER_DIFFERS"
        if any(params.get(name) != self.params.get(name) for name in IDENTITY_PARAMS):
            return "SETTINGS_DIFFER"
        return ""

    @classmethod
    def _from_json(cls, data: dict[str, Any]) -> Calibration:
        found = cls(**{name: _frozen(value) for name, value in data.items()})
        numbers = [found.means, found.scales, found.weights]
        if any(len(part) != len(FIGURES) for part in numbers):
            raise ValueError(f"means, scales and weights must hold {len(FIGURES)} numbers")
        flat = [float(value) for part in (*numbers, (found.intercept,), *found.knots) for value in part]
        if not all(math.isfinite(value) for value in flat) or min(found.scales) <= 0:
            raise ValueError("a number is not finite, or a scale is not above 0")
        return found


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What a calibration says of one layer of a record.

    Attributes:
        status: ``calibrated``; ``uncalibrated`` without a calibration, or with one whose figures do not tell confirmed
            pairs from rejected ones; ``stale`` where it is for something else; ``unreadable``; ``not_assessed`` where
            figures are missing.
        probability, likelihood_ratio: see :class:`Calibration`; None unless calibrated.
        prevalence: share of all reviewed pairs that were confirmed; None unless calibrated.
        reason: a code for what is in the way; empty where nothing is.
        digest: of the calibration, None without one.
    """

    status: str = "uncalibrated"
    probability: float | None = None
    likelihood_ratio: float | None = None
    prevalence: float | None = None
    reason: str = ""
    digest: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def applied(path: str, record: Mapping[str, Any], layer_key: str, figures: Mapping[str, Any] | None) -> Applied:
    """Return what the calibration in a file says of one layer's figures; nothing is raised.

    Args:
        path: of the file; empty for none.
        record: of the explanation, with its model, explainer, settings and versions.
        figures: the layer's plausibility as JSON, None where there is none.
    """
    if not path:
        return Applied()
    try:
        calibration = Calibration.from_file(path)
    except SettingsError as error:
        return Applied(status="unreadable", reason=str(error))
    digest = calibration.digest
    if misfit := calibration.misfit(record, layer_key):
        return Applied(status="stale", reason=misfit, digest=digest)
    if not calibration.separates:
        return Applied(reason="FIGURES_DO_NOT_SEPARATE", digest=digest)
    known = figures_of(figures or {})
    if known is None:
        return Applied(status="not_assessed", reason="FIGURES_MISSING", digest=digest)
    return Applied(
        status="calibrated",
        probability=calibration.probability(known),
        likelihood_ratio=calibration.likelihood_ratio(known),
        prevalence=calibration.prevalence,
        digest=digest,
    )


def annotate(record: dict[str, Any], path: str) -> dict[str, Any]:
    """Write into a record what a calibration says of each of its layers, and a doubt where it cannot say anything.

    Args:
        record: of an explanation; the figures of its layers gain ``calibration``.
        path: of the calibration; empty or ``none`` for none.
    """
    path = "" if path == "none" else path
    for number, layer in enumerate([record, *record.get("other_layers", ())]):
        figures = layer.get("plausibility")
        if not isinstance(figures, Mapping):
            continue
        said = applied(path, record, str(layer.get("layer_key")), figures)
        layer["plausibility"] = {**figures, "calibration": said.to_json()}
        if number == 0 and said.status in _DOUBTS:
            code, message = _DOUBTS[said.status]
            doubt = {"code": code, "message": message.format(reason=said.reason), "values": {"reason": said.reason}}
            record["warnings"] = [*record.get("warnings", ()), doubt]
    return record


def figures_of(plausibility: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the figures that a calibration looks at; None where one of them is missing.

    >>> figures_of({"irm_rob": 0.5, "inlier_fraction": 0.6, "n_inliers": 12, "n_chance": 6, "n_tested": 20,
    ...             "match_coverage": 0.2})["inlier_excess"]
    0.3
    """
    known = {name: _number(plausibility.get(name)) for name in ("irm_rob", "inlier_fraction", "match_coverage")}
    inliers, chance, tested = (_number(plausibility.get(name)) for name in ("n_inliers", "n_chance", "n_tested"))
    excess = None if inliers is None or chance is None or not tested else (inliers - chance) / tested
    found = {**known, "inlier_excess": excess}
    return None if None in found.values() else {name: float(found[name]) for name in FIGURES}  # type: ignore[arg-type]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
