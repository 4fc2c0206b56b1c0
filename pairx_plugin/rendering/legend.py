"""The strip below a picture: numbers, colours, and what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import canvas
from .canvas import Pixels
from .colour_maps import hatching
from .labels import Plate, draw_plate, plate_size
from .lettering import Lettering
from .lines import draw_strokes
from ..evidence import LayerEvidence
from .palettes import RGB, Palette, Pen
from .paths import dashes
from .style import Style

__all__ = ["Legend", "Swatch", "colours_legend", "draw_legend", "is_maps_only", "lines_legend"]

_PROOF = "Evidence, not proof."
LINES = (
    "Left the query, right the candidate. Each line joins two places that look alike to the network, 1 "
    f"counting most; a ring is as exact as a place is known. {_PROOF}"
)
NO_LINES = (
    f"Left the query, right the candidate. The network found no two places that look alike to it. {_PROOF}"
)
NOT_DRAWN = f"Left the query, right the candidate. No line was asked for. {_PROOF}"
MAPS_ONLY = (
    "Left the query, right the candidate. This method draws no lines: its colours say where in each "
    f"photograph, not which place belongs to which. {_PROOF}"
)
COLOURS = (
    "Each colour marks what the network saw at the ends of the match with that number, on one scale: the "
    f"fuller, the more it counted. {_PROOF}"
)
COLOURS_EACH = (
    "Each colour marks what the network saw at the ends of the match with that number, every map on a scale "
    f"of its own: do not compare them. {_PROOF}"
)
RELEVANCE = "The fuller the colour, the more the place counted in comparing the two photographs."
SIGNED = (
    "One colour speaks for the similarity of the two photographs, the other, hatched, against it; the fuller, the "
    "more."
)
OWN_SCALE = "Each photograph has a scale of its own."

_INK: RGB = (45, 45, 45)
_CAPITAL = 10.5  # height of capitals, in units


@dataclass(frozen=True, kw_only=True)
class Swatch:
    """A sample: lines of `pens`, the plate of number `rank`, or a ramp up to `colour`, hatched or not; then a word."""

    pens: tuple[Pen, ...] = ()
    rank: int = 0
    colour: RGB | None = None
    text: str = ""
    hatched: bool = False


@dataclass(frozen=True, kw_only=True)
class Legend:
    """What a legend says: samples, and a sentence or two."""

    swatches: tuple[Swatch, ...]
    text: str


def is_maps_only(layer: LayerEvidence) -> bool:
    """Return whether the explainer has maps and no matches; one that looks for matches has figures, be there none."""
    return layer.plausibility is None and not len(layer.matches)


def lines_legend(layer: LayerEvidence, style: Style) -> Legend:
    """Return what to say about the lines of a layer."""
    count = len(layer.lines)
    without = MAPS_ONLY if is_maps_only(layer) else NO_LINES if not len(layer.matches) else NOT_DRAWN
    return Legend(swatches=_line_swatches(style.palette, count), text=LINES if count else without)


def colours_legend(layer: LayerEvidence, style: Style) -> Legend:
    """Return what to say about a layer's colours: of its matches, or of its relevance without them."""
    palette, maps = style.palette, len(layer.pixels_0)
    fields = (layer.pixels_0, layer.pixels_1) if maps else (layer.relevance_0, layer.relevance_1)
    scale = f"{OWN_SCALE} {_PROOF}" if is_maps_only(layer) else _PROOF
    if any(bool((field < 0).any()) for field in fields):
        both = (
            Swatch(colour=palette.positive, text="for"),
            Swatch(colour=palette.negative, text="against", hatched=True),
        )
        return Legend(swatches=both, text=f"{SIGNED} {scale}")
    if not maps:
        return Legend(swatches=(Swatch(colour=palette.single, text="relevance"),), text=f"{RELEVANCE} {scale}")
    plates = tuple(Swatch(rank=index + 1, colour=palette.hue(index)) for index in range(maps))
    return Legend(swatches=plates, text=COLOURS if style.scale == "shared" else COLOURS_EACH)


def _line_swatches(palette: Palette, count: int) -> tuple[Swatch, ...]:
    """Return one sample per round of pens that `count` matches use: lines, and the numbers that have them."""
    swatches: list[Swatch] = []
    first = 0
    while first < count:
        turn = len(palette.hues) if first < palette.distinct else count
        last = min(first + turn, count)
        pens = tuple(palette.pen(index) for index in range(first, min(last, first + len(palette.hues))))
        numbers = str(last) if last == first + 1 else f"{first + 1}-{last}"
        swatches.append(
            Swatch(pens=pens[:1] if pens[0].shared and not palette.repeats else pens, text=numbers)
        )
        first = last
    return tuple(swatches)


