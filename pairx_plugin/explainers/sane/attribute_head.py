"""The attribute head: a linear map from a layer's frozen features to named attributes, and all that is known of them.

It is one JSON file, so that using it needs nothing but NumPy and torch. `training` makes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...atomic_files import unwritten, write_whole
from ...errors import ModelError, SettingsError

__all__ = ["EVIDENCE_GROUPS", "GROUPS", "HEAD_FILE", "AttributeHead", "AttributeLabel", "Reading", "read_head"]

SCHEMA = "pairx.attribute-head/1"
HEAD_FILE = "attribute_head.json"
"""Name of the head that lies beside a checkpoint."""

EVIDENCE_GROUPS = ("mark", "pattern", "part")
"""Groups that can explain a similarity: distinctive marks, coat pattern, body parts."""
GROUPS = (*EVIDENCE_GROUPS, "viewpoint", "nuisance")
"""Viewpoints guard, nuisances alarm."""


@dataclass(frozen=True, kw_only=True)
class AttributeLabel:
    """One attribute and what is known of it.

    Attributes:
        name: such as ``scar``.
        group: one of :data:`GROUPS`.
        calibration: (a, b) of Platt's ``1 / (1 + exp(-(a score + b)))``.
        threshold: pair confidence from which it is named; None where it was never right often enough to be named.
        concept: share of individuals whose similarity grows along the attribute; 0.5 where that might be chance.
        informativeness: how much it tells of the individual within a species, of what it could tell: I / H.
        n_positive, n_individuals: photographs and individuals that it was learnt from.
        average_precision: on individuals that were left out, in [0, 1]; None where it was not measured.
    """

    name: str
    group: str
    calibration: tuple[float, float] = (1.0, 0.0)
    threshold: float | None = None
    concept: float = 0.5
    informativeness: float = 1.0
    n_positive: int = 0
    n_individuals: int = 0
    average_precision: float | None = None

    @property
    def prior(self) -> float:
        """The third term of the ranking: concept times informativeness."""
        return self.concept * self.informativeness


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """What a head reads in one picture: (A,) probabilities in [0, 1] and (A, h, w) float32 maps, mean = score."""

    probability: NDArray[np.float64]
    maps: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class AttributeHead:
    """A linear head on one layer of one network.

    Attributes:
        model_sha256: fingerprint of the network that it was fitted on.
        layer: key of the layer whose feature map it reads.
        labels: the A attributes.
        weights: (A, C) float32.
        bias: (A,) float32.
        ranking: weights of confidence, overlap and prior; at least 0 and 1 in sum.
        provenance: how it was made.

    Raises:
        ModelError: the parts do not fit together.
    """

    model_sha256: str
    layer: str
    labels: tuple[AttributeLabel, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    ranking: tuple[float, float, float] = (1 / 3, 1 / 3, 1 / 3)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.labels)
        if self.weights.ndim != 2 or len(self.weights) != n or self.bias.shape != (n,):
            raise ModelError(
                f"an attribute head of {n} labels needs weights ({n}, C) and bias ({n},), "
                f"not {self.weights.shape} and {self.bias.shape}"
            )
        if not (np.isfinite(self.weights).all() and np.isfinite(self.bias).all()):
            raise ModelError("the attribute head has weights that are not finite; train it again")
        if len(self.ranking) != 3 or min(self.ranking) < 0 or abs(sum(self.ranking) - 1) > 1e-3:
            raise ModelError(f"the ranking's weights must be three, at least 0 and 1 in sum, not {self.ranking}")
        for label in self.labels:
            if label.group not in GROUPS:
                raise ModelError(f"attribute '{label.name}' has no group {label.group!r}; groups: {', '.join(GROUPS)}")

    @property
    def digest(self) -> str:
        """Hexadecimal SHA-256 of all that shapes what the head says."""
        body = {key: value for key, value in self.to_json().items() if key != "provenance"}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def read(self, features: torch.Tensor) -> Reading:
        """Read a feature map (C, h, w).

        Raises:
            ModelError: it has another number of channels.
        """
        if features.ndim != 3 or features.shape[0] != self.weights.shape[1]:
            raise ModelError(
                f"the attribute head reads {self.weights.shape[1]} channels of layer '{self.layer}', which gives "
                f"{tuple(features.shape)}; train it again for this network"
            )
        weights = torch.from_numpy(self.weights).to(features.device)
        maps = torch.einsum("ac,chw->ahw", weights, features.float()).cpu().numpy() + self.bias[:, None, None]
        slopes = np.array([label.calibration for label in self.labels], np.float64).reshape(-1, 2)
        score = maps.mean((1, 2), dtype=np.float64) * slopes[:, 0] + slopes[:, 1]
        return Reading(probability=1 / (1 + np.exp(-np.clip(score, -60, 60))), maps=maps.astype(np.float32))

    def to_json(self) -> dict[str, Any]:
        """Return the head as JSON data; numbers keep seven digits."""
        return {
            "schema": SCHEMA,
            "model_sha256": self.model_sha256,
            "layer": self.layer,
            "ranking": {name: round(w, 6) for name, w in zip(("confidence", "overlap", "prior"), self.ranking)},
            "labels": [
                {
                    "name": label.name,
                    "group": label.group,
                    "bias": float(f"{self.bias[index]:.7g}"),
                    "calibration": [float(f"{value:.7g}") for value in label.calibration],
                    "threshold": label.threshold,
                    "concept": label.concept,
                    "informativeness": label.informativeness,
                    "n_positive": label.n_positive,
                    "n_individuals": label.n_individuals,
                    "average_precision": label.average_precision,
                    "weights": [float(f"{value:.7g}") for value in self.weights[index]],
                }
                for index, label in enumerate(self.labels)
            ],
            "provenance": dict(self.provenance),
        }

    def write(self, path: Path) -> None:
        """Write the head, whole or not at all.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            write_whole(path, json.dumps(self.to_json(), indent=1) + "\n")
        except OSError as error:
            raise unwritten("the attribute head", path, error) from error


