"""Writes what came of `pairx-plugin explain`: a folder for each candidate, with pictures and record."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pairx_hooks import Explanation, Failure

from ..errors import StoreError
from ..report import Note, ReportQuery, RunFacts, write_report
from ..report.messages import Messages
from ..report.reading import read_record
from ..report.words import Words

__all__ = ["PairFiles", "WrittenPair", "write_pairs", "write_pairs_report"]

_SUFFIXES = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}


@dataclass(frozen=True, kw_only=True)
class WrittenPair:
    """One candidate: its status and its files.

    Attributes:
        words: what the links say, in a few words.
    """

    rank: int
    candidate: str
    status: str
    words: str
    similarity: float | None
    failure: Failure | None
    record: Path | None
    pictures: tuple[tuple[str, Path], ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; paths as they were given."""
        return {
            "rank": self.rank,
            "candidate": self.candidate,
            "status": self.status,
            "evidence": self.words,
            "similarity": self.similarity,
            "failure": None if self.failure is None else self.failure.to_json(),
            "record": None if self.record is None else str(self.record),
            "pictures": {version: str(path) for version, path in self.pictures},
        }


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """Everything that was written."""

    query: str
    model_id: str
    folder: Path
    pairs: tuple[WrittenPair, ...]
    report: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "query": self.query,
            "model_id": self.model_id,
            "output": str(self.folder),
            "report": None if self.report is None else str(self.report),
            "explanations": [pair.to_json() for pair in self.pairs],
        }


def write_pairs(folder: Path, query: ReportQuery, on_pair: Callable[[int, int], None]) -> PairFiles:
    """Write pictures and records of all candidates, each file whole or not at all.

    Raises:
        StoreError: the folder cannot be made, or the disk is full.
    """
    pairs = []
    for done, explanation in enumerate(query.explanations, start=1):
        image = query.ranked_query.candidates[done - 1].annotation.image
        pairs.append(_write_pair(folder, image, explanation))
        on_pair(done, len(query.explanations))
    return PairFiles(
        query=query.ranked_query.query.image,
        model_id=query.ranked_query.model_id,
        folder=folder,
        pairs=tuple(pairs),
    )


def write_pairs_report(files: PairFiles, query: ReportQuery, notes: tuple[str, ...]) -> PairFiles:
    """Write the report beside the pictures, and return `files` with its path.

    Raises:
        MissingExtra: Jinja2 cannot be imported.
        StoreError: the report cannot be written.
    """
    path = files.folder / "report.html"
    run = RunFacts(model_id=files.model_id, notes=[Note(code="MODEL_NOTE", message=note) for note in notes])
    write_report(path, [query], run=run)
    return replace(files, report=path)


def _write_pair(folder: Path, image: str, explanation: Explanation) -> WrittenPair:
    own = folder / f"{explanation.rank:02d}-{_slug(Path(image).stem)}"
    pictures = []
    for number, artifact in enumerate(explanation.artifacts):
        again = [item.version for item in explanation.artifacts[:number]].count(artifact.version)
        name = (
            _slug(artifact.version) + (f"-{again + 1}" if again else "") + _SUFFIXES.get(artifact.media_type, ".bin")
        )
        _write(own / name, artifact.data)
        pictures.append((artifact.version, own / name))
    record: Path | None = None
    if explanation.record:
        record = own / "explanation.json"
        data = explanation.to_json()["record"]
        data["assets"] = [
            {
                "version": artifact.version,
                "url": path.name,
                "width": artifact.width,
                "height": artifact.height,
                "content_type": artifact.media_type,
            }
            for artifact, (_, path) in zip(explanation.artifacts, pictures)
        ]
        _write(record, json.dumps(data, indent=1, allow_nan=False).encode("ascii"))
    facts = read_record(explanation.record)
    return WrittenPair(
        rank=explanation.rank,
        candidate=image,
        status=explanation.status.value,
        words=_words(explanation),
        similarity=facts.similarity,
        failure=explanation.failure,
        record=record,
        pictures=tuple(pictures),
    )


def _words(explanation: Explanation) -> str:
    """The band and its first reason, as the report has them."""
    layers = read_record(explanation.record).layers
    if not layers:
        return ""
    words = Words(Messages())
    band = words.say(f"BAND_{words.band(layers[0].figures).name}")
    return f"{band} ({words.say('UNCALIBRATED')}): {' '.join(words.plausibility(layers[0])[:1])}"


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreError(
            f"{str(path)!r} cannot be written: {error.strerror or error}; make room, or choose another --output folder"
        ) from error


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:60].strip("-") or "picture"
