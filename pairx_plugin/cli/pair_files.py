"""Writes what came of `pairx-plugin explain`: a folder for each candidate, with pictures and record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pairx_hooks import Artifact, Candidate, Explanation, Failure, RankedQuery

from ..atomic_files import unwritten, write_whole
from ..errors import StoreError
from ..report import ReportQuery, RunFacts, write_report
from ..report.messages import Messages
from ..report.reading import read_record
from ..report.words import Words
from .pair_records import pair_record

__all__ = ["PairFiles", "WrittenPair", "write_pairs", "write_pairs_report"]

_SUFFIXES = {"image/png": ".png", "image/webp": ".webp", "image/jpeg": ".jpg"}
_RECORD = "explanation.json"


@dataclass(frozen=True, kw_only=True)
class WrittenPair:
    """One candidate: its status and its files.

    Attributes:
        words: what the links say, in a few words.
        doubts: sentences about the pair, its photographs and its boxes, as the report has them.
    """

    rank: int
    candidate: str
    status: str
    words: str
    similarity: float | None
    failure: Failure | None
    record: Path
    pictures: tuple[tuple[str, Path], ...]
    doubts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; paths as they were given."""
        return {
            "rank": self.rank,
            "candidate": self.candidate,
            "status": self.status,
            "evidence": self.words,
            "doubts": list(self.doubts),
            "similarity": self.similarity,
            "failure": None if self.failure is None else self.failure.to_json(),
            "record": str(self.record),
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


def write_pairs(
    folder: Path, query: ReportQuery, run: RunFacts, params: Mapping[str, Any], on_pair: Callable[[int, int], None]
) -> PairFiles:
    """Write pictures and a record of every candidate, also of one that failed, each file whole or not at all.

    Args:
        run: which model it was.
        params: the settings that evidence depends on, for records of candidates that have none.
        on_pair: called with how many candidates are written and how many there are.

    Raises:
        StoreError: the folder cannot be made, or the disk is full.
    """
    pairs = []
    for candidate, explanation in zip(query.ranked_query.candidates, query.explanations):
        pairs.append(_write_pair(folder, query.ranked_query, candidate, explanation, run, params))
        on_pair(len(pairs), len(query.explanations))
    return PairFiles(
        query=query.ranked_query.query.image,
        model_id=query.ranked_query.model_id,
        folder=folder,
        pairs=tuple(pairs),
    )


def write_pairs_report(files: PairFiles, query: ReportQuery, run: RunFacts) -> PairFiles:
    """Write the report beside the pictures, and return `files` with its path.

    Raises:
        MissingExtra: Jinja2 cannot be imported.
        StoreError: the report cannot be written.
    """
    path = files.folder / "report.html"
    write_report(path, [query], run=run)
    return replace(files, report=path)


def _write_pair(
    folder: Path,
    ranked_query: RankedQuery,
    candidate: Candidate,
    explanation: Explanation,
    run: RunFacts,
    params: Mapping[str, Any],
) -> WrittenPair:
    image = candidate.annotation.image
    own = folder / f"{explanation.rank:02d}-{_slug(Path(image).stem)}"
    earlier = _earlier_pictures(own)
    pictures = [(artifact, own / name) for artifact, name in zip(explanation.artifacts, _names(explanation.artifacts))]
    for artifact, path in pictures:
        _write(path, artifact.data)
    record = pair_record(ranked_query, candidate, explanation, run=run, params=params, pictures=pictures)
    _write(own / _RECORD, json.dumps(record, indent=1, allow_nan=False).encode("ascii"))
    _remove(earlier - {path for _, path in pictures})
    return WrittenPair(
        rank=explanation.rank,
        candidate=image,
        status=explanation.status.value,
        words=_words(explanation),
        similarity=read_record(explanation.record).similarity,
        failure=explanation.failure,
        record=own / _RECORD,
        pictures=tuple((artifact.version, path) for artifact, path in pictures),
        doubts=tuple(Words(Messages()).doubts(read_record(explanation.record), (), ())),
    )


def _names(artifacts: Collection[Artifact]) -> list[str]:
    """Return a file name for each picture; several layers give several pictures of one version."""
    names: list[str] = []
    for artifact in artifacts:
        stem, suffix = _slug(artifact.version), _SUFFIXES.get(artifact.media_type, ".bin")
        choices = (f"{stem}-{number}" if number > 1 else stem for number in range(1, len(artifacts) + 1))
        names.append(next(choice + suffix for choice in choices if choice + suffix not in names))
    return names


def _earlier_pictures(own: Path) -> set[Path]:
    """Return the pictures that an earlier call left in a candidate's folder, as its record names them."""
    try:
        assets = json.loads((own / _RECORD).read_text(encoding="utf-8"))["assets"]
        names = [str(asset["url"]) for asset in assets]
    except (OSError, ValueError, LookupError, TypeError):  # there was none, or somebody changed it
        return set()
    return {own / name for name in names if Path(name).name == name and Path(name).suffix in _SUFFIXES.values()}


def _remove(pictures: Collection[Path]) -> None:
    """Take away pictures that no record names any more: beside a new one they would tell of another explanation."""
    for path in pictures:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(
                f"the earlier picture {str(path)!r} cannot be removed: {error.strerror or error}; remove it, or choose "
                f"another --output folder"
            ) from error


def _words(explanation: Explanation) -> str:
    """The band and its first reason, as the report has them."""
    layers = read_record(explanation.record).layers
    if not layers:
        return ""
    words = Words(Messages())
    return f"{words.verdict(layers[0].figures)}: {' '.join(words.plausibility(layers[0])[:1])}"


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise unwritten("the file", path, error, "make room, or choose another --output folder") from error


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)[:60].strip("-") or "picture"
