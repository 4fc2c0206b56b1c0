"""Cut chips: the upright, boxed animal that both the network and the reader see.

Pixel (col, row) covers the square from (col, row) to (col + 1, row + 1), so a chip that is neither turned nor
scaled equals the slice of the array. :mod:`pairx_plugin.boxes` says which way a box turns. Outside of the
photograph a chip is black, as in Wildbook IA.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from .boxes import Box, ToImage, box_to_image, checked_box, checked_theta
from .errors import ChipError, SettingsError
from .photographs import Photograph, as_photograph
from .pixels import MIN_SIDE, ChipWarning, Pixels, checked_pixels, read_only

__all__ = ["MAX_SIDE", "MIN_CHIP_SIDE", "Chip", "ChipWarning", "as_chip", "cut_chip", "filler_mask"]

MAX_SIDE = 1024
MIN_CHIP_SIDE = 32  # a smaller box is enlarged to it
LARGEST_SIDE = 16384
_SPARE = 2  # a box is averaged down to so many times the chip, turned, and only then shrunk to it
_NOTABLE_OVERHANG = 0.005  # a smaller share of filler is no news: boxes of turned animals nearly always have a corner
_EDGE = 1e-6  # pixels; rounding errors of points on the edge of the photograph


@dataclass(frozen=True, kw_only=True, eq=False)
class Chip:
    """An upright chip and where it came from; compare two by `sha256`.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, read-only, C-contiguous.
        to_image: (a, b, c, d, e, f): the point at shares (x, y) of the chip, both in [0, 1], lies in the
            photograph at (a x + b y + c, d x + e y + f), in pixels.
        image_size: (width, height) of the photograph.
        bbox: (x, y, width, height) as used, in pixels of the photograph, before the turn.
        theta: turn of the box about its centre, in radians.
        uri: where the photograph came from; empty if unknown.
        warnings: what a reader should know about the chip.
        name: the individual that the host knows it for, None where it does not; no part of `sha256`.
    """

    pixels: Pixels
    to_image: ToImage
    image_size: tuple[int, int]
    bbox: Box
    theta: float = 0.0
    uri: str = ""
    warnings: tuple[ChipWarning, ...] = ()
    name: str | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.pixels.setflags(write=False)  # pickling forgets it

    @classmethod
    def from_array(cls, array: object, *, uri: str = "", name: str | None = None) -> Chip:
        """Take a caller's own chip, copying it.

        Args:
            array: (H, W, 3) uint8 RGB, or a Pillow image in any mode.
            uri: name for records.
            name: of the individual, where it is known.

        Raises:
            ChipError: another type, shape or dtype, empty, or smaller than 8 x 8; says what would do.
        """
        warnings: tuple[ChipWarning, ...] = ()
        if isinstance(array, Image.Image):
            photograph = as_photograph(array, uri=uri)
            array, warnings = photograph.pixels, photograph.warnings
        pixels = checked_pixels(array, what="chip")
        box = (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0]))
        return cls(
            pixels=pixels,
            to_image=box_to_image(box, 0.0),
            image_size=(int(box[2]), int(box[3])),
            bbox=box,
            uri=uri,
            warnings=warnings,
            name=name,
        )

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the shape and the pixels."""
        digest = hashlib.sha256(f"{self.height}x{self.width}x3 uint8 RGB\n".encode())
        digest.update(self.pixels.tobytes())
        return digest.hexdigest()

    def image_points(self, shares: ArrayLike) -> NDArray[np.float64]:
        """Map (n, 2) shares (x, y) of the chip to pixels of the photograph, (n, 2) float64."""
        a, b, c, d, e, f = self.to_image
        x, y = np.asarray(shares, dtype=np.float64).reshape(-1, 2).T
        return np.stack([a * x + b * y + c, d * x + e * y + f], axis=1)

    def inside(self, shares: ArrayLike) -> NDArray[np.bool_]:
        """Return (n,) True where shares (x, y) of the chip have photograph beneath them, not filler."""
        x, y = self.image_points(shares).T
        width, height = self.image_size
        beside = (x < -_EDGE) | (x > width + _EDGE)
        outside: NDArray[np.bool_] = beside | (y < -_EDGE) | (y > height + _EDGE)
        return ~outside


