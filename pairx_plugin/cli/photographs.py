"""Small pictures of photographs and chips for a report; one that cannot be read is left out."""

from __future__ import annotations

import logging
from pathlib import Path

from pairx_hooks import Annotation, Artifact

from ..chips import Chip, cut_chip
from ..errors import ChipError
from ..photographs import Photograph, read_photograph
from ..report import QueryPhotograph, encoded_picture

__all__ = ["PhotographShelf", "query_photograph", "small_chip"]

logger = logging.getLogger(__name__)

_CHIP_SIDE, _PHOTOGRAPH_SIDE = 220, 960


class PhotographShelf:
    """Makes small pictures of annotations, each once.

    Args:
        folder: where relative paths start.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._chips: dict[str, Artifact | None] = {}

    def chip(self, annotation: Annotation) -> Artifact | None:
        """Return a small picture of the annotation's chip, or None where it cannot be cut."""
        key = annotation.annotation_id
        if key not in self._chips:
            read = self._read(annotation)
            self._chips[key] = None if read is None else small_chip(read[1])
        return self._chips[key]

    def query(self, annotation: Annotation) -> QueryPhotograph | None:
        """Return a picture of the whole photograph with the chip's outline, or None where it cannot be read."""
        read = self._read(annotation)
        return None if read is None else query_photograph(*read)

    def _read(self, annotation: Annotation) -> tuple[Photograph, Chip] | None:
        try:
            photograph = read_photograph((self._folder or Path()) / annotation.image)
            return photograph, cut_chip(photograph, bbox=annotation.bbox, theta=annotation.theta)
        except (ChipError, OSError, MemoryError) as error:
            logger.debug("no picture of '%s': %s", annotation.annotation_id, error)
            return None


def small_chip(chip: Chip) -> Artifact:
    """Return a small picture of a chip."""
    return encoded_picture(chip.pixels, "chip", max_side=_CHIP_SIDE)


def query_photograph(photograph: Photograph, chip: Chip) -> QueryPhotograph:
    """Return a picture of a whole photograph with the outline of the chip that was cut from it."""
    picture = encoded_picture(photograph.pixels, "photograph", max_side=_PHOTOGRAPH_SIDE)
    return QueryPhotograph(picture=picture, outline=_outline(chip))


def _outline(chip: Chip) -> tuple[tuple[float, float], ...]:
    """Return the chip's corners as shares of the photograph; nothing where it is the whole photograph."""
    width, height = chip.image_size
    corners = chip.image_points([(0, 0), (1, 0), (1, 1), (0, 1)])
    shares = [(float(x) / width, float(y) / height) for x, y in corners]
    whole = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    same = all(abs(a - b) < 1e-3 for share, corner in zip(shares, whole) for a, b in zip(share, corner))
    return () if same else tuple(shares)