def draw_legend(legends: Sequence[Legend], width: int, unit: float, background: RGB) -> Pixels:
    """Return a strip of `width` pixels with one paragraph per legend."""
    lettering = Lettering(_CAPITAL * unit)
    return np.concatenate([_paragraph(legend, width, unit, background, lettering) for legend in legends])


def _paragraph(legend: Legend, width: int, unit: float, background: RGB, lettering: Lettering) -> Pixels:
    row, margin = int(round(27 * unit)), int(round(10 * unit))
    strip = np.full((row * (len(legend.swatches) + 2), width, 3), background, np.uint8)
    x, y = float(margin), row * 0.5 + 4 * unit
    for swatch in legend.swatches:
        x = _draw_swatch(strip, swatch, x, y, unit, lettering)
    left = int(x)
    left += int(round(8 * unit))
    if left > 0.5 * width:  # too little is left beside the samples
        left, y = margin, y + row
    lines = _balanced(legend.text, max(1, width - left - margin), lettering)
    needed = int(y + row * (max(1, len(lines)) - 0.5) + 4 * unit)
    canvas_rows = np.full((max(needed, 1), width, 3), background, np.uint8)
    kept = min(needed, len(strip))
    canvas_rows[:kept] = strip[:kept]
    for index, line in enumerate(lines):
        _write(canvas_rows, line, left, y + index * row, lettering)
    return canvas_rows


def _balanced(text: str, width: int, lettering: Lettering) -> list[str]:
    """Break `text` into as few lines as fit, then as evenly as that many allow."""
    lines = lettering.wrapped(text, width)
    for share in (0.9, 0.8, 0.7, 0.6, 0.5):
        narrower = lettering.wrapped(text, int(width * share))
        if len(narrower) > len(lines):
            break
        lines = narrower
    return lines


def _draw_swatch(
    pixels: Pixels, swatch: Swatch, x: float, y: float, unit: float, lettering: Lettering
) -> float:
    """Draw one sample with its left end at x and its middle at y; return where the next one begins."""
    if swatch.pens:
        for pen in swatch.pens:
            length = (50.0 if pen.dash and pen.dash[0] else 32.0) * unit  # two whole strokes of a dashed pen
            sample = np.array([[x + 4 * unit, y], [x + 4 * unit + length, y]])
            draw_strokes(pixels, dashes(sample, pen.dash, 7 * unit), pen, unit)
            x += length + 14.0 * unit
        x += 2.0 * unit
    elif swatch.rank and swatch.colour is not None:
        x = _draw_number(pixels, swatch.rank, swatch.colour, x, y, unit)
    elif swatch.colour is not None:
        x = _draw_ramp(pixels, swatch.colour, x, y, unit, hatched=swatch.hatched)
    if swatch.text:
        _write(pixels, swatch.text, int(round(x)), y, lettering)
        x += lettering.width(swatch.text) + 12.0 * unit
    return x + 8.0 * unit


def _draw_number(pixels: Pixels, rank: int, colour: RGB, x: float, y: float, unit: float) -> float:
    lettering = Lettering(10.0 * unit)
    width, height = (length + 4.5 * unit for length in plate_size(lettering.mask(str(rank))))
    middle = (x + width / 2.0, y)
    pen = Pen(colour=colour, dash=(), weight=1.0)
    draw_plate(
        pixels, Plate(rank=rank, centre=middle, size=(width, height), anchor=middle), pen, lettering, unit
    )
    return x + width - 3.0 * unit


def _draw_ramp(pixels: Pixels, colour: RGB, x: float, y: float, unit: float, *, hatched: bool = False) -> float:
    width, height = int(round(110 * unit)), int(round(13 * unit))
    top, left = int(round(y - height / 2)), int(round(x))
    share = np.linspace(0.0, 1.0, width)[None, :, None]
    ramp = np.array([150.0, 150.0, 150.0]) * (1 - share) + np.array(colour, np.float64) * share
    if hatched:
        strokes = hatching((height, width), max(5, round(7 * unit)))[..., None] * share
        ramp = np.where(strokes < 0, ramp * (1 + 0.5 * strokes), ramp + (255 - ramp) * 0.5 * strokes)
    room = pixels[top : top + height, left : left + width]
    room[...] = np.rint(np.broadcast_to(ramp, (height, width, 3)))[: room.shape[0], : room.shape[1]].astype(
        np.uint8
    )
    return x + width + 8.0 * unit


def _write(pixels: Pixels, text: str, left: int, middle: float, lettering: Lettering) -> None:
    mask = lettering.mask(text)
    canvas.draw_mask(pixels, mask, (left, int(round(middle - mask.shape[0] / 2.0))), _INK)
