"""The picture that the public code draws, from arrays, without matplotlib.

Two rows: lines over a JET overlay of each side's relevance, then the pixel maps of the leading matches in six
sequential colour maps. Its habits are kept: every overlay and every map has a scale of its own, the seventh
match has the first one's colour, and without pixel maps the lower row is black. Only what the public code
cannot draw at all, a constant relevance map (a division by zero there), is drawn as the lowest colour. For a
look of our own see :mod:`pairx_plugin.rendering.panels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ChipError, EvidenceError
from ..evidence import LayerEvidence, cell_points
from . import canvas
from .canvas import Field, Pixels
from .colour_maps import check_chip
from .palettes import REFERENCE

__all__ = [
    "SEQUENTIAL_ANCHORS",
    "power_colours",
    "reference_composite",
    "reference_picture",
    "sequential_colours",
]

# ColorBrewer 2.0 (Cynthia Brewer, Mark Harrower and The Pennsylvania State University, colorbrewer2.org): the
# nine-class sequential schemes, light to dark, as hexadecimal RGB.
SEQUENTIAL_ANCHORS: dict[str, str] = {
    "Greys": "ffffff f0f0f0 d9d9d9 bdbdbd 969696 737373 525252 252525 000000",
    "Purples": "fcfbfd efedf5 dadaeb bcbddc 9e9ac8 807dba 6a51a3 54278f 3f007d",
    "Blues": "f7fbff deebf7 c6dbef 9ecae1 6baed6 4292c6 2171b5 08519c 08306b",
    "Greens": "f7fcf5 e5f5e0 c7e9c0 a1d99b 74c476 41ab5d 238b45 006d2c 00441b",
    "Oranges": "fff5eb fee6ce fdd0a2 fdae6b fd8d3c f16913 d94801 a63603 7f2704",
    "Reds": "fff5f0 fee0d2 fcbba1 fc9272 fb6a4a ef3b2c cb181d a50f15 67000d",
}

_ENTRIES = 256
_GAMMA = 0.95
_INK = 0.8  # share of each map's colour that is laid on


def sequential_colours(name: str) -> NDArray[np.float64]:
    """Return (256, 3) RGB in [0, 1] of one of the six sequential maps, linear between its nine anchors."""
    anchors = np.array([list(bytes.fromhex(code)) for code in SEQUENTIAL_ANCHORS[name].split()]) / 255.0
    stops = np.linspace(0.0, 1.0, len(anchors)) * (_ENTRIES - 1)
    entries = np.linspace(0.0, 1.0, _ENTRIES) * (
        _ENTRIES - 1
    )  # not arange: the last bit shall be matplotlib's
    above = np.clip(np.searchsorted(stops, entries), 1, len(anchors) - 1)
    share = ((entries - stops[above - 1]) / (stops[above] - stops[above - 1]))[:, None]
    return np.clip(share * (anchors[above] - anchors[above - 1]) + anchors[above - 1], 0.0, 1.0)


def power_colours(values: Field, colours: NDArray[np.float64], gamma: float = _GAMMA) -> NDArray[np.float64]:
    """Return (H, W, 3) RGB in [0, 1]: `values` over their maximum, to the power `gamma`, in `colours`."""
    peak = values.max()
    if not peak > 0:
        scaled = np.zeros_like(values)
    else:
        scaled = np.where(values > 0, np.power(np.maximum(values, 0), gamma), values) / np.power(peak, gamma)
    index = np.clip((scaled * len(colours)).astype(np.int64), 0, len(colours) - 1)
    return colours[index]


def reference_composite(
    image_0: Pixels,
    image_1: Pixels,
    *,
    relevance_0: Field,
    relevance_1: Field,
    cells_0: NDArray[Any],
    cells_1: NDArray[Any],
    pixels_0: Sequence[Field] | Field,
    pixels_1: Sequence[Field] | Field,
    k_lines: int = 20,
    background_opacity: float = 0.2,
) -> Pixels:
    """Draw the public code's composite.

    Args:
        image_0, image_1: (H, W, 3) uint8 RGB, as the network saw them, both of one height.
        relevance_0, relevance_1: (h, w) relevance at the layer; their shapes are the grids of the cells.
        cells_0, cells_1: (n, 2) integers (row, col), most relevant first.
        pixels_0, pixels_1: k maps (H, W) >= 0.
        k_lines: how many of the matches are drawn.
        background_opacity: share of the photographs under the lower row; 0 leaves them out.

    Returns:
        (2H, W_0 + W_1, 3) uint8 RGB.

    Raises:
        ChipError: the images differ in height or are not uint8 RGB.
        EvidenceError: cells or maps do not come in pairs, or a map is not of its image's size.

    Source: WildMeOrg/pairx:src/pairx/core.py, draw_matches_and_color_maps.
    """
    _check(image_0, image_1, cells_0, cells_1, pixels_0, pixels_1)
    upper = np.concatenate([_jet_overlay(image_0, relevance_0), _jet_overlay(image_1, relevance_1)], axis=1)
    starts, ends = (
        cell_points(cells[:k_lines], (len(grid), len(grid[0])), (len(image), len(image[0])))
        for cells, grid, image in ((cells_0, relevance_0, image_0), (cells_1, relevance_1, image_1))
    )
    for rank, (start, end) in enumerate(zip(starts, ends)):
        colour = REFERENCE.pen(rank).colour
        here, there = (int(start[0]), int(start[1])), (int(end[0]) + image_0.shape[1], int(end[1]))
        canvas.draw_hairline(upper, here, there, colour)
        canvas.draw_dot(upper, here, colour)
        canvas.draw_dot(upper, there, colour)
    lower = _laid_on_white(pixels_0, pixels_1, (upper.shape[0], upper.shape[1]))
    if background_opacity > 0:
        photographs = np.concatenate([image_0, image_1], axis=1)
        lower = 255 - ((255 - lower) + (255 - photographs) * float(background_opacity))
    return np.concatenate([upper, np.clip(lower, 0, 255).astype(np.uint8)], axis=0)


def reference_picture(
    image_0: Pixels, image_1: Pixels, layer: LayerEvidence, *, background_opacity: float = 0.2
) -> Pixels:
    """Draw the public code's composite of a layer's evidence; see :func:`reference_composite`.

    Chips of another size than the pixel maps' are squashed to it, as the network saw them.
    """
    size = layer.pixels_0.shape[1:3] if len(layer.pixels_0) else image_0.shape[:2]
    image_0, image_1 = (canvas.resized(image, (int(size[0]), int(size[1]))) for image in (image_0, image_1))
    return reference_composite(
        image_0,
        image_1,
        relevance_0=layer.relevance_0,
        relevance_1=layer.relevance_1,
        cells_0=layer.matches.cells_0,
        cells_1=layer.matches.cells_1,
        pixels_0=layer.pixels_0,
        pixels_1=layer.pixels_1,
        k_lines=layer.k_lines,
        background_opacity=background_opacity,
    )


def _jet_overlay(image: Pixels, relevance: Field) -> Pixels:
    low, high = np.min(relevance), np.max(relevance)
    span = high - low
    scaled = 255 * (relevance - low) / span if span > 0 else np.zeros_like(relevance)
    grown = canvas.resized_field(scaled.astype(np.float32), (image.shape[0], image.shape[1]))
    return canvas.blend(image, canvas.jet(grown.astype(np.uint8)), 0.6)


def _laid_on_white(
    pixels_0: Sequence[Field] | Field, pixels_1: Sequence[Field] | Field, size: tuple[int, int]
) -> Any:
    """Return the colour maps side by side, each taken off white; black without any, as in the public code."""
    if len(pixels_0) == 0:
        return np.zeros((*size, 3), np.uint8)
    names = list(SEQUENTIAL_ANCHORS)
    ink = np.zeros((*size, 3))
    for rank, pair in enumerate(zip(pixels_0, pixels_1)):
        colours = sequential_colours(names[rank % len(names)])
        ink += np.concatenate([1 - power_colours(values, colours) for values in pair], axis=1) * _INK
    return (np.clip(1 - ink, 0, 1) * 255).astype(np.uint8)


def _check(
    image_0: Pixels, image_1: Pixels, cells_0: Any, cells_1: Any, pixels_0: Any, pixels_1: Any
) -> None:
    check_chip(image_0)
    check_chip(image_1)
    if len(image_0) != len(image_1):
        raise ChipError(
            f"the reference look needs two images of one height, not {image_0.shape} and {image_1.shape}; "
            f"resize both to the network's input size"
        )
    if len(cells_0) != len(cells_1) or len(pixels_0) != len(pixels_1):
        raise EvidenceError(
            f"matches and pixel maps must come in pairs: {len(cells_0)} and {len(cells_1)} cells, "
            f"{len(pixels_0)} and {len(pixels_1)} maps"
        )
    for image, maps in ((image_0, pixels_0), (image_1, pixels_1)):
        for values in maps:
            if values.shape != image.shape[:2]:
                raise EvidenceError(
                    f"a pixel map is {values.shape} and its image {image.shape[:2]}; resize the images to "
                    f"the network's input size"
                )