def filler_mask(chip: Chip) -> NDArray[np.bool_]:
    """Return (H, W) True where the centre of a chip's pixel has no photograph beneath it."""
    return _filler(chip.to_image, (chip.width, chip.height), chip.image_size)


def as_chip(value: object, *, uri: str = "") -> Chip:
    """Return a chip from whatever a caller holds.

    Args:
        value: a Chip (returned as it is), an (H, W, 3) uint8 RGB array or Pillow image (taken as a chip), or
            a Photograph, path, bytes or binary file (the whole photograph, shrunk to 1024 pixels if larger).
        uri: name for records; the path unless given.

    Raises:
        ChipError: as :meth:`Chip.from_array` and :func:`pairx_plugin.photographs.read_photograph`.
    """
    if isinstance(value, Chip):
        return value
    readable = (str, os.PathLike, bytes, bytearray, memoryview, Photograph)
    if isinstance(value, readable) or (hasattr(value, "read") and not isinstance(value, Image.Image)):
        return cut_chip(value, uri=uri)
    return Chip.from_array(value, uri=uri)


def cut_chip(
    photograph: object,
    *,
    bbox: Sequence[float] | None = None,
    theta: float | None = 0.0,
    max_side: int = MAX_SIDE,
    min_side: int = MIN_CHIP_SIDE,
    uri: str = "",
    name: str | None = None,
) -> Chip:
    """Cut one upright chip out of a photograph, black where the box hangs over the edge.

    Args:
        photograph: a Photograph, or what :func:`pairx_plugin.photographs.as_photograph` takes.
        bbox: (x, y, width, height) in pixels of the upright photograph, before the turn; None or (0, 0, 0, 0)
            is the whole photograph.
        theta: turn of the box about its centre, in radians; None and NaN count as 0, with a warning.
        max_side: the chip's longer side is at most so long; a larger box is shrunk, antialiased.
        min_side: a chip whose shorter side is shorter is enlarged, as far as `max_side` allows.
        uri: name for records; the photograph's own unless given.
        name: of the individual, where it is known.

    Returns:
        The chip, with the aspect of its box.

    Raises:
        ChipError: the box is not four finite numbers, has a side below 8 pixels, or lies outside.
        ChipNotFound, ChipUnreadable: the photograph cannot be read.
        SettingsError: `max_side` or `min_side` is out of range.
    """
    _check_side("max_side", max_side, MIN_SIDE)
    _check_side("min_side", min_side, 1)
    source = as_photograph(photograph, uri=uri)
    box = checked_box(bbox, source.size)
    angle, doubts = checked_theta(theta)
    size, resized = _chip_size(box, max_side, min_side)
    to_image = box_to_image(box, angle)
    filler = _filler(to_image, size, source.size)
    overhang = _overhang(filler, box, angle, source.size)
    pixels = _resampled(source.pixels, to_image, box, size)
    pixels[filler] = 0  # shrinking smears the photograph's edge a little way into the filler
    return Chip(
        pixels=read_only(pixels),
        to_image=to_image,
        image_size=source.size,
        bbox=box,
        theta=angle,
        uri=uri or source.uri,
        warnings=(*source.warnings, *doubts, *resized, *overhang),
        name=name,
    )


def _check_side(name: str, value: object, low: int) -> None:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (whole and low <= int(value) <= LARGEST_SIDE):  # type: ignore[call-overload]
        raise SettingsError(f"{name} is {value!r}; give a whole number of pixels in {low}..{LARGEST_SIDE}")


