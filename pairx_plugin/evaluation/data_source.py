"""What a data set gives to an evaluation: annotations, and what is known about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
from numpy.typing import NDArray

from pairx_hooks import Annotation

from ..chips import Chip
from .subjects import Truth

__all__ = ["DataSource", "MaskOf"]

MaskOf = Callable[[Annotation, Chip], Optional[NDArray[np.bool_]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSource:
    """Annotations, and what else a data set knows about them.

    Attributes:
        name: what a person would call it.
        annotations: only those with a known individual take part.
        mask_of: the animal's mask at the size of a chip, or None.
        words, unsure: attributes that hold, and those that nobody can say, by annotation id.
        vocabulary: all attributes that the data know.
        make_truth: from chips by subject id, where places are known exactly.
        problems: what could not be read.
    """

    name: str
    annotations: tuple[Annotation, ...]
    mask_of: MaskOf = lambda annotation, chip: None
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unsure: Mapping[str, frozenset[str]] = field(default_factory=dict)
    vocabulary: frozenset[str] = frozenset()
    make_truth: Callable[[Mapping[str, Chip]], Truth] | None = None
    problems: tuple[str, ...] = ()