def read_head(path: Path) -> AttributeHead:
    """Read a head's file.

    Raises:
        SettingsError: there is no such file.
        ModelError: it is no attribute head, or damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"there is no attribute head at {str(path)!r} ({error.strerror or error}); "
            f"make one with `pairx-plugin train-attributes`"
        ) from error
    except ValueError as error:
        advice = "give a file of `pairx-plugin train-attributes`"
        raise ModelError(f"{path.name!r} is not JSON ({error}); {advice}") from error
    try:
        if data["schema"] != SCHEMA:
            raise ModelError(f"{path.name!r} is of schema {data['schema']!r}, not {SCHEMA!r}; train the head again")
        return _head(data)
    except ModelError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path.name!r} is no attribute head: {type(error).__name__}: {error}") from error


def _head(data: Mapping[str, Any]) -> AttributeHead:
    labels, ranking = data["labels"], data["ranking"]
    return AttributeHead(
        model_sha256=str(data["model_sha256"]),
        layer=str(data["layer"]),
        labels=tuple(
            AttributeLabel(
                name=str(item["name"]),
                group=str(item["group"]),
                calibration=(float(item["calibration"][0]), float(item["calibration"][1])),
                threshold=None if item["threshold"] is None else float(item["threshold"]),
                concept=float(item["concept"]),
                informativeness=float(item["informativeness"]),
                n_positive=int(item["n_positive"]),
                n_individuals=int(item["n_individuals"]),
                average_precision=item.get("average_precision"),
            )
            for item in labels
        ),
        weights=np.array([item["weights"] for item in labels], np.float32).reshape(len(labels), -1),
        bias=np.array([item["bias"] for item in labels], np.float32),
        ranking=(float(ranking["confidence"]), float(ranking["overlap"]), float(ranking["prior"])),
        provenance=dict(data.get("provenance") or {}),
    )
