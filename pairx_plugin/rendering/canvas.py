"""Drawing on RGB pixels. The only module that touches OpenCV, and the only one where BGR exists.

All pixels are (H, W, 3) uint8 RGB. Points are (x, y) with the origin at the top left *corner* of the picture,
so that the middle of the first pixel lies at (0.5, 0.5). Functions named ``draw_`` change the pixels that
they are handed.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtra
from .palettes import RGB

__all__ = [
    "Field",
    "Pixels",
    "Size",
    "blend",
    "blurred",
    "draw_dot",
    "draw_mask",
    "draw_hairline",
    "draw_ring",
    "draw_segments",
    "faded",
    "jet",
    "key_point",
    "key_point",
    "multiply_add",
    "resized",
    "resized_field",
]

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]
Size = Tuple[int, int]

_SHIFT = 4  # OpenCV takes coordinates as integers; four fractional bits are 1/16 of a pixel
_LIMIT = 2.0**26  # beyond any picture, and far from where those integers overflow


def _cv2() -> Any:
    """Import OpenCV, whichever flavour is there, at the first use."""
    try:
        return importlib.import_module("cv2")
    except (
        Exception
    ) as error:  # a build for another NumPy raises AttributeError or RuntimeError, not ImportError
        raise MissingExtra("cv2", extra="opencv", purpose="drawing", cause=error) from error


def resized(pixels: Pixels, size: Size) -> Pixels:
    """Return a photograph at (height, width), averaged to shrink, cubic to grow, as a new array."""
    cv2, (height, width) = _cv2(), size
    if pixels.shape[:2] == (height, width):
        return np.array(pixels)
    if pixels.shape[:2] == (1, 1):  # OpenCV 4.5 refuses to resize these
        return np.array(np.broadcast_to(pixels, (height, width, pixels.shape[2])))
    shrinks = height * width < pixels.shape[0] * pixels.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    out: Pixels = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=method)
    return out


def resized_field(field: Field, size: Size, *, smooth: bool = False) -> Field:
    """Return a (h, w) or (h, w, c) float32 field at (height, width): averaged where it shrinks, else
    interpolated.

    With `smooth`, cubic instead of linear: rounder for coarse grids, and it overshoots by a few per cent.
    """
    cv2, (height, width) = _cv2(), size
    if field.shape[:2] == (height, width):
        return field
    if field.shape[:2] == (1, 1):
        return np.array(np.broadcast_to(field, (height, width, *field.shape[2:])))
    shrinks = height * width < field.shape[0] * field.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    out: Field = cv2.resize(np.ascontiguousarray(field), (width, height), interpolation=method)
    return out


def blurred(field: Field, sigma: float) -> Field:
    """Return a float32 field under a Gaussian of `sigma` cells."""
    out: Field = _cv2().GaussianBlur(np.ascontiguousarray(field), (0, 0), sigma)
    return out


def faded(pixels: Pixels, *, colour: float, contrast: float, lift: float) -> Pixels:
    """Return a photograph with less colour and contrast.

    Args:
        colour: share of the colour that stays, 0 for grey.
        contrast: factor on every value.
        lift: grey levels that are added afterwards.
    """
    cv2 = _cv2()
    pixels = np.ascontiguousarray(pixels)
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    out: Pixels = cv2.addWeighted(pixels, contrast * colour, grey, contrast * (1.0 - colour), lift)
    return out


def blend(over: Pixels, under: Pixels, opacity: float) -> Pixels:
    """Return `opacity` of one picture on top of another of the same size."""
    out: Pixels = _cv2().addWeighted(over, opacity, under, 1.0 - opacity, 0.0)
    return out


def multiply_add(pixels: Pixels, factor: Field, addend: Field) -> Pixels:
    """Return ``pixels * factor + addend``, rounded and clipped; all three are (H, W, 3)."""
    cv2 = _cv2()
    out: Pixels = cv2.add(cv2.multiply(pixels, factor, dtype=cv2.CV_32F), addend, dtype=cv2.CV_8U)
    return out


def draw_segments(pixels: Pixels, segments: NDArray[Any], colour: RGB, width: float) -> None:
    """Draw (n, 2, 2) segments, each from (x, y) to (x, y), with round ends, antialiased."""
    if len(segments):
        cv2 = _cv2()
        cv2.polylines(pixels, list(_fixed(segments)), False, colour, _stroke(width), cv2.LINE_AA, _SHIFT)


def draw_ring(
    pixels: Pixels, centre: Sequence[float], radii: Sequence[float], colour: RGB, width: float
) -> None:
    """Draw the outline of an upright ellipse, antialiased; `radii` are (x, y) to the middle of the stroke."""
    cv2 = _cv2()
    axes = _fixed_lengths(radii)
    cv2.ellipse(
        pixels, _fixed_point(centre), axes, 0.0, 0.0, 360.0, colour, _stroke(width), cv2.LINE_AA, _SHIFT
    )


def draw_mask(pixels: Pixels, mask: Pixels, corner: tuple[int, int], colour: RGB) -> None:
    """Lay `colour` through a (h, w) uint8 mask whose top left corner is at (x, y); what hangs over is cut."""
    x, y = corner
    top, left = max(0, y), max(0, x)
    bottom, right = min(pixels.shape[0], y + mask.shape[0]), min(pixels.shape[1], x + mask.shape[1])
    if top >= bottom or left >= right:
        return
    share = mask[top - y : bottom - y, left - x : right - x, None].astype(np.float32) / 255.0
    region = pixels[top:bottom, left:right]
    region[...] = np.rint(region * (1.0 - share) + np.asarray(colour, np.float32) * share).astype(np.uint8)


def jet(grey: Pixels) -> Pixels:
    """Return (H, W) uint8 in OpenCV's JET colours, as RGB."""
    cv2 = _cv2()
    out: Pixels = cv2.cvtColor(cv2.applyColorMap(grey, cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    return out


def draw_hairline(pixels: Pixels, start: tuple[int, int], end: tuple[int, int], colour: RGB) -> None:
    """Draw a line of one pixel between two pixels, not antialiased."""
    _cv2().line(pixels, start, end, colour, 1)


def draw_dot(pixels: Pixels, centre: tuple[int, int], colour: RGB) -> None:
    """Draw a ring of radius 3 and width 2 around a pixel, not antialiased."""
    _cv2().circle(pixels, centre, 3, colour, 2)


def key_point(x: float, y: float) -> Any:
    """Return a ``cv2.KeyPoint`` of size 1, which the public code hands to its callers."""
    return _cv2().KeyPoint(float(x), float(y), 1.0)


def _stroke(width: float) -> int:
    return max(1, int(round(width)))


def _fixed(points: NDArray[Any]) -> NDArray[np.int32]:
    """Return points as OpenCV's fixed-point numbers, whose origin is the middle of the first pixel."""
    shifted = (np.clip(points, -_LIMIT, _LIMIT) - 0.5) * (1 << _SHIFT)
    fixed: NDArray[np.int32] = np.rint(shifted).astype(np.int32)
    return fixed


def _fixed_point(point: Sequence[float]) -> tuple[int, int]:
    return int(round((point[0] - 0.5) * (1 << _SHIFT))), int(round((point[1] - 0.5) * (1 << _SHIFT)))


def _fixed_lengths(lengths: Sequence[float]) -> tuple[int, int]:
    return (
        max(1, int(math.floor(lengths[0] * (1 << _SHIFT) + 0.5))),
        max(1, int(math.floor(lengths[1] * (1 << _SHIFT) + 0.5))),
    )
