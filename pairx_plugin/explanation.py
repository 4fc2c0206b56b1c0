"""One finished explanation: evidence with its chips, settings and provenance, as data and as pictures."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairx_hooks import Failure, ReviewHookError, Status

from .calibration import annotate
from .chips import Chip
from .errors import EvidenceError, PairXError, is_out_of_memory
from .evidence import AttributeEvidence, LayerEvidence, PairEvidence
from .rendering.palettes import palette_named
from .rendering.panels import render
from .rendering.pictures import encode
from .rendering.style import Style
from .settings import Settings

__all__ = ["SCHEMA", "PairExplanation", "failure_of"]

SCHEMA = "pairx.explanation/1"


@dataclass(frozen=True, kw_only=True, eq=False)
class PairExplanation:
    """Why the model finds two chips similar, or why that could not be said.

    Attributes:
        status: ``ready``, ``partial``, ``failed`` or ``unsupported``.
        explainer: id of the explainer.
        query: the query's chip.
        candidate: the candidate's chip, None where it could not be loaded.
        evidence: what was found; None unless ready or partial.
        failure: why there is no evidence, or not all of it; None where there is, or where the rest is still to come.
        settings: what was asked for.
        provenance: model fingerprint, versions, device, seconds.
    """

    status: Status
    explainer: str
    query: Chip
    candidate: Chip | None
    evidence: PairEvidence | None = None
    failure: Failure | None = None
    settings: Settings = field(default_factory=Settings)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @property
    def growing(self) -> bool:
        """Whether more of it is to come."""
        return self.evidence is not None and not self.evidence.final

    @property
    def layers(self) -> tuple[LayerEvidence, ...]:
        """Evidence by layer; empty where there is none."""
        return self.evidence.layers if self.evidence else ()

    @property
    def params(self) -> dict[str, Any]:
        """The settings that the evidence depends on, with the layers that were looked at."""
        params = self.settings.params()
        if self.layers:
            params["layers"] = [layer.layer_key for layer in self.layers]
        return {"layer_key": next(iter(params["layers"]), None), **params}

    @property
    def explanation_id(self) -> str:
        """``sha256:…`` of everything that the evidence depends on; the same inputs give the same id."""
        parts = {
            "chips": [self.query.sha256, self.candidate.sha256 if self.candidate else self._missing()],
            "model": self.provenance.get("model_sha256"),
            "explainer": [self.explainer, self.provenance.get("explainer_version")],
            "params": self.params,
            "version": self.provenance.get("version"),
        }
        if self.evidence is not None and self.evidence.other_chips:
            parts["other_chips"] = list(self.evidence.other_chips)
        return "sha256:" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _missing(self) -> str | None:
        """Return what stands for a candidate that could not be loaded, so that two of them have two ids."""
        return self.failure.message if self.failure else None

    def picture(
        self, view: str = "matches", *, layer: str | None = None, style: Style | None = None
    ) -> NDArray[np.uint8]:
        """Render a view of the pair.

        Args:
            view: ``matches`` (lines), ``heatmask`` (colours), ``both`` or ``clean``.
            layer: key of the layer to show; the first one where it is not given.
            style: how to draw; the settings' palette where it is not given.

        Returns:
            (H, W, 3) uint8 RGB, query at the left.

        Raises:
            EvidenceError: there is nothing to show; :attr:`failure` says why.
        """
        if self.evidence is None or self.candidate is None:
            reason = self.failure.message if self.failure else "no evidence"
            raise EvidenceError(f"there is no picture of an explanation with status '{self.status.value}': {reason}")
        style = style if style is not None else Style(palette=palette_named(self.settings.palette))
        return render(view, self.query.pixels, self.candidate.pixels, self.evidence.layer(layer), style)

    def encoded(self, view: str = "matches", *, picture_format: str | None = None, **options: Any) -> bytes:
        """Render a view and encode it as PNG or WebP; see :meth:`picture`."""
        return encode(self.picture(view, **options), picture_format or self.settings.picture_format)

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as JSON data of schema ``pairx.explanation/1``; no NaN, no infinity.

        The first layer's matches and figures stand at the top, those of further layers under ``other_layers``.
        """
        evidence = self.evidence
        record = {
            "schema": SCHEMA,
            "id": self.explanation_id,
            "created": self.created.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "status": self.status.value,
            "algorithm": self.explainer,
            "model_id": self.provenance.get("model_id", ""),
            "model_sha256": self.provenance.get("model_sha256"),
            "similarity": _finite(evidence.similarity) if evidence else None,
            "params": self.params,
            "images": [_image("query", self.query), *([_image("candidate", self.candidate)] if self.candidate else [])],
            **(_layer(self.layers[0]) if self.layers else {}),
            "other_layers": [_layer(layer) for layer in self.layers[1:]],
            "attributes": [_attribute(attribute) for attribute in evidence.attributes] if evidence else [],
            "abstained": evidence.abstained if evidence else False,
            "missing": list(evidence.missing) if evidence else [],
            "warnings": [doubt.to_json() for doubt in evidence.doubts] if evidence else [],
            "errors": [self.failure.to_json()] if self.failure else [],
            "provenance": dict(self.provenance),
        }
        return annotate(record, self.settings.calibration)


