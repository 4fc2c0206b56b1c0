"""Photographs with attributes that somebody knows: from a table, or from the sample data."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....chips import Chip, cut_chip
from ....errors import SettingsError, nearest
from ..attribute_head import GROUPS

__all__ = ["LabelledPhotograph", "Name", "read_labelled"]

Name = tuple[str, str]
"""(group, name) of an attribute."""

SAMPLE = "sample"
_TRUE, _FALSE = {"1", "true", "yes", "y"}, {"0", "false", "no", "n"}
_PATHS, _INDIVIDUALS = ("file_path", "path", "image"), ("individual_id", "name", "individual")


@dataclass(frozen=True, kw_only=True)
class LabelledPhotograph:
    """One animal in one photograph.

    Attributes:
        path: of the photograph.
        individual: who it is, unique over all sources; what splits are made by.
        species: empty where it is not known.
        labels: attributes that are known to be there (True) or not (False); unknown ones are left out.
        bbox: (x, y, w, h) in pixels; None for the whole photograph.
        theta: turn of the box in radians.
    """

    path: Path
    individual: str
    species: str
    labels: Mapping[Name, bool]
    bbox: tuple[float, float, float, float] | None = None
    theta: float = 0.0

    def chip(self) -> Chip:
        """Cut the animal out.

        Raises:
            ChipError: the photograph cannot be read or cut.
        """
        return cut_chip(self.path, bbox=self.bbox, theta=self.theta)


def read_labelled(sources: Sequence[str]) -> list[LabelledPhotograph]:
    """Read labelled photographs from several sources; individuals of two sources are never the same.

    Args:
        sources: each the path of a CSV file, of a folder that `pairx_sample_data.generate` wrote, or ``sample``. A
            CSV has a column with the path of the photograph (``file_path``; relative paths start at the file), one with
            the individual (``individual_id`` or ``name``), and one for each attribute, called ``GROUP:NAME`` such as
            ``mark:scar``, with 1, 0, true, false, yes, no, or nothing where it is unknown. ``species``, ``x``, ``y``,
            ``w``, ``h`` and ``theta`` may follow. A column ``viewpoint`` with words becomes attributes of its own.

    Raises:
        SettingsError: a source is missing, or a table does not fit; says which column or row.
    """
    found: list[LabelledPhotograph] = []
    for number, source in enumerate(sources, start=1):
        prefix = f"{number}/" if len(sources) > 1 else ""
        path = Path(source).expanduser()
        if source == SAMPLE or (path.is_dir() and (path / "attributes.csv").is_file()):
            found += _sample(None if source == SAMPLE else path, prefix)
        elif path.is_file():
            found += _table(path, prefix)
        else:
            raise SettingsError(
                f"there are no labelled photographs at {source!r}; give a CSV file, a folder of the sample generator, "
                f"or '{SAMPLE}'"
            )
    if not found:
        raise SettingsError(f"no labelled photographs in {', '.join(sources) or 'nothing'}; give at least one source")
    return found


def _sample(folder: Path | None, prefix: str) -> Iterable[LabelledPhotograph]:
    try:
        from pairx_sample_data.attribute_labels import load_labelled
    except ImportError as error:
        raise SettingsError("the sample data are not installed; give a CSV file instead of 'sample'") from error
    for item, labels in load_labelled(folder):
        yield LabelledPhotograph(
            path=item.file_path,
            individual=prefix + item.name,
            species=item.species,
            labels={name: value for name, value in labels.items() if value is not None},
            bbox=(item.x, item.y, item.w, item.h),
            theta=item.theta,
        )


def _table(path: Path, prefix: str) -> list[LabelledPhotograph]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [column for column in reader.fieldnames or () if column]
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{path.name!r} is no CSV file ({error}); save the table as 'CSV UTF-8'") from error
    where = _one_of(columns, _PATHS, path, "the path of the photograph")
    who = _one_of(columns, _INDIVIDUALS, path, "the individual")
    names = _names(columns, path)
    if not names and "viewpoint" not in columns:
        raise SettingsError(
            f"{path.name!r} has no attributes; call their columns GROUP:NAME, such as mark:scar, with a group of "
            f"{', '.join(GROUPS)}"
        )
    words = sorted({row["viewpoint"].strip() for row in rows if (row.get("viewpoint") or "").strip()})
    photographs = []
    for line, row in enumerate(rows, start=2):
        try:
            labels = {name: value for column, name in names.items() for value in _truth(column, row[column])}
            viewpoint = (row.get("viewpoint") or "").strip()
            if viewpoint:
                labels.update({("viewpoint", word): word == viewpoint for word in words})
            photographs.append(
                LabelledPhotograph(
                    path=path.parent / Path(row[where]).expanduser(),
                    individual=prefix + row[who].strip(),
                    species=(row.get("species") or "").strip(),
                    labels=labels,
                    bbox=_box(row),
                    theta=float(row.get("theta") or 0.0),
                )
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise SettingsError(f"line {line} of {path.name!r} does not fit: {error}") from error
    return photographs


def _one_of(columns: Sequence[str], names: Sequence[str], path: Path, what: str) -> str:
    for name in names:
        if name in columns:
            return name
    raise SettingsError(f"{path.name!r} has no column for {what}; call it one of: {', '.join(names)}")


def _names(columns: Sequence[str], path: Path) -> dict[str, Name]:
    names: dict[str, Name] = {}
    for column in columns:
        group, colon, name = (part.strip() for part in column.partition(":"))
        if not colon:
            continue
        if group not in GROUPS or not name:
            raise SettingsError(
                f"column {column!r} of {path.name!r} is no attribute{nearest(group, GROUPS)}; call it GROUP:NAME with "
                f"a group of {', '.join(GROUPS)}"
            )
        names[column] = (group, name)
    return names


def _truth(column: str, text: str | None) -> list[bool]:
    """Return one truth value, or none where it is unknown."""
    word = (text or "").strip().lower()
    if not word:
        return []
    if word in _TRUE or word in _FALSE:
        return [word in _TRUE]
    raise ValueError(f"{text!r} in column {column!r} is neither 1 nor 0 nor empty")


def _box(row: Mapping[str, str]) -> tuple[float, float, float, float] | None:
    values = [(row.get(side) or "").strip() for side in "xywh"]
    if not all(values):
        return None
    x, y, w, h = (float(value) for value in values)
    return x, y, w, h
