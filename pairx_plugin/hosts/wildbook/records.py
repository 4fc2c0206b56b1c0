"""The explanation record of a pair as it is kept beside the host's pictures (schema ``pairx.explanation/1``).

The explaining plugin's record, with the host's facts under ``host``. Among these is a key of everything the
explanation depends on: a record whose key is not today's is stale.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from pairx_hooks import (
    Annotation,
    Artifact,
    Candidate,
    Explanation,
    Failure,
    RankedQuery,
    Status,
)

from ...explanation import SCHEMA
from ...installed import plugin_version
from ...settings import Settings
from .answers import picture_url
from .options import VIEWS
from .shelf import Shelf, plain_json

__all__ = ["explanation_of", "key_of", "pair_record", "with_failure"]

_FILES = ("calibration", "layer_choice")
_SCORE_TOLERANCE = 0.01  # the host embeds in half precision where it can
_OUTSIDE_OF_KEY = ("explain", "top_k", "batch_size", "time_budget")  # they change neither evidence nor pictures


def key_of(
    settings: Settings, *, explainer_version: str, model: str, chips: tuple[str, str], rivals: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return everything that an explanation depends on, as JSON data.

    Args:
        explainer_version: of the registered explainer.
        model: fingerprint of the network and its preprocessing.
        chips: SHA-256 of the query's and the candidate's chip.
        rivals: of all candidates' chips, where the explainer may compare a candidate with them.
    """
    kept = {name: value for name, value in settings.to_json().items() if name not in _OUTSIDE_OF_KEY}
    params = settings.params()
    kept.update({name: params[name] for name in _FILES if name in params})  # what is in them, not where they lie
    return {
        "settings": kept,
        "explainer_version": explainer_version,
        "plugin_version": plugin_version(),
        "model_sha256": model,
        "chips": list(chips),
        "rivals": list(rivals),
    }


def pair_record(
    ranked_query: RankedQuery, candidate: Candidate, explanation: Explanation, host: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[Artifact, ...]]:
    """Return the record of one candidate, and the pictures that belong to it.

    Args:
        host: the host's facts, with ``extern_reference``, ``qannot_uuid``, ``dannot_uuid`` and ``key``.
    """
    pictures = _chosen(explanation)
    # what somebody's explainer leaves out is filled in, and the status is the contract's
    record = explanation.to_json()["record"]
    for name, value in _bare(ranked_query, candidate, explanation, host).items():
        record.setdefault(name, value)
    record["status"] = explanation.status.value
    for image, annotation in zip(record["images"], (ranked_query.query, candidate.annotation)):
        image["filename"] = annotation.extra["file_name"]
    record.update(rank=candidate.rank, score=candidate.score, score_type="annot", host=dict(host))
    warnings = record.get("warnings")
    record["warnings"] = [*(warnings if isinstance(warnings, list) else []), *_score_doubts(ranked_query, record)]
    where = str(host["extern_reference"]), str(host["qannot_uuid"]), str(host["dannot_uuid"])
    record["assets"] = [
        {
            "version": picture.version,
            "url": picture_url(*where, picture.version),
            "width": picture.width,
            "height": picture.height,
            "content_type": picture.media_type,
        }
        for picture in pictures
    ]
    result: dict[str, Any] = plain_json(record)
    return result, pictures


def with_failure(record: Mapping[str, Any], failure: Failure) -> dict[str, Any]:
    """Return a record that could not be kept: what it says is still true, its pictures are lost."""
    usable = Status(record["status"]).usable
    return {
        **record,
        "status": Status.PARTIAL.value if usable else record["status"],
        "errors": [*record.get("errors", []), failure.to_json()],
        "assets": [],
    }


def explanation_of(
    shelf: Shelf, ranked_query: RankedQuery, candidate: Candidate, record: Mapping[str, Any], *, read: bool = False
) -> Explanation:
    """Return a kept record as the hook contract's explanation; its pictures are paths, and bytes if `read` is set."""
    query, duuid = ranked_query.query.annotation_id, candidate.annotation.annotation_id
    artifacts = []
    for asset in record.get("assets", []):
        path = shelf.picture_path(record, query, duuid, asset["version"])
        if path is not None and path.is_file():
            artifacts.append(
                Artifact(
                    version=asset["version"],
                    media_type=asset["content_type"],
                    width=asset["width"],
                    height=asset["height"],
                    path=str(path),
                    data=path.read_bytes() if read else b"",
                )
            )
    errors = record.get("errors") or []
    return Explanation(
        query_id=ranked_query.query_id,
        candidate_id=duuid,
        rank=candidate.rank,
        status=Status(record["status"]),
        explainer=str(record.get("algorithm", "")),
        record=record,
        artifacts=tuple(artifacts),
        failure=Failure.from_json(errors[0]) if errors else None,
    )


def _chosen(explanation: Explanation) -> tuple[Artifact, ...]:
    """Return one picture for each of the host's versions; plugins may give others, or several."""
    first: dict[str, Artifact] = {}
    for artifact in explanation.artifacts:
        if artifact.version in VIEWS and artifact.data and artifact.media_type in ("image/png", "image/webp"):
            first.setdefault(artifact.version, artifact)
    return tuple(first.values())


def _bare(
    ranked_query: RankedQuery, candidate: Candidate, explanation: Explanation, host: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a record of an explanation that has none of its own: what was tried, and why nothing came of it."""
    key = json.dumps([host["key"], explanation.status.value], sort_keys=True)
    return {
        "schema": SCHEMA,
        "id": f"sha256:{hashlib.sha256(key.encode()).hexdigest()}",
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "status": explanation.status.value,
        "algorithm": explanation.explainer,
        "model_id": ranked_query.model_id,
        "score_scale": ranked_query.score_scale,
        "ranked_by": {"model_id": ranked_query.model_id, "same_model": None},
        "params": host["key"]["settings"],
        "images": [_bare_image("query", ranked_query.query), _bare_image("candidate", candidate.annotation)],
        "errors": [explanation.failure.to_json()] if explanation.failure else [],
        "provenance": {"service": "pairx-plugin", "version": plugin_version()},
    }


def _bare_image(role: str, annotation: Annotation) -> dict[str, Any]:
    return {
        "role": role,
        "annotation_id": annotation.annotation_id,
        "uri": annotation.image,
        "bbox": annotation.bbox,
        "theta": annotation.theta,
    }


def _score_doubts(ranked_query: RankedQuery, record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Doubt the pair where its cosine is not the host's score: the host keeps embeddings by annotation alone.

    After a changed box, another model, or a second database in one process its scores may come from something else
    than what is explained.
    """
    similarity, score = record.get("similarity"), record.get("score")
    if ranked_query.score_scale != "half_cosine" or similarity is None or not score:
        return []
    expected = (1.0 + float(similarity)) / 2.0
    if abs(expected - float(score)) <= _SCORE_TOLERANCE:
        return []
    message = (
        f"the host's score {float(score):.4f} is not what this model says of these chips ({expected:.4f}); "
        "its embeddings may be of another model or of a former box"
    )
    values = {"score": float(score), "expected": expected}
    return [{"code": "SCORE_NOT_REPRODUCED", "message": message, "values": values}]
