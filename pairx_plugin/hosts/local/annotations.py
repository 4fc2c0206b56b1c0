"""Reads annotations from a CSV file in MiewID's layout.

``theta, viewpoint, name, file_name, species, file_path, x, y, w, h``: one row per animal, box in pixels after
the EXIF turn, theta in radians. A row that cannot be read is reported with its number and skipped; the rest
goes on.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pairx_hooks import Annotation

from ...errors import HostError, nearest

__all__ = ["AnnotationTable", "Problem", "read_annotations", "select_queries"]

_REQUIRED = ("file_path", "x", "y", "w", "h", "theta", "name")
_OPTIONAL = ("file_name", "species", "viewpoint", "uuid")
_NO_NAME = {"", "____"}  # Wildbook writes four underscores for an animal without a name
_NUL = "\ue000"  # stands in for NUL, at which the csv module of Python 3.10 gives the whole file up
_NO_ANGLE = {"", "nan", "none", "null"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that was left out of a run, and why.

    Attributes:
        code: stable upper-case identifier.
        message: a sentence for a person.
        where: the row, annotation or query that it is about.
        values: the figures of the sentence by name, for a sentence in another language.
    """

    code: str
    message: str
    where: str = ""
    values: Mapping[str, float] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "where": self.where, "values": dict(self.values)}


@dataclass(frozen=True, kw_only=True)
class AnnotationTable:
    """What a file of annotations holds: the readable ones in the file's order, and what was skipped."""

    annotations: tuple[Annotation, ...]
    problems: tuple[Problem, ...] = ()


