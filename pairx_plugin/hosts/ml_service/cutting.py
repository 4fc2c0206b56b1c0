"""Cuts the animal out of a photograph as ml-service's network saw it, and shows the reader the same.

ml-service resizes the cut straight to the network's input; so does this, from the same pixels, by which the network
computes the embedding that it ranked with. What the picture shows is that cut too, averaged down where it shrinks.

One difference to ml-service at 7cad443, on purpose: an upright box that begins before the photograph is cut at its
edge, not moved inwards.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...chips import LARGEST_SIDE, MAX_SIDE, Chip, ChipWarning, cut_chip, filler_mask
from ...errors import ChipError
from ...photographs import Photograph
from ...pixels import Pixels, read_only
from ...rendering.canvas import resized
from .asked import Place

if TYPE_CHECKING:
    from ...models.embedding import EmbeddingModel

__all__ = ["BoxEmpty", "Cut", "cut_place"]

_LEAST_TURN = 0.1  # radians; ml-service takes less for none, when it embeds too
_LARGEST_SHARE = 1.5  # of a turned box, in areas of its photograph
_FARTHEST = 1e9  # pixels
_WHITE = 255  # beside the photograph; ml-service and the MiewID plugin fill with it what a turn uncovers


class BoxEmpty(ChipError):
    """Nothing of the photograph lies within the box."""

    code = "BBOX_EMPTY"


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """One animal.

    Attributes:
        chip: what the network gets; of its input's size, unless the model has a preprocessing of its own.
        shown: (H, W, 3) uint8 RGB of the network's input size, for the picture.
        warnings: what a reader should know about the cut.
    """

    chip: Chip
    shown: Pixels
    warnings: tuple[ChipWarning, ...]


def cut_place(photograph: Photograph, place: Place, model: EmbeddingModel) -> Cut:
    """Cut one animal out.

    Raises:
        BoxEmpty: the box has no width or height, or lies beside the photograph.
        ChipError: too little is left to match anything.
    """
    turned = abs(place.theta) >= _LEAST_TURN
    box = place.box
    clamped: tuple[ChipWarning, ...] = ()
    if turned and not any(box):
        box = (0.0, 0.0, float(photograph.size[0]), float(photograph.size[1]))
    if any(box):
        if min(box[2], box[3]) <= 0:
            raise BoxEmpty(f"the box {list(box)} has no width or no height; give [x, y, width, height] in pixels")
        box, clamped = (_on_pixels(box, photograph.size), ()) if turned else _clamped(box, photograph.size)
    own = model.preprocessing.custom is not None
    chip = cut_chip(
        photograph,
        bbox=box,
        theta=place.theta if turned else 0.0,
        max_side=MAX_SIDE if own else LARGEST_SIDE,
        min_side=1,
    )
    pixels = np.array(chip.pixels)
    if turned:
        pixels[filler_mask(chip)] = _WHITE
    seen = read_only(pixels if own else _as_input(pixels, model.input_size))
    return Cut(
        chip=dataclasses.replace(chip, pixels=seen),
        shown=resized(pixels, model.input_size),
        warnings=(*chip.warnings, *clamped),
    )


def _as_input(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    from ...models.resizing import resize_pixels  # its room brings torch

    return resize_pixels(pixels, size)


def _on_pixels(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[float, float, float, float]:
    """Return a turned box as ml-service turns it: of whole sides, about the middle of a pixel.

    It is not cut at the photograph's edge, so its size has to be bounded.
    """
    if max(abs(value) for value in box) > _FARTHEST:  # beyond, sums and products are no numbers any more
        raise BoxEmpty(f"the turned box {list(box)} lies far beside the photograph, {size[0]} x {size[1]} pixels")
    if box[2] * box[3] > _LARGEST_SHARE * size[0] * size[1]:
        raise ChipError(
            f"the turned box {list(box)} is far larger than the photograph, {size[0]} x {size[1]} pixels; give a box "
            "around the animal, in pixels of the upright photograph"
        )
    x, y, width, height = box
    column, row = int((2 * x + width) // 2), int((2 * y + height) // 2)
    width, height = max(1.0, float(int(width))), max(1.0, float(int(height)))
    return column + 0.5 - width / 2, row + 0.5 - height / 2, width, height


def _clamped(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[tuple[float, float, float, float], tuple[ChipWarning, ...]]:
    """Return the part of an upright box that lies on the photograph, in whole pixels as ml-service takes them."""
    left, top, width, height = (int(value) for value in box)
    x_0, y_0, x_1, y_1 = max(0, left), max(0, top), min(size[0], left + width), min(size[1], top + height)
    if x_0 >= x_1 or y_0 >= y_1:
        raise BoxEmpty(
            f"the box {list(box)} holds nothing of the photograph, {size[0]} x {size[1]} pixels; give a box on it, in "
            "pixels of the upright photograph"
        )
    inside = float(x_0), float(y_0), float(x_1 - x_0), float(y_1 - y_0)
    if (x_0, y_0, x_1, y_1) == (left, top, left + width, top + height):
        return inside, ()
    message = f"The box {list(box)} hangs over the photograph and was cut to {[int(value) for value in inside]}."
    return inside, (ChipWarning(code="BBOX_CLAMPED", message=message, field="bbox"),)
