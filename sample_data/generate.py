"""Write a data set: `python -m pairx_sample_data.generate --out FOLDER`.

With its defaults it writes what is shipped: the photographs, `annotations.csv`, `attributes.csv`, `marks.csv` and
`maps.npz`.
"""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image

from . import path_of
from .coats import PATTERNS, Coat
from .mark_places import REACH
from .outlines import outline_text
from .photographs import Photograph
from .population import SEED_RANGES, SHIPPED_HARDNESS, Individual, individuals

ANNOTATION_COLUMNS = (
    "theta",
    "viewpoint",
    "name",
    "file_name",
    "species",
    "file_path",
    "x",
    "y",
    "w",
    "h",
    "segmentation",
)
"""MiewID's, in its order, and where the animal is."""
ATTRIBUTE_COLUMNS = (
    "file_name",
    "name",
    "species",
    "pattern",
    "marks",
    "marks_visible",
    "viewpoint",
    "background",
    "light",
    "occlusion",
    "occluded_fraction",
    "blur_px",
    "motion_px",
    "noise_sd",
    "haze",
    "exposure",
    "yaw",
    "roll",
    "hardness",
    "seed",
    "shot",
)
MARK_COLUMNS = ("name", "kind", "u", "v", "radius", "aspect")
QUALITY = 87


def visible_marks(coat: Coat, photograph: Photograph) -> List[str]:
    """Kinds of the individual's marks whose surroundings the photograph shows at least by half."""
    kinds = []
    m = photograph.visible.shape[0]
    node = (np.arange(m) + 0.5) / m
    u, v = np.meshgrid(node, node)
    for mark in coat.marks:
        near = np.hypot((u - mark.u) * coat.aspect, v - mark.v) < REACH * mark.size
        near &= photograph.coat_mask
        if near.any() and photograph.visible[near].mean() >= 0.5:
            kinds.append(mark.kind)
    return kinds


def _rows(
    animal: Individual, coat: Coat, shot: int, photograph: Photograph
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    file_name, box = f"{animal.name}_{shot + 1}.jpg", photograph.box
    annotation = {
        "theta": box.theta,
        "viewpoint": photograph.attributes["viewpoint"],
        "name": animal.name,
        "file_name": file_name,
        "species": animal.species,
        "file_path": f"photographs/{file_name}",
        "x": box.x,
        "y": box.y,
        "w": box.w,
        "h": box.h,
        "segmentation": outline_text(photograph.mask),
    }
    attributes = {
        "file_name": file_name,
        "name": animal.name,
        "species": animal.species,
        "pattern": PATTERNS[animal.species],
        "marks": ";".join(mark.kind for mark in coat.marks) or "none",
        "marks_visible": ";".join(visible_marks(coat, photograph)) or "none",
        "seed": animal.seed,
        "shot": shot,
        **photograph.attributes,
    }
    return annotation, attributes


def _mark_rows(animal: Individual, coat: Coat) -> List[Dict[str, Any]]:
    return [
        {
            "name": animal.name,
            "kind": mark.kind,
            "u": round(mark.u, 5),
            "v": round(mark.v, 5),
            "radius": round(REACH * mark.size, 5),
            "aspect": coat.aspect,
        }
        for mark in coat.marks
    ]


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_arrays(path: Path, arrays: Dict[str, np.ndarray]) -> None:
    """An .npz whose bytes depend on the arrays alone: `np.savez` would store the time of day."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(name + ".npy", date_time=(2000, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, buffer.getvalue())


def generate(
    out: Path,
    which: str = "shipped",
    count: int = 16,
    shots: int = len(SHIPPED_HARDNESS),
    seed: int = 0,
    longer_side: int = 640,
) -> int:
    """Write a data set into a folder.

    Args:
        out: folder; made if missing, files of the same names are replaced.
        which: set of individuals: `shipped`, `measured`, `held_out` or `training`.
        count: individuals.
        shots: photographs of each.
        seed: 0 is what is shipped; another one gives other individuals of the set and other photographs.
        longer_side: of a photograph, in pixels.

    Returns:
        Number of photographs written.
    """
    folder = path_of("photographs", out)
    folder.mkdir(parents=True, exist_ok=True)
    annotations, attributes, marks, taken = [], [], [], []
    for animal in individuals(which, count, seed):
        coat = animal.coat(int(longer_side * 1.2))
        marks += _mark_rows(animal, coat)
        for shot in range(shots):
            hardness = SHIPPED_HARDNESS[shot % len(SHIPPED_HARDNESS)]
            photograph = animal.photograph(coat, shot, longer_side, hardness, seed)
            annotation, facts = _rows(animal, coat, shot, photograph)
            Image.fromarray(photograph.image).save(
                folder / annotation["file_name"], quality=QUALITY, optimize=True
            )
            annotations.append(annotation)
            attributes.append(facts)
            taken.append(photograph)
    _write_csv(path_of("annotations", out), ANNOTATION_COLUMNS, annotations)
    _write_csv(path_of("attributes", out), ATTRIBUTE_COLUMNS, attributes)
    _write_csv(path_of("marks", out), MARK_COLUMNS, marks)
    _write_arrays(
        path_of("maps", out),
        {
            "file_name": np.array([row["file_name"] for row in annotations]),
            "grid": np.stack([photograph.pose.control_grid() for photograph in taken]),
            "coat": np.packbits(np.stack([photograph.coat_mask for photograph in taken]), axis=-1),
            "visible": np.packbits(np.stack([photograph.visible for photograph in taken]), axis=-1),
            "size": np.array([photograph.mask.shape for photograph in taken], np.int32),
            "mask": np.concatenate([np.packbits(photograph.mask) for photograph in taken]),
        },
    )
    return len(taken)


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `python -m pairx_sample_data.generate`."""
    parser = argparse.ArgumentParser(
        prog="python -m pairx_sample_data.generate", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write into")
    parser.add_argument("--which", choices=sorted(SEED_RANGES), default="shipped", help="set of individuals")
    parser.add_argument("--individuals", type=int, default=16, help="how many individuals")
    parser.add_argument("--shots", type=int, default=len(SHIPPED_HARDNESS), help="photographs of each")
    parser.add_argument("--seed", type=int, default=0, help="0 is what is shipped")
    parser.add_argument("--longer-side", type=int, default=640, help="pixels")
    given = parser.parse_args(arguments)
    written = generate(given.out, given.which, given.individuals, given.shots, given.seed, given.longer_side)
    print(f"{written} photographs in {path_of('photographs', given.out)}")


if __name__ == "__main__":
    main()
