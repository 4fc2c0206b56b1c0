"""Where an animal is in its photograph, as data sets write it down: polygons and run lengths in COCO's layout.

Everything is in pixels of the upright photograph. What cannot be read is no outline: nobody then knows where the animal
is, and nothing is said about it.

Source: the COCO data format (cocodataset.org/#format-data) and its packed run lengths (cocoapi:common/maskApi.c).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Union

import numpy as np
from numpy.typing import NDArray

__all__ = ["Outline", "Polygons", "RunLengths", "outline_of"]

Floats = NDArray[np.float64]
Size = tuple[int, int]

_LEAST_CORNERS = 3
_PACKED_BASE, _PACKED_BITS = 48, 5  # of the characters that packed run lengths are written in
_MORE, _NEGATIVE, _VALUE = 0x20, 0x10, 0x1F
_LONGEST = 4_000_000  # characters and numbers that are read at all


class Outline(Protocol):
    """Where an animal is."""

    def holds(self, points: Floats) -> NDArray[np.bool_]:
        """Return (n,) whether each of (n, 2) points (x, y) lies on the animal."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Polygons:
    """Parts of an animal, each (m, 2) corners (x, y); a point is on the animal if it is in any of them."""

    parts: tuple[Floats, ...]

    def holds(self, points: Floats) -> NDArray[np.bool_]:
        """Return whether points lie in a polygon, by the number of edges to their right."""
        found = np.zeros(len(points), dtype=bool)
        for corners in self.parts:
            found |= _in_polygon(points, corners)
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class RunLengths:
    """A mask, column by column: so many pixels beside the animal, so many on it, and so on in turn.

    Attributes:
        size: (height, width) of the photograph.
        ends: where each run ends.
    """

    size: Size
    ends: NDArray[np.int64]

    def holds(self, points: Floats) -> NDArray[np.bool_]:
        """Return whether the pixel under each point is on the animal."""
        height, width = self.size
        column, row = np.floor(points[:, 0]), np.floor(points[:, 1])
        within = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place = np.where(within, column * height + row, 0).astype(np.int64)
        odd: NDArray[np.bool_] = np.searchsorted(self.ends, place, side="right") % 2 == 1
        return odd & within


def outline_of(value: Any, size: Size) -> Union[Polygons, RunLengths, None]:
    """Return the outline that a segmentation describes; None where there is none, or none that can be read.

    Args:
        value: polygons ``[[x, y, x, y, ...], ...]``, one of them ``[x, y, ...]``, or ``{"size": [height, width],
            "counts": [...]}`` with plain or packed run lengths; or any of these as JSON text, as in a CSV file.
        size: (height, width) of the photograph; run lengths of another size do not belong to it.

    >>> square = outline_of([[0, 0, 10, 0, 10, 10, 0, 10]], (20, 20))
    >>> square.holds(np.array([[5.0, 5.0], [15.0, 5.0]])).tolist()
    [True, False]
    """
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, Mapping):
        return _run_lengths(value, size)
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or not value:
        return None
    parts = [_corners(part) for part in (value if isinstance(value[0], Sequence) else [value])]
    usable = tuple(part for part in parts if part is not None)
    return Polygons(parts=usable) if usable and len(usable) == len(parts) else None


def _parsed(text: str) -> Any:
    if not text.lstrip().startswith(("[", "{")) or len(text) > _LONGEST:
        return None  # perhaps the path of a mask's picture, which is not ours to open
    try:
        return json.loads(text)
    except ValueError:
        return None


def _corners(part: Any) -> Floats | None:
    if not isinstance(part, Sequence) or isinstance(part, (str, bytes)) or len(part) % 2:
        return None
    numbers = [_number(item) for item in part[:_LONGEST]]
    if len(numbers) < 2 * _LEAST_CORNERS or None in numbers:
        return None
    corners: Floats = np.array(numbers, np.float64).reshape(-1, 2)
    return corners


def _run_lengths(value: Mapping[str, Any], size: Size) -> RunLengths | None:
    own, counts = value.get("size"), value.get("counts")
    if not isinstance(own, Sequence) or list(own) != list(size):
        return None
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    runs = _unpacked(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, Sequence) or len(runs) > _LONGEST:
        return None
    numbers = [_number(item) for item in runs]
    if not numbers or any(item is None or item < 0 for item in numbers):
        return None
    ends = np.cumsum(np.array(numbers, np.float64)).astype(np.int64)
    return RunLengths(size=size, ends=ends) if ends[-1] == size[0] * size[1] else None


def _unpacked(text: str) -> list[int] | None:
    """Read packed run lengths: groups of five bits, the lowest first; from the fourth on a run is the change from the
    one before the last."""
    runs: list[int] = []
    value, shift = 0, 0
    for char in text[:_LONGEST]:
        bits = ord(char) - _PACKED_BASE
        if not 0 <= bits < 2 * _MORE:
            return None
        value |= (bits & _VALUE) << shift
        shift += _PACKED_BITS
        if bits & _MORE:
            continue
        if bits & _NEGATIVE:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    return runs if not shift else None


def _in_polygon(points: Floats, corners: Floats) -> NDArray[np.bool_]:
    x, y = points[:, :1], points[:, 1:]
    (x_0, y_0), (x_1, y_1) = corners.T, np.roll(corners, -1, axis=0).T
    crosses = (y_0 > y) != (y_1 > y)
    slope = np.where(y_1 == y_0, 1.0, y_1 - y_0)
    right = x < x_0 + (y - y_0) * (x_1 - x_0) / slope
    inside: NDArray[np.bool_] = (crosses & right).sum(axis=1) % 2 == 1
    return inside


def _number(value: Any) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
