"""Data sets of the wildlife-datasets library, by the names of its classes.

The library brings a second flavour of OpenCV along (`opencv-python`), so it is an extra of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pairx_hooks import Annotation

from ..chips import Chip
from ..errors import MissingExtra, SettingsError, nearest
from .data_source import DataSource

__all__ = ["wildlife_source"]


def wildlife_source(text: str, *, download: bool = False) -> DataSource:
    """Return a data set of the library.

    Args:
        text: ``NAME:FOLDER``, the class's name and the folder that the data lie in.
        download: let the library fetch the data into the folder first, where they are not there yet.

    Raises:
        SettingsError: the library has no such data set, or the folder does not hold it.
        MissingExtra: the library cannot be imported.
    """
    try:
        from wildlife_datasets import datasets
    except ImportError as error:
        raise MissingExtra(
            "wildlife-datasets", extra="wildlife", purpose="reading its data sets", cause=error
        ) from error
    name, _, folder = text.partition(":")
    known = [item for item in dir(datasets) if _is_data_set(getattr(datasets, item), datasets.WildlifeDataset)]
    if name not in known or not folder:
        raise SettingsError(
            f"'wildlife:{text}' names no data set of wildlife-datasets{nearest(name, known)}; write "
            f"wildlife:NAME:FOLDER with one of: {', '.join(known)}"
        )
    root = Path(folder).expanduser()
    kind = getattr(datasets, name)
    if download:
        kind.get_data(str(root))
    try:
        table = kind(root=str(root)).df
    except Exception as error:  # each data set is read by code of its own, and none of it says what is missing
        raise SettingsError(
            f"{name} cannot be read from {str(root)!r}: {type(error).__name__}: {error}; give the folder that holds "
            f"it, or let --download fetch it"
        ) from error
    rows = [row for row in table.to_dict("records") if str(row.get("identity")) not in ("unknown", "nan")]
    return DataSource(
        name=f"{name} of wildlife-datasets",
        annotations=tuple(_annotation(row, root, name) for row in rows),
        mask_of=_Masks({str(row["image_id"]): row.get("segmentation") for row in rows}, root),
    )


def _is_data_set(item: Any, base: type) -> bool:
    return isinstance(item, type) and issubclass(item, base) and item is not base


def _annotation(row: Mapping[Any, Any], root: Path, name: str) -> Annotation:
    return Annotation(
        annotation_id=str(row["image_id"]),
        image=str(root / str(row["path"])),
        bbox=_box(row.get("bbox")),
        name=str(row["identity"]),
        species=_text(row.get("species")) or name,
        viewpoint=_text(row.get("orientation")),
    )


def _box(value: Any) -> tuple[float, float, float, float] | None:
    numbers = json.loads(value) if isinstance(value, str) else value
    if not isinstance(numbers, (list, tuple, np.ndarray)) or len(numbers) != 4:
        return None
    x, y, w, h = (float(number) for number in numbers)
    return (x, y, w, h) if np.isfinite([x, y, w, h]).all() else None


def _text(value: Any) -> str | None:
    text = "" if value is None else str(value)
    return None if text in ("", "nan", "None") else text


class _Masks:
    """Segmentations as masks of chips: run lengths, polygons, or a picture's file."""

    def __init__(self, segmentations: Mapping[str, Any], root: Path) -> None:
        self._segmentations, self._root = segmentations, root

    def __call__(self, annotation: Annotation, chip: Chip) -> NDArray[np.bool_] | None:
        width, height = chip.image_size
        whole = _decoded(self._segmentations.get(annotation.annotation_id), self._root, (height, width))
        if whole is None or whole.shape != (height, width):
            return None
        x, y = np.meshgrid((np.arange(chip.width) + 0.5) / chip.width, (np.arange(chip.height) + 0.5) / chip.height)
        place = np.floor(chip.image_points(np.stack([x.ravel(), y.ravel()], axis=1))).astype(int)
        place = np.clip(place, 0, (width - 1, height - 1))
        return whole[place[:, 1], place[:, 0]].reshape(chip.height, chip.width)


def _decoded(value: Any, root: Path, size: tuple[int, int]) -> NDArray[np.bool_] | None:
    from pycocotools import mask as coco

    if isinstance(value, str) and value:
        try:
            return np.asarray(Image.open(root / value).convert("L")) > 0
        except OSError:
            return None
    if isinstance(value, Mapping) and "counts" in value:
        runs = value if isinstance(value["counts"], (str, bytes)) else coco.frPyObjects(value, *size)
        return np.asarray(coco.decode(runs)).astype(bool)
    if isinstance(value, (list, np.ndarray)) and len(value) >= 6:
        return np.asarray(coco.decode(coco.merge(coco.frPyObjects([list(value)], *size)))).astype(bool)
    return None
