"""Boxes of annotations: checked numbers, and the map from a chip to its photograph.

A point (i, j) relative to the box centre in the upright chip lies in the image at centre + R(theta) (i, j)
with R = [[cos, -sin], [sin, cos]], x to the right and y down, as in Wildbook IA and MiewID.

Source: wildbook-ia:vtool/chip.py (sign and centre);
wbia-plugin-miew-id:wbia_miew_id/visualization/helpers.py (sign).
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .errors import ChipError
from .pixels import MIN_SIDE, ChipWarning

__all__ = ["Box", "ToImage", "box_to_image", "checked_box", "checked_theta"]

Box = tuple[float, float, float, float]
ToImage = tuple[float, float, float, float, float, float]

_FARTHEST = 1e7  # pixels; a coordinate beyond belongs to no photograph
_WANTED = "four numbers (x, y, width, height) in pixels, or None for the whole photograph"


def box_to_image(box: Box, theta: float) -> ToImage:
    """Return (a, b, c, d, e, f): shares (x, y) of the chip lie at (a x + b y + c, d x + e y + f).

    >>> box_to_image((10.0, 20.0, 4.0, 2.0), 0.0)
    (4.0, -0.0, 10.0, 0.0, 2.0, 20.0)
    """
    x, y, width, height = box
    cos, sin = math.cos(theta), math.sin(theta)
    a, b, d, e = width * cos, -height * sin, width * sin, height * cos
    return a, b, x + width / 2.0 - (a + b) / 2.0, d, e, y + height / 2.0 - (d + e) / 2.0


def checked_box(bbox: Iterable[float] | None, size: tuple[int, int]) -> Box:
    """Return the box as four floats; None and four zeros are the whole photograph of `size` (width, height).

    Raises:
        ChipError: no four finite numbers, or a side that is not above 0 or below 8 pixels.
    """
    whole = (0.0, 0.0, float(size[0]), float(size[1]))
    box = whole if bbox is None else _numbers(bbox)
    if box is None or len(box) != 4:
        raise ChipError(f"bbox is {bbox!r}; give {_WANTED}")
    if not all(math.isfinite(value) and abs(value) <= _FARTHEST for value in box):
        raise ChipError(f"bbox is {bbox!r}, not finite or beyond any photograph; give {_WANTED}")
    x, y, width, height = box if any(box) else whole
    if width <= 0.0 or height <= 0.0:
        raise ChipError(
            f"bbox is {bbox!r}, so its width is {width:g} and its height {height:g}; both must be above 0: "
            "give (x, y, width, height), not two corners"
        )
    if min(width, height) < MIN_SIDE:
        what = "the photograph" if (x, y, width, height) == whole else f"bbox {bbox!r}"
        raise ChipError(
            f"{what} is {width:g} x {height:g} pixels; at least {MIN_SIDE} x {MIN_SIDE} are needed to match "
            "anything, so draw a larger box or take a larger photograph"
        )
    return x, y, width, height


def checked_theta(theta: float | None) -> tuple[float, tuple[ChipWarning, ...]]:
    """Return the turn in radians, 0 with a warning where there is none (None, NaN).

    Raises:
        ChipError: not a number, or infinite.
    """
    numbers = None if theta is None else _numbers([theta])
    if theta is None or (numbers and math.isnan(numbers[0])):
        message = f"The box has no turn (theta is {theta}); it is taken as upright."
        return 0.0, (ChipWarning(code="THETA_MISSING", message=message, field="theta"),)
    if numbers is None or not math.isfinite(numbers[0]):
        raise ChipError(f"theta is {theta!r}; give the turn of the box in radians, or 0")
    if abs(numbers[0]) > 2.0 * math.pi:
        message = f"theta = {numbers[0]:g} is more than a full turn, 6.28 radians; perhaps it is in degrees."
        return numbers[0], (ChipWarning(code="THETA_LARGE", message=message, field="theta"),)
    return numbers[0], ()


def _numbers(values: Iterable[object]) -> tuple[float, ...] | None:
    try:
        items = list(values)
        # float() would take text too, and with it columns that a host has mixed up
        if any(isinstance(item, (str, bytes)) for item in items):
            return None
        return tuple(float(item) for item in items)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
