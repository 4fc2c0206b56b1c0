"""Sample data of pairx-plugin: photographs of procedural animals, their exact maps, and a trained network.

Importing this package imports the standard library only; the generator, the correspondences and the training
are its modules and import what they need.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Dict, List, Optional

if TYPE_CHECKING:
    from .mark_places import MarkPlace

__all__ = ["SampleAnnotation", "load_annotations", "load_attributes", "load_marks", "path_of", "root"]

_FILES = {
    "annotations": "annotations.csv",
    "attributes": "attributes.csv",
    "maps": "maps.npz",
    "marks": "marks.csv",
    "photographs": "photographs",
    "checkpoint": "checkpoint/miewid_sample.safetensors",
    "config": "checkpoint/config.json",
    "figures": "checkpoint/figures.json",
    "training_log": "checkpoint/training_log.csv",
}


@dataclass(frozen=True)
class SampleAnnotation:
    """One row of `annotations.csv`.

    Attributes:
        theta: turn of the box in radians about its centre.
        viewpoint, name, species: viewpoint word, individual and species.
        file_name: name of the photograph's file, unique; the key of maps and attributes.
        file_path: full path of the photograph.
        x, y, w, h: the box before turning, in pixels.
        segmentation: where the animal is, as COCO's run lengths in JSON text; empty in tables that lack the column.
    """

    theta: float
    viewpoint: str
    name: str
    file_name: str
    species: str
    file_path: Path
    x: int
    y: int
    w: int
    h: int
    segmentation: str = ""


def root() -> Path:
    """Folder that holds the sample data."""
    return Path(__file__).resolve().parent


def path_of(what: str, folder: Optional[Path] = None) -> Path:
    """Path of one of the sample's files.

    Args:
        what: `annotations`, `attributes`, `maps`, `marks`, `photographs`, `checkpoint`, `config`, `figures` or
            `training_log`.
        folder: another folder with the same layout, as `generate --out` writes; None for the shipped one.

    Raises:
        KeyError: for any other word.
    """
    if what not in _FILES:
        raise KeyError(f"no sample file called {what!r}; there are {', '.join(_FILES)}")
    return (root() if folder is None else folder) / _FILES[what]


def load_annotations(folder: Optional[Path] = None) -> List[SampleAnnotation]:
    """Rows of `annotations.csv`, in file order, with full paths."""
    path = path_of("annotations", folder)
    with open(path, newline="", encoding="utf-8") as file:
        return [
            SampleAnnotation(
                theta=float(row["theta"]),
                viewpoint=row["viewpoint"],
                name=row["name"],
                file_name=row["file_name"],
                species=row["species"],
                file_path=path.parent / row["file_path"],
                x=int(row["x"]),
                y=int(row["y"]),
                w=int(row["w"]),
                h=int(row["h"]),
                segmentation=row.get("segmentation") or "",
            )
            for row in csv.DictReader(file)
        ]


def load_attributes(folder: Optional[Path] = None) -> Dict[str, Dict[str, str]]:
    """Rows of `attributes.csv` by file name; README.md lists the columns."""
    with open(path_of("attributes", folder), newline="", encoding="utf-8") as file:
        return {row["file_name"]: row for row in csv.DictReader(file)}


def load_marks(folder: Optional[Path] = None) -> Dict[str, List[MarkPlace]]:
    """Places of the individuals' marks in coat coordinates, by the individual's name."""
    from .mark_places import MarkPlace

    found: Dict[str, List[MarkPlace]] = {}
    with open(path_of("marks", folder), newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            place = MarkPlace(
                kind=row["kind"],
                u=float(row["u"]),
                v=float(row["v"]),
                radius=float(row["radius"]),
                aspect=float(row["aspect"]),
            )
            found.setdefault(row["name"], []).append(place)
    return found
