"""The sample data as a source: masks, attributes and correspondences are known exactly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairx_hooks import Annotation

from ..chips import Chip
from ..errors import SettingsError
from .data_source import DataSource
from .subjects import Subject

__all__ = ["SampleTruth", "sample_source"]

Floats = NDArray[np.float64]


def sample_source(folder: Path | None = None) -> DataSource:
    """Return the shipped sample data, or a folder that ``python -m pairx_sample_data.generate`` wrote.

    Raises:
        SettingsError: they are not installed, or the folder holds none.
    """
    try:
        import pairx_sample_data as sample
        from pairx_sample_data.attribute_labels import LABELS, load_labelled
        from pairx_sample_data.correspondence import load_maps
    except ImportError as error:
        raise SettingsError("the sample data are not installed; give a CSV file of your own with --data") from error
    try:
        annotations = sample.load_annotations(folder)
        labels = {item.file_name: own for item, own in load_labelled(folder)}
        maps, marks = load_maps(folder), sample.load_marks(folder)
    except (OSError, KeyError, ValueError) as error:
        raise SettingsError(
            f"{str(folder or sample.root())!r} holds no sample data: {error}; write some with `python -m "
            f"pairx_sample_data.generate --out FOLDER`"
        ) from error
    return DataSource(
        name="sample data" if folder is None else f"sample data in {folder.name}",
        annotations=tuple(
            Annotation(
                annotation_id=item.file_name,
                image=str(item.file_path),
                bbox=(float(item.x), float(item.y), float(item.w), float(item.h)),
                theta=item.theta,
                name=item.name,
                species=item.species,
                viewpoint=item.viewpoint,
            )
            for item in annotations
        ),
        mask_of=lambda annotation, chip: _mask(maps[annotation.annotation_id].mask, chip),
        words={name: _words(own, True) for name, own in labels.items()},
        unsure={name: _words(own, None) for name, own in labels.items()},
        vocabulary=frozenset(word for _, word in LABELS),
        make_truth=lambda chips: SampleTruth(maps, marks, chips),
    )


class SampleTruth:
    """Exact places of a coat in every photograph of it.

    Args:
        maps: of the photographs, by file name.
        marks: of the individuals, by name.
        chips: as the network sees them, by file name.
    """

    def __init__(self, maps: Mapping[str, Any], marks: Mapping[str, Any], chips: Mapping[str, Chip]) -> None:
        self._maps, self._marks, self._chips = maps, marks, chips

    def partners(self, subject_0: Subject, subject_1: Subject, points: Floats) -> Floats:
        """Return where places of one chip lie in the other, see :class:`.subjects.Truth`."""
        from pairx_sample_data.correspondence import correspondences

        if subject_0.name != subject_1.name or not len(points):
            return np.full((len(points), 2), np.nan)
        chip_0, chip_1 = self._chips[subject_0.subject_id], self._chips[subject_1.subject_id]
        maps = self._maps[subject_0.subject_id], self._maps[subject_1.subject_id]
        there = correspondences(*maps, chip_0.image_points(points / (chip_0.width, chip_0.height)))
        return _chip_points(there, chip_1)

    def marks(self, subject: Subject) -> dict[str, NDArray[np.bool_]]:
        """Return masks of the visible marks, see :class:`.subjects.Truth`."""
        chip, photograph = self._chips[subject.subject_id], self._maps[subject.subject_id]
        coat = photograph.locate(chip.image_points(_centres(chip)))
        shown = photograph.shows(coat).reshape(chip.height, chip.width)
        masks = {}
        for mark in self._marks.get(subject.name, ()):
            if mark.kind in subject.words:
                near = mark.covers(coat).reshape(chip.height, chip.width) & shown
                if near.any():
                    masks[mark.kind] = near
        return masks


def _words(labels: Mapping[tuple[str, str], bool | None], value: bool | None) -> frozenset[str]:
    return frozenset(word for (_, word), label in labels.items() if label is value)


def _centres(chip: Chip) -> Floats:
    """Return the centres of a chip's pixels as shares (x, y), row by row."""
    x, y = np.meshgrid((np.arange(chip.width) + 0.5) / chip.width, (np.arange(chip.height) + 0.5) / chip.height)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _mask(mask: NDArray[np.bool_], chip: Chip) -> NDArray[np.bool_]:
    """Look a photograph's mask up at the centres of a chip's pixels."""
    place = np.floor(chip.image_points(_centres(chip))).astype(int)
    inside = ((place >= 0) & (place < (mask.shape[1], mask.shape[0]))).all(axis=1)
    found = np.zeros(len(place), dtype=bool)
    found[inside] = mask[place[inside, 1], place[inside, 0]]
    return found.reshape(chip.height, chip.width)


def _chip_points(points: Floats, chip: Chip) -> Floats:
    """Return pixels of a chip for pixels of its photograph; NaN stays, and so does what lies beside the chip."""
    a, b, c, d, e, f = chip.to_image
    shares = np.linalg.solve(np.array([[a, b], [d, e]]), (points - (c, f)).T).T
    places: Floats = shares * (chip.width, chip.height)
    return np.where(((shares < 0) | (shares > 1)).any(axis=1, keepdims=True), np.nan, places)
