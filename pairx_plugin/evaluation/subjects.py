"""What is evaluated on: photographs as the network sees them, with whatever is known about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..chips import Chip
from ..models.embedding import EmbeddingModel
from ..pixels import read_only

__all__ = ["Subject", "SubjectSet", "Truth", "as_network_sees"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """One animal in one photograph.

    Attributes:
        subject_id: unique in its set.
        name: the individual.
        chip: at the size of the network's input, so that points, maps and masks share one frame.
        mask: (H, W) True on the animal, None where nobody knows.
        words: attributes that hold, as the data name them.
        unsure: attributes that can be neither claimed nor denied.
    """

    subject_id: str
    name: str
    species: str = ""
    viewpoint: str = ""
    chip: Chip
    mask: NDArray[np.bool_] | None = None
    words: frozenset[str] = frozenset()
    unsure: frozenset[str] = frozenset()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the chip."""
        return self.chip.height, self.chip.width


class Truth(Protocol):
    """Where places of one animal lie in another photograph of it."""

    def partners(self, subject_0: Subject, subject_1: Subject, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n, 2) points of the second chip for (n, 2) of the first; NaN where a place is not visible in both."""
        ...

    def marks(self, subject: Subject) -> dict[str, NDArray[np.bool_]]:
        """Return (H, W) masks of the visible marks by kind; empty where nothing is known."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class SubjectSet:
    """All subjects of a data set that take part.

    Attributes:
        source: what a person would name it by.
        digest: changes when other pictures take part.
        vocabulary: all words that any subject may have.
        left_out: why photographs are missing, one sentence each.
    """

    source: str
    subjects: tuple[Subject, ...]
    digest: str
    truth: Truth | None = None
    vocabulary: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()


def as_network_sees(model: EmbeddingModel, chips: Sequence[Chip]) -> list[Chip]:
    """Return chips resized to the network's input, each with its own frame kept."""
    seen = []
    for chip in chips:
        picture = model.preprocessing.pictures(model.tensor([chip.pixels]))[0]
        seen.append(replace(chip, pixels=read_only(np.ascontiguousarray(picture))))
    return seen
