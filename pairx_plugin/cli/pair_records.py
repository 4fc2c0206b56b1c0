"""The JSON record of a candidate of `pairx-plugin explain`, also of one that brings none."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any

from pairx_hooks import Annotation, Artifact, Candidate, Explanation, RankedQuery

from ..explanation import SCHEMA
from ..report import RunFacts
from .versions import installed_versions

__all__ = ["pair_record"]


def pair_record(
    ranked_query: RankedQuery,
    candidate: Candidate,
    explanation: Explanation,
    *,
    run: RunFacts,
    params: Mapping[str, Any],
    pictures: Sequence[tuple[Artifact, Path]],
) -> dict[str, Any]:
    """Return a record of schema ``pairx.explanation/1`` with the candidate's rank and its pictures.

    Args:
        run: which model it was.
        params: the settings that the evidence would have depended on.
        pictures: each with the path of its file, which lies beside the record.
    """
    own = explanation.to_json()["record"] or _without_evidence(ranked_query, candidate, explanation, run, params)
    return {
        **own,
        "rank": explanation.rank,
        "assets": [
            {
                "version": artifact.version,
                "url": path.name,
                "width": artifact.width,
                "height": artifact.height,
                "content_type": artifact.media_type,
            }
            for artifact, path in pictures
        ],
    }


def _without_evidence(
    ranked_query: RankedQuery,
    candidate: Candidate,
    explanation: Explanation,
    run: RunFacts,
    params: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is known where no plugin gave a record: what was asked for, of which pair, and what went wrong."""
    images = [_image("query", ranked_query.query), _image("candidate", candidate.annotation)]
    errors = [explanation.failure.to_json()] if explanation.failure else []
    parts = [images, run.model_fingerprint, explanation.explainer, dict(params), explanation.status.value, errors]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    versions = installed_versions()
    return {
        "schema": SCHEMA,
        "id": f"sha256:{digest}",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "status": explanation.status.value,
        "algorithm": explanation.explainer,
        "model_id": run.model_id,
        "model_sha256": run.model_fingerprint,
        "ranked_by": {"model_id": ranked_query.model_id, "same_model": run.model_id == ranked_query.model_id},
        "similarity": None,
        "score": None,
        "score_scale": ranked_query.score_scale,
        "params": dict(params),
        "images": images,
        "other_layers": [],
        "warnings": [],
        "errors": errors,
        "provenance": {
            "service": "pairx-plugin",
            "version": versions.get("pairx-plugin"),
            **{name: versions.get(name) for name in ("python", "torch", "zennit", "numpy")},
        },
    }


def _image(role: str, annotation: Annotation) -> dict[str, Any]:
    """Return what the caller said of a photograph; without a chip nothing else is known of it."""
    return {
        "role": role,
        "annotation_id": annotation.annotation_id,
        "uri": annotation.image,
        "filename": PurePath(annotation.image).name,
        "bbox": None if annotation.bbox is None else list(annotation.bbox),
        "theta": annotation.theta if annotation.theta is None or math.isfinite(annotation.theta) else None,
    }
