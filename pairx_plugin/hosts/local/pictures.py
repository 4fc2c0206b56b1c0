"""Writes an explanation into the host's output folder: its pictures, and the JSON record beside them."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pairx_hooks import Artifact, Explanation, Failure, RankedQuery, Status

from ...atomic_files import write_whole
from .database import ExplanationEntry

__all__ = ["write_explanation"]

logger = logging.getLogger(__name__)

_SUFFIXES = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg", "image/svg+xml": ".svg"}
_FULL = {errno.ENOSPC, errno.EDQUOT}


def write_explanation(output: Path, ranked_query: RankedQuery, explanation: Explanation) -> ExplanationEntry:
    """Write pictures and record of one candidate, each file whole or not at all, and say where they are.

    A picture that cannot be written costs itself alone: the rest is kept, the status becomes ``partial``
    and the failure says why. Nothing is raised for a full disk or a folder without rights.

    Returns:
        What belongs on the review record; paths are relative to `output`.
    """
    folder = output / _folder(ranked_query, explanation)
    pictures, failure = _write_pictures(output, folder, explanation)
    record = _record(explanation, pictures, failure)
    record_path: str | None = None
    if record is not None:
        try:
            write_whole(folder / "explanation.json", _encoded(record))
            record_path = (folder / "explanation.json").relative_to(output).as_posix()
        except OSError as error:
            failure = _joined([*([failure] if failure else []), _failure(error, "the JSON record")])
    if failure is not None:
        logger.warning(
            "query %s, candidate %s: %s", ranked_query.query_id, explanation.candidate_id, failure.message
        )
    found = failure or explanation.failure
    return ExplanationEntry(
        candidate_id=explanation.candidate_id,
        status=_status(explanation, failure).value,
        explainer=explanation.explainer or None,
        record=record,
        failure=None if found is None else found.to_json(),
        pictures=tuple(pictures),
        record_path=record_path,
    )


def _write_pictures(
    output: Path, folder: Path, explanation: Explanation
) -> tuple[list[dict[str, Any]], Failure | None]:
    """Return what was written, and why something was not."""
    pictures: list[dict[str, Any]] = []
    failures: list[Failure] = []
    taken: set[str] = set()
    for artifact in explanation.artifacts:
        try:
            path = folder / _file_name(artifact, taken)
            write_whole(path, artifact.data)
        except (OSError, ValueError) as error:
            failures.append(_failure(error, f"the picture '{artifact.version}'"))
        else:
            pictures.append({**artifact.to_json(), "path": path.relative_to(output).as_posix()})
    return pictures, _joined(failures) if failures else None


def _record(
    explanation: Explanation, pictures: Sequence[Mapping[str, Any]], failure: Failure | None
) -> dict[str, Any] | None:
    """Return the plugin's record with the pictures as they lie beside it, and with what became of them."""
    if not explanation.record:
        return None
    record: dict[str, Any] = explanation.to_json()["record"]
    record["assets"] = [_asset(picture) for picture in pictures]
    if failure is not None and "status" in record:
        errors = record.get("errors")
        record["status"] = _status(explanation, failure).value
        record["errors"] = [*(errors if isinstance(errors, list) else []), failure.to_json()]
    return record


def _status(explanation: Explanation, failure: Failure | None) -> Status:
    if failure is not None and explanation.status.usable:
        return Status.PARTIAL
    return explanation.status


def _folder(ranked_query: RankedQuery, explanation: Explanation) -> Path:
    query = f"{_slug(ranked_query.query.annotation_id)}-{_short(ranked_query.query_id)}"
    candidate = f"{explanation.rank:03d}-{_slug(explanation.candidate_id)}-{_short(explanation.candidate_id)}"
    return Path("pictures") / query / candidate


def _file_name(artifact: Artifact, taken: set[str]) -> str:
    if not artifact.data:
        raise ValueError(f"the plugin gave no bytes for {artifact.media_type}")
    if artifact.media_type not in _SUFFIXES:
        raise ValueError(f"media type {artifact.media_type!r:.60} is none of {', '.join(_SUFFIXES)}")
    stem = _slug(artifact.version)
    name, n = stem, 1
    while name in taken:  # several layers give several pictures of one version
        n += 1
        name = f"{stem}-{n}"
    taken.add(name)
    return name + _SUFFIXES[artifact.media_type]


def _asset(picture: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": picture["version"],
        "url": str(picture["path"]).rsplit("/", 1)[-1],
        "width": picture["width"],
        "height": picture["height"],
        "content_type": picture["media_type"],
    }


def _encoded(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, indent=1, allow_nan=False).encode("ascii")


def _failure(error: Exception, what: str) -> Failure:
    if isinstance(error, OSError):
        advice = "make room on the disk" if error.errno in _FULL else "check the rights of the output folder"
        message = f"{what} could not be written: {error.strerror or error}; {advice} and explain again"
        return Failure(code="PICTURE_NOT_WRITTEN", message=message, retryable=True)
    return Failure(code="PICTURE_INVALID", message=f"{what} was not kept: {error}")


def _joined(failures: Sequence[Failure]) -> Failure:
    message = "; ".join(failure.message for failure in failures)
    retryable = all(failure.retryable for failure in failures)
    return Failure(code=failures[0].code, message=message, retryable=retryable)


def _slug(text: str) -> str:
    return (
        "".join(part if part.isascii() and (part.isalnum() or part in "-_") else "-" for part in text)[:60]
        or "-"
    )


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:10]