def failure_of(error: BaseException) -> tuple[Status, Failure]:
    """Return the status and the failure that tell of an exception."""
    if isinstance(error, (PairXError, ReviewHookError)):
        unsupported = error.code in ("MODEL_UNSUPPORTED", "EXPLAINER_UNKNOWN", "EXTRA_MISSING")
        failure = Failure(code=error.code, message=str(error), retryable=error.retryable)
        return (Status.UNSUPPORTED if unsupported else Status.FAILED), failure
    if is_out_of_memory(error):
        message = f"not enough memory ({error}); try fewer colours, a smaller batch or a smaller input size"
        return Status.FAILED, Failure(code="OUT_OF_MEMORY", message=message, retryable=True)
    return Status.FAILED, Failure(code="INTERNAL", message=f"{type(error).__name__}: {error}")


def _image(role: str, chip: Chip) -> dict[str, Any]:
    width, height = chip.image_size
    return {
        "role": role,
        "uri": chip.uri,
        "width": width,
        "height": height,
        "bbox": [_finite(value) for value in chip.bbox],
        "theta": _finite(chip.theta),
        "chip": {
            "sha256": chip.sha256,
            "width": chip.width,
            "height": chip.height,
            "to_image": [_finite(value) for value in chip.to_image],
        },
        "warnings": [warning.to_json() for warning in chip.warnings],
    }


def _layer(layer: LayerEvidence) -> dict[str, Any]:
    shares = layer.matches.shares()
    lines = layer.lines
    points_0, points_1 = layer.line_points((1, 1), (1, 1))  # in a picture of size one, points are shares of the chip
    relevances = layer.relevance_0, layer.relevance_1
    pixels = (layer.pixels_0, layer.cut_off_0), (layer.pixels_1, layer.cut_off_1)
    inlier: Sequence[bool | None] = layer.plausibility.inlier if layer.plausibility else ()
    return {
        "layer_key": layer.layer_key,
        "grid": {"0": list(layer.grid_0), "1": list(layer.grid_1)},
        "num_matches": len(layer.matches),
        "matches": [
            {
                "rank": index + 1,
                "kpts0": [round(float(value), 6) for value in points_0[index]],
                "kpts1": [round(float(value), 6) for value in points_1[index]],
                "coord0": [int(value) for value in lines.cells_0[index]],
                "coord1": [int(value) for value in lines.cells_1[index]],
                "relevance": _finite(lines.relevance[index]),
                "relevance_share": _finite(shares[index]),
                "distance": _finite(lines.distance[index]),
                "inlier": None if index >= len(inlier) or inlier[index] is None else bool(inlier[index]),
            }
            for index in range(len(lines))
        ],
        "maps": [
            *(_map("intermediate", side, None, values) for side, values in enumerate(relevances)),
            *(
                {**_map("pixel", side, rank + 1, values), "cut_off": 0.0 if cut_off is None else _finite(cut_off[rank])}
                for side, (maps, cut_off) in enumerate(pixels)
                for rank, values in enumerate(maps)
            ),
        ],
        "plausibility": layer.plausibility.to_json() if layer.plausibility else None,
    }


def _attribute(attribute: AttributeEvidence) -> dict[str, Any]:
    peaks = [attribute.peak(side) for side in (0, 1)]
    return {
        "name": attribute.name,
        "group": attribute.group,
        "kind": attribute.kind,
        "side": attribute.side,
        **{term: _finite(getattr(attribute, term)) for term in ("confidence", "overlap", "prior", "score")},
        "peak0": None if peaks[0] is None else [round(value, 6) for value in peaks[0]],
        "peak1": None if peaks[1] is None else [round(value, 6) for value in peaks[1]],
    }


def _map(kind: str, side: int, rank: int | None, values: NDArray[np.float32]) -> dict[str, Any]:
    height, width = values.shape
    return {
        "kind": kind,
        "side": side,
        "rank": rank,
        "width": width,
        "height": height,
        "vmin": _finite(values.min()),
        "vmax": _finite(values.max()),
    }


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