def read_annotations(path: Path, images: Path) -> AnnotationTable:
    """Read a CSV file of annotations.

    Args:
        path: UTF-8, with or without a byte order mark, any line ends.
        images: folder that relative ``file_path`` entries start from.

    Returns:
        Annotations in the file's order. Their ids are the ``uuid`` column's, or made of ``file_path`` and
        box, so that they stay the same from run to run and from machine to machine. A box whose four cells
        are all empty means the whole photograph; an empty theta or one that is NaN means that the angle is
        not known.

    Raises:
        HostError: the file cannot be read, lacks columns (all of them are named), or has no usable row.
    """
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        columns = [str(name).strip() for name in reader.fieldnames or ()]
        _check_columns(path, columns)
        reader.fieldnames = columns
        found: dict[str, Annotation] = {}
        problems: list[Problem] = []
        for where, row in _rows(reader):
            annotation = _read_row(where, row, images, problems)
            if annotation is not None and _is_new(where, annotation, found, problems):
                found[annotation.annotation_id] = annotation
    except csv.Error as error:
        raise HostError(
            f"the annotations {str(path)!r} are not CSV at line {reader.line_num}: {error}"
        ) from error
    if not found:
        reasons = "; ".join(problem.message for problem in problems[:3]) or "it has a header and no rows"
        raise HostError(f"the annotations {str(path)!r} hold no usable row: {reasons}")
    return AnnotationTable(annotations=tuple(found.values()), problems=tuple(problems))


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise HostError(f"cannot read the annotations {str(path)!r}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise HostError(
            f"the annotations {str(path)!r} are not UTF-8 at byte {error.start}; save the file as 'CSV UTF-8'"
        ) from error
    if not text.strip():
        raise HostError(
            f"the annotations {str(path)!r} are empty; the first line must name: {', '.join(_REQUIRED)}"
        )
    return text.replace("\0", _NUL)


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        strange = [name for name in columns if name not in (*_REQUIRED, *_OPTIONAL)]
        hints = "".join(
            f" ('{name}' may be misspelt: {close[2:]})"
            for name in strange
            if (close := nearest(name, missing))
        )
        commas = " The columns must be separated by commas." if len(columns) == 1 else ""
        raise HostError(
            f"the annotations {str(path)!r} lack the columns {', '.join(missing)}{hints}; found: "
            f"{', '.join(columns)[:300]}.{commas}"
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise HostError(
            f"the annotations {str(path)!r} have columns of the same name: {', '.join(twice)}; rename them"
        )


def _rows(reader: csv.DictReader[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in reader:
        if any(value and str(value).strip() for value in row.values()):
            yield f"row {reader.line_num}", row


def _read_row(where: str, row: Mapping[str, Any], images: Path, problems: list[Problem]) -> Annotation | None:
    try:
        cells = _cells(row)
        file_path = cells["file_path"].replace("\\", "/")
        if not file_path:
            raise ValueError(f"file_path must name a photograph, not {cells['file_path']!r}")
        bbox = _bbox(cells)
        theta = None if cells["theta"].lower() in _NO_ANGLE else _number(cells, "theta")
    except ValueError as error:
        problems.append(Problem(code="ROW_UNREADABLE", where=where, message=f"{where} is skipped: {error}"))
        return None
    file_name = cells.get("file_name") or file_path.rsplit("/", 1)[-1]
    extra = {
        name: value
        for name, value in cells.items()
        if name and value and name not in (*_REQUIRED, *_OPTIONAL)
    }
    return Annotation(
        annotation_id=cells.get("uuid") or _identity(file_path, bbox),
        image=str(images / file_path),
        bbox=bbox,
        theta=theta,
        name=None if cells["name"] in _NO_NAME else cells["name"],
        species=cells.get("species") or None,
        viewpoint=cells.get("viewpoint") or None,
        extra={"file_name": file_name, "file_path": file_path, **extra},
    )


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    if None in row:
        raise ValueError("it has more cells than the header; a comma within a text needs quotes")
    short = [name for name, value in row.items() if value is None]
    if short:
        raise ValueError(f"it has fewer cells than the header, and nothing for: {', '.join(short)}")
    cells = {name: value.strip() for name, value in row.items()}
    if any(_NUL in value for value in cells.values()):
        raise ValueError("it holds a NUL character, which no path and no database takes")
    return cells


def _bbox(cells: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    if not any(cells[name] for name in "xywh"):
        return None
    return _number(cells, "x"), _number(cells, "y"), _number(cells, "w"), _number(cells, "h")


def _number(cells: Mapping[str, str], name: str) -> float:
    try:
        value = float(cells[name])
    except ValueError:
        raise ValueError(f"{name} must be a number, not {cells[name]!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {cells[name]!r}")
    return value


def _identity(file_path: str, bbox: tuple[float, float, float, float] | None) -> str:
    stem = file_path.rsplit("/", 1)[-1].rsplit(".", 1)[0][:60]
    return f"{stem}-{hashlib.sha256(repr((file_path, bbox)).encode()).hexdigest()[:12]}"


def _is_new(
    where: str, annotation: Annotation, found: Mapping[str, Annotation], problems: list[Problem]
) -> bool:
    before = found.get(annotation.annotation_id)
    if before is None:
        return True
    how = "the same annotation again" if before == annotation else "the same id with other values"
    problems.append(
        Problem(
            code="ROW_DUPLICATE",
            where=where,
            message=f"{where} is skipped: {how} ({annotation.annotation_id}); the first one stands",
        )
    )
    return False


def select_queries(
    wanted: str | tuple[str, ...], annotations: Sequence[Annotation]
) -> tuple[tuple[Annotation, ...], tuple[Problem, ...]]:
    """Return the annotations to rank, each once, and what was asked for and not found.

    Args:
        wanted: ``"all"``; ``"one_per_name"``, the first annotation of every individual that has another; or
            annotation ids, file names, file paths and individuals' names (all annotations of the individual).

    Raises:
        HostError: nothing at all is left to rank.
    """
    problems: list[Problem] = []
    if wanted == "all":
        chosen = list(annotations)
    elif wanted == "one_per_name":
        by_name: dict[str, list[Annotation]] = {}
        for annotation in annotations:
            if annotation.name is not None:
                by_name.setdefault(annotation.name, []).append(annotation)
        chosen = [group[0] for group in by_name.values() if len(group) > 1]
    else:
        chosen = _by_keys((wanted,) if isinstance(wanted, str) else wanted, annotations, problems)
    if not chosen:
        reasons = (
            "; ".join(problem.message for problem in problems[:3]) or "no individual has two annotations"
        )
        raise HostError(f"no query is left to rank: {reasons}")
    return tuple({annotation.annotation_id: annotation for annotation in chosen}.values()), tuple(problems)


def _by_keys(
    wanted: Sequence[str], annotations: Sequence[Annotation], problems: list[Problem]
) -> list[Annotation]:
    by_key: dict[str, list[Annotation]] = {}
    for annotation in annotations:
        keys = {
            annotation.annotation_id,
            annotation.extra.get("file_name"),
            annotation.extra.get("file_path"),
        }
        for key in {*keys, annotation.name} - {None, ""}:
            by_key.setdefault(str(key), []).append(annotation)
    for key in wanted:
        if key not in by_key:
            message = (
                f"no readable annotation has the id, file name or name '{key}'{nearest(key, by_key)}; "
                f"correct the key 'queries', or look for its row among those skipped"
            )
            problems.append(Problem(code="QUERY_UNKNOWN", where=key, message=message))
    return [annotation for key in wanted for annotation in by_key.get(key, ())]