def _chip_size(box: Box, max_side: int, min_side: int) -> tuple[tuple[int, int], tuple[ChipWarning, ...]]:
    """Return (width, height) of the chip, and a warning if it is not at the photograph's scale."""
    width, height = box[2:]
    scale = min(max(1.0, min_side / min(width, height)), max_side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if scale == 1.0:
        return size, ()
    code, done = ("CHIP_SHRUNK", "shrunk") if scale < 1.0 else ("CHIP_ENLARGED", "enlarged")
    message = f"The box of {width:g} x {height:g} pixels is {done} to {size[0]} x {size[1]}."
    values = {"width": round(width), "height": round(height)}
    return size, (ChipWarning(code=code, message=message, field="size", values=values),)


def _filler(to_image: ToImage, size: tuple[int, int], image_size: tuple[int, int]) -> NDArray[np.bool_]:
    a, b, c, d, e, f = to_image
    x = ((np.arange(size[0]) + 0.5) / size[0])[None, :]
    y = ((np.arange(size[1]) + 0.5) / size[1])[:, None]
    image_x, image_y = a * x + (b * y + c), d * x + (e * y + f)
    beside = (image_x < 0.0) | (image_x >= image_size[0])
    return beside | (image_y < 0.0) | (image_y >= image_size[1])


def _overhang(
    filler: NDArray[np.bool_], box: Box, theta: float, size: tuple[int, int]
) -> tuple[ChipWarning, ...]:
    if filler.all():
        degrees = abs(theta) > 2.0 * math.pi
        raise ChipError(
            f"bbox {box} with theta {theta:g} holds nothing of the photograph, {size[0]} x {size[1]} pixels: it lies "
            "beside it, or is so large that no pixel of it is left; give a box that overlaps the photograph and is not "
            "much larger, in pixels of the upright photograph" + (", and theta in radians" if degrees else "")
        )
    share = float(filler.mean())
    if share < _NOTABLE_OVERHANG:
        return ()
    message = f"{share:.1%} of the chip lie outside of the photograph and are black."
    return (ChipWarning(code="BBOX_OVERHANGS", message=message, field="bbox", values={"share": share}),)


def _resampled(pixels: Pixels, to_image: ToImage, box: Box, size: tuple[int, int]) -> Pixels:
    """Resample the box to `size` (width, height): bilinear, and antialiased where it shrinks."""
    shrink = min(box[2] / size[0], box[3] / size[1])
    factor = max(1, int(shrink / _SPARE))
    left, top, region = _region(pixels, to_image, margin=2 * factor)
    if factor > 1:
        region = region.reduce(factor)
    width = max(size[0], round(box[2] / factor)) if shrink > 1.0 else size[0]
    height = max(size[1], round(box[3] / factor)) if shrink > 1.0 else size[1]
    a, b, c, d, e, f = to_image
    rows = (a / width, b / height, c - left, d / width, e / height, f - top)
    turned = np.empty((height, width, 3), np.uint8)
    for i, channel in enumerate(region.split()):
        # as floats, because on 8 bits Pillow drops the fraction here, which darkens, instead of rounding
        values = channel.convert("F").transform(
            (width, height),
            Image.Transform.AFFINE,
            tuple(value / factor for value in rows),
            resample=Image.Resampling.BILINEAR,
        )
        turned[:, :, i] = np.rint(np.asarray(values))
    if (width, height) == size:
        return turned
    return np.array(Image.fromarray(turned).resize(size, Image.Resampling.BILINEAR))


def _region(pixels: Pixels, to_image: ToImage, *, margin: int) -> tuple[int, int, Image.Image]:
    """Return (left, top, picture) of the part of the photograph that the box covers, and a margin."""
    a, b, c, d, e, f = to_image
    xs, ys = (c, c + a, c + b, c + a + b), (f, f + d, f + e, f + d + e)
    left, top = (max(0, math.floor(min(edges)) - margin) for edges in (xs, ys))
    right, bottom = (math.ceil(max(edges)) + margin for edges in (xs, ys))
    return left, top, Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
