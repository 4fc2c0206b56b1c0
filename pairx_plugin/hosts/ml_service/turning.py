"""Turned boxes: where they lie, and their pixels as ml-service's network gets them.

ml-service turns the whole photograph at its own size and shrinks the cut from that. Of all those pixels the network
sees four for each of its own, so these are computed and no others: a photograph of fifty megapixels costs no more than
a small one.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...boxes import Box, ToImage
from ...errors import ChipError
from ...pixels import Pixels
from ...rendering.canvas import resized

__all__ = ["BoxEmpty", "averaged", "box_of_turned", "sampled"]

_LARGEST_SHARE = 1.5  # of a turned box, in areas of its photograph
_FARTHEST = 1e9  # pixels
_WHITE = 255.0  # beside the photograph; ml-service and the MiewID plugin fill with it what a turn uncovers
_SPARE = 2  # what is shown is averaged from so many times its sides

_Numbers = NDArray[np.int64]
_Field = NDArray[np.float32]


class BoxEmpty(ChipError):
    """Nothing of the photograph lies within the box."""

    code = "BBOX_EMPTY"


def box_of_turned(box: Box, theta: float, size: tuple[int, int]) -> Box | None:
    """Return a turned box as ml-service turns it: of whole sides, about the middle of a pixel.

    What hangs over the photograph is kept, as white, since the network ranked it. Of a box that is far larger than the
    photograph of `size` (width, height) the part is kept that reaches around it; None where there is none.

    Raises:
        BoxEmpty: no photograph reaches so far.
    """
    if max(abs(value) for value in box) > _FARTHEST:  # beyond, sums and products are no numbers any more
        raise BoxEmpty(f"the turned box {list(box)} lies far beside the photograph, {size[0]} x {size[1]} pixels")
    found = box if box[2] * box[3] <= _LARGEST_SHARE * size[0] * size[1] else _around(box, theta, size)
    if found is None:
        return None
    x, y, width, height = found
    column, row = int((2 * x + width) // 2), int((2 * y + height) // 2)
    width, height = max(1.0, float(int(width))), max(1.0, float(int(height)))
    return column + 0.5 - width / 2, row + 0.5 - height / 2, width, height


def _around(box: Box, theta: float, size: tuple[int, int]) -> Box | None:
    """Return the part of a turned box that reaches around the photograph, turned likewise."""
    x, y, width, height = box
    cos, sin = math.cos(theta), math.sin(theta)
    centre = x + width / 2, y + height / 2
    corners = [(i - centre[0], j - centre[1]) for i in (0, size[0]) for j in (0, size[1])]
    spans = []
    for half, along in ((width / 2, (cos, sin)), (height / 2, (-sin, cos))):
        places = [along[0] * i + along[1] * j for i, j in corners]
        spans.append((max(-half, min(places)), min(half, max(places))))
    (left, right), (top, bottom) = spans
    if left >= right or top >= bottom:
        return None
    across, down = (left + right) / 2, (top + bottom) / 2
    middle = centre[0] + cos * across - sin * down, centre[1] + sin * across + cos * down
    return middle[0] - (right - left) / 2, middle[1] - (bottom - top) / 2, right - left, bottom - top


def sampled(
    pixels: Pixels, to_image: ToImage, shape: tuple[int, int], size: tuple[int, int], theta: float
) -> Pixels:
    """Return a turned box at `size` (height, width) as OpenCV shrinks or grows it: bilinear, not averaged.

    Args:
        pixels: of the photograph, (H, W, 3) uint8.
        to_image: of the box, see :class:`pairx_plugin.chips.Chip`.
        shape: (height, width) of the box, in pixels of the photograph.
        theta: turn of the box.
    """
    axes = []
    for n_in, n_out, between in zip(shape, size, _between(pixels, to_image, shape, theta)):
        taps = ((-between, 1.0 - between), (1.0 - between, between))
        axes.append([(near + by, share * part) for near, share in _neighbours(n_in, n_out) for by, part in taps])
    (rows, their_rows), (columns, their_columns) = (
        np.unique(np.stack([place for place, _ in axis]), return_inverse=True) for axis in axes
    )
    found = _turned(pixels, to_image, shape, rows, columns, pixels.shape[:2])
    found = _weighed(found, their_rows.reshape(-1, size[0]), axes[0])
    found = _weighed(found.swapaxes(0, 1), their_columns.reshape(-1, size[1]), axes[1])
    return np.rint(found.swapaxes(0, 1)).astype(np.uint8)


def _weighed(field: _Field, taps: _Numbers, axis: Sequence[tuple[NDArray[Any], _Field]]) -> _Field:
    """Return for each output the weighed sum of the rows that its taps name."""
    parts = (field[rows] * weights.astype(np.float32)[:, None, None] for rows, (_, weights) in zip(taps, axis))
    found: _Field = functools.reduce(np.add, parts)
    return found


def _between(pixels: Pixels, to_image: ToImage, shape: tuple[int, int], theta: float) -> tuple[float, float]:
    """Return how far, down and across, the box's pixels lie between those of the photograph that ml-service turned.

    It turns the photograph first, on a white square as long as its diagonal, and cuts the box out of that; so it
    interpolates twice, which softens.
    """
    height, width = pixels.shape[:2]
    long = int(math.hypot(height, width))
    a, b, c, d, e, f = to_image
    middle = c + (a + b) / 2 - 0.5 + (long - width) // 2, f + (d + e) / 2 - 0.5 + (long - height) // 2
    across, down = (place - long // 2 for place in middle)
    cos, sin = math.cos(theta), math.sin(theta)
    column, row = cos * across + sin * down, cos * down - sin * across
    return (row - (shape[0] - 1) / 2) % 1.0, (column - (shape[1] - 1) / 2) % 1.0


def averaged(pixels: Pixels, to_image: ToImage, shape: tuple[int, int], size: tuple[int, int]) -> Pixels:
    """Return a turned box at `size` (height, width) for the eye: averaged where it shrinks; see :func:`sampled`."""
    whole = pixels.shape[:2]
    factor = max(1, min(n_in // (_SPARE * n_out) for n_in, n_out in zip(shape, size)))
    smaller = resized(pixels, (max(1, whole[0] // factor), max(1, whole[1] // factor)))
    rows, columns = (min(n_in, _SPARE * n_out) for n_in, n_out in zip(shape, size))
    found = _turned(smaller, to_image, (rows, columns), np.arange(rows), np.arange(columns), whole)
    return resized(np.rint(found).astype(np.uint8), size)


def _neighbours(n_in: int, n_out: int) -> list[tuple[_Numbers, _Field]]:
    """Return the two pixels between which each pixel of the result lies, with their weights."""
    places = (np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5
    first = np.floor(places).astype(np.int64)
    share = (places - first).astype(np.float32)
    return [(np.clip(first, 0, n_in - 1), 1 - share), (np.clip(first + 1, 0, n_in - 1), share)]


def _turned(
    pixels: Pixels,
    to_image: ToImage,
    shape: tuple[int, int],
    rows: NDArray[Any],
    columns: NDArray[Any],
    whole: tuple[int, ...],
) -> _Field:
    """Return (rows, columns, 3) of the box turned upright, as `shape` (height, width) pixels; white beside.

    Args:
        pixels: the photograph, or one that is smaller.
        whole: (height, width) of the photograph, in whose pixels `to_image` is.
    """
    a, b, c, d, e, f = to_image
    share_x, share_y = (columns[None, :] + 0.5) / shape[1], (rows[:, None] + 0.5) / shape[0]
    x, y = a * share_x + (b * share_y + c), d * share_x + (e * share_y + f)
    beside = (x < 0) | (x >= whole[1]) | (y < 0) | (y >= whole[0])
    parts = []
    for place, n_pixels, n_whole in ((y, pixels.shape[0], whole[0]), (x, pixels.shape[1], whole[1])):
        place = np.clip(place * (n_pixels / n_whole) - 0.5, 0, n_pixels - 1)
        first = np.minimum(place.astype(np.int64), max(0, n_pixels - 2))
        parts.append((first, np.minimum(first + 1, n_pixels - 1), (place - first).astype(np.float32)[..., None]))
    (top, bottom, down), (left, right, across) = parts
    upper = pixels[top, left] * (1 - across) + pixels[top, right] * across
    lower = pixels[bottom, left] * (1 - across) + pixels[bottom, right] * across
    found: _Field = upper * (1 - down) + lower * down
    found[beside] = _WHITE
    return found
