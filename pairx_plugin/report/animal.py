"""Which links end outside of the animal, as far as anybody knows where it is.

Three things are known to be outside: what lies beyond the photograph, where the chip is filled up; what lies beyond the
annotation's own box, where the chip shows more than that; and what an outline leaves out. Only an outline tells what is
on the animal. Where nothing is known the answer is None, and nothing is said.

An end is known to a cell of the feature map and no better. So it is beside an outlined animal where no part of its cell
is on it: on the sample data's 14 x 14 cells two in three ends whose middle lies beside the animal have a part on it,
mostly its edge, which is as much the animal's as the rest (note 0015).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairx_hooks import Annotation

from ..boxes import box_to_image
from .outlines import outline_of
from .reading import number_of, place_of

__all__ = ["OUTLINE_KEY", "with_inside"]

OUTLINE_KEY = "segmentation"  # of Annotation.extra, as COCO and wildlife-datasets name it
_SPOTS = 7  # along each side of a cell
_SLACK = 1e-3  # of a box's side: cells at its very edge are still in it

Floats = NDArray[np.float64]


def with_inside(record: Mapping[str, Any], query: Annotation, candidate: Annotation) -> Mapping[str, Any]:
    """Return a record whose matches say ``inside0`` and ``inside1``: True on the animal, False beside it, else None.

    A match that says so already, or that has no place, keeps what it has. Where any link ends outside, the figures'
    reasons have ``OUTSIDE_ANIMAL``, with how many (`n` of `of`), and how many of those that fit the pose.
    """
    matches = [match for match in record.get("matches") or () if isinstance(match, Mapping)]
    if not matches or len(matches) != len(record.get("matches") or ()):
        return record
    told = list(matches)
    for side, annotation in enumerate((query, candidate)):
        key = f"inside{side}"
        if any(match.get(key) is not None for match in matches):
            continue
        found = _inside(record, side, annotation, [place_of(match.get(f"kpts{side}")) for match in matches])
        told = [{**match, key: value} for match, value in zip(told, found)]
    return {**record, "matches": told, **_reasoned(record.get("plausibility"), told)}


def _reasoned(figures: Any, matches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    outside = [match for match in matches if False in (match.get("inside0"), match.get("inside1"))]
    if not isinstance(figures, Mapping) or not outside:
        return {}
    others = [item for item in figures.get("reasons") or () if _code(item) != "OUTSIDE_ANIMAL"]
    posed = sum(match.get("inlier") is True for match in outside)
    values = {"n": len(outside), "of": len(matches), "of_pose": posed}
    return {"plausibility": {**figures, "reasons": [*others, {"code": "OUTSIDE_ANIMAL", "values": values}]}}


def _code(reason: Any) -> Any:
    return reason.get("code") if isinstance(reason, Mapping) else None


def _inside(
    record: Mapping[str, Any], side: int, annotation: Annotation, places: Sequence[tuple[float, float] | None]
) -> list[bool | None]:
    image = _image(record, ("query", "candidate")[side])
    to_image, size = _numbers(_mapping(image.get("chip")).get("to_image"), 6), _size(image)
    if to_image is None or size is None or not _in_photograph(image, annotation, size):
        return [None] * len(places)
    shares = np.array([place or (np.nan, np.nan) for place in places], np.float64)
    points = _mapped(to_image, shares)
    found: list[bool | None] = [None] * len(places)
    outline = outline_of(annotation.extra.get(OUTLINE_KEY), size)
    if outline is not None:
        spots = shares[:, None] + _within_cell(record, side)
        on = outline.holds(_mapped(to_image, spots.reshape(-1, 2))).reshape(spots.shape[:2])
        found = [bool(row.any()) for row in on]
    beside = _beyond_photograph(points, size) | _beyond_box(points, annotation)
    return [None if place is None else False if out else value for place, out, value in zip(places, beside, found)]


def _within_cell(record: Mapping[str, Any], side: int) -> Floats:
    """Return (n, 2) offsets, in shares of the chip, from a cell's middle to places all over it; one without a grid."""
    grid = _numbers(_mapping(record.get("grid")).get(str(side)), 2)
    if grid is None or min(grid) < 1:
        return np.zeros((1, 2))
    steps = (np.arange(_SPOTS) + 0.5) / _SPOTS - 0.5
    x, y = np.meshgrid(steps / grid[1], steps / grid[0])
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _in_photograph(image: Mapping[str, Any], annotation: Annotation, size: tuple[int, int]) -> bool:
    """Whether a record's frame is the photograph's: a host that hands finished chips does not say where they were."""
    whole = _size(_mapping(image.get("chip"))) == size and _numbers(image.get("bbox"), 4) == [0, 0, size[1], size[0]]
    return annotation.bbox is None or not whole or list(annotation.bbox) == [0, 0, size[1], size[0]]


def _mapped(to_image: Sequence[float], shares: Floats) -> Floats:
    a, b, c, d, e, f = to_image
    x, y = shares.T
    return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)


def _beyond_photograph(points: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    clipped = np.clip(points, 0.0, np.array([size[1], size[0]], np.float64))
    outside: NDArray[np.bool_] = (clipped != points).any(axis=1)
    return outside


def _beyond_box(points: Floats, annotation: Annotation) -> NDArray[np.bool_]:
    """Chips are cut along the box, so this finds something only where a chip shows more than the box."""
    box = annotation.bbox
    if box is None or min(box[2:]) <= 0:
        return np.zeros(len(points), dtype=bool)
    a, b, c, d, e, f = box_to_image(box, annotation.theta or 0.0)
    shares = np.linalg.solve(np.array([[a, b], [d, e]]), (points - (c, f)).T).T
    outside: NDArray[np.bool_] = ((shares < -_SLACK) | (shares > 1.0 + _SLACK)).any(axis=1)
    return outside


def _image(record: Mapping[str, Any], role: str) -> Mapping[str, Any]:
    images = [_mapping(image) for image in record.get("images") or ()]
    return next((image for image in images if image.get("role") == role), {})


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    sides = _numbers([image.get("height"), image.get("width")], 2)
    return None if sides is None or min(sides) < 1 else (int(sides[0]), int(sides[1]))


def _numbers(value: Any, n: int) -> list[float] | None:
    items = [number_of(item) for item in value] if isinstance(value, (list, tuple)) else []
    numbers = [item for item in items if item is not None]
    return numbers if len(numbers) == len(items) == n else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
