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

from ...boxes import Box, box_to_image, checked_box, checked_theta
from ...chips import MAX_SIDE, Chip, ChipWarning, cut_chip, filler_mask
from ...photographs import Photograph
from ...pixels import Pixels, read_only
from ...rendering.canvas import resized
from .asked import Place
from .turning import BoxEmpty, averaged, box_of_turned, sampled

if TYPE_CHECKING:
    from ...models.embedding import EmbeddingModel

__all__ = ["BoxEmpty", "Cut", "cut_place"]

_LEAST_TURN = 0.1  # radians; ml-service takes less for none, when it embeds too
_WHITE = 255  # beside the photograph
_NOTABLE = 0.005  # a smaller share of white is no news: boxes of turned animals nearly always have a corner


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """One animal.

    Attributes:
        chip: what the network gets; of its input's size, unless the model has a preprocessing of its own.
        shown: (H, W, 3) uint8 RGB of the network's input size, for the picture.
    """

    chip: Chip
    shown: Pixels

    @property
    def warnings(self) -> tuple[ChipWarning, ...]:
        """What a reader should know about the cut."""
        return self.chip.warnings


def cut_place(photograph: Photograph, place: Place, model: EmbeddingModel) -> Cut:
    """Cut one animal out.

    Raises:
        BoxEmpty: the box has no width or height, or lies beside the photograph.
        ChipError: too little is left to match anything.
    """
    theta, doubts = checked_theta(place.theta if abs(place.theta) >= _LEAST_TURN else 0.0)
    box, clamped = _used(place.box, theta, photograph.size)
    beside = _beside(_chip(photograph, box, theta, np.zeros((*model.input_size, 3), np.uint8)))
    if model.preprocessing.custom is not None:
        cut = _for_own_preprocessing(photograph, box, theta, model.input_size)
    else:
        cut = (_turned if theta else _upright)(photograph, box, theta, model.input_size)
    warnings = (*photograph.warnings, *doubts, *clamped, *beside)
    return dataclasses.replace(cut, chip=dataclasses.replace(cut.chip, warnings=warnings))


def _used(given: Box, theta: float, size: tuple[int, int]) -> tuple[Box, tuple[ChipWarning, ...]]:
    """Return the box in whole pixels, as ml-service takes it, and a warning where some of it was cut off."""
    box = given if any(given) else (0.0, 0.0, float(size[0]), float(size[1]))
    if min(box[2], box[3]) <= 0:
        raise BoxEmpty(f"the box {list(box)} has no width or no height; give [x, y, width, height] in pixels")
    found = box_of_turned(box, theta, size) if theta else _on_photograph(box, size)
    if found is None:
        raise _nothing(box, theta, size)
    if found[2:] == tuple(float(max(1, int(side))) for side in box[2:]):
        return checked_box(found, size), ()
    message = f"The box {list(box)} hangs over the photograph and was cut to {[int(value) for value in found]}."
    return checked_box(found, size), (ChipWarning(code="BBOX_CLAMPED", message=message, field="bbox"),)


def _nothing(box: Box, theta: float, size: tuple[int, int]) -> BoxEmpty:
    turned = f", turned by {theta:g}," if theta else ""
    return BoxEmpty(
        f"the box {list(box)}{turned} holds nothing of the photograph, {size[0]} x {size[1]} pixels; give a box on it, "
        "in pixels of the upright photograph"
    )


def _beside(chip: Chip) -> tuple[ChipWarning, ...]:
    """Return a warning where a notable part of a chip has no photograph beneath it.

    Raises:
        BoxEmpty: no part of it has.
    """
    beside = filler_mask(chip)
    if beside.all():
        raise _nothing(chip.bbox, chip.theta, chip.image_size)
    share = float(beside.mean())
    if share < _NOTABLE:
        return ()
    message = f"{share:.1%} of the chip lie outside of the photograph and are white."
    return (ChipWarning(code="BBOX_OVERHANGS", message=message, field="bbox", values={"share": share}),)


def _on_photograph(box: Box, size: tuple[int, int]) -> Box | None:
    """Return the part of an upright box that lies on the photograph; None where there is none."""
    left, top, width, height = (int(value) for value in box)
    x_0, y_0, x_1, y_1 = max(0, left), max(0, top), min(size[0], left + width), min(size[1], top + height)
    if x_0 >= x_1 or y_0 >= y_1:
        return None
    return float(x_0), float(y_0), float(x_1 - x_0), float(y_1 - y_0)


def _upright(photograph: Photograph, box: Box, theta: float, size: tuple[int, int]) -> Cut:
    from ...models.resizing import resize_pixels  # its room brings torch

    x, y, width, height = (int(value) for value in box)
    pixels = photograph.pixels[y : y + height, x : x + width]
    return Cut(chip=_chip(photograph, box, theta, resize_pixels(pixels, size)), shown=resized(pixels, size))


def _turned(photograph: Photograph, box: Box, theta: float, size: tuple[int, int]) -> Cut:
    to_image, shape = box_to_image(box, theta), (int(box[3]), int(box[2]))
    seen = sampled(photograph.pixels, to_image, shape, size, theta)
    shown = averaged(photograph.pixels, to_image, shape, size)
    return Cut(chip=_chip(photograph, box, theta, seen), shown=shown)


def _for_own_preprocessing(photograph: Photograph, box: Box, theta: float, size: tuple[int, int]) -> Cut:
    """Hand the cut over as it is, for a model that resizes by itself."""
    chip = cut_chip(photograph, bbox=box, theta=theta, max_side=MAX_SIDE, min_side=1)
    pixels = np.array(chip.pixels)
    pixels[filler_mask(chip)] = _WHITE
    return Cut(chip=dataclasses.replace(chip, pixels=read_only(pixels)), shown=resized(pixels, size))


def _chip(photograph: Photograph, box: Box, theta: float, pixels: Pixels) -> Chip:
    return Chip(
        pixels=read_only(pixels),
        to_image=box_to_image(box, theta),
        image_size=photograph.size,
        bbox=box,
        theta=theta,
        uri=photograph.uri,
    )
