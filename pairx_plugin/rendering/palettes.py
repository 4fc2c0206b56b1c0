"""Colours and dash patterns that tell matches apart, as data.

The safe palette keeps its hues apart for readers with protan, deutan and tritan vision; a test simulates all
three and measures it. Colour is never the only cue: every match also has a dash pattern and a number at both
ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

from ..errors import SettingsError, nearest

__all__ = ["PALETTES", "REFERENCE", "RGB", "SAFE", "Palette", "Pen", "palette_named"]

RGB = Tuple[int, int, int]

# Stroke and gap in widths of the outlined line, the gap between round ends; empty means one unbroken stroke.
SOLID: tuple[float, ...] = ()
DASHED: tuple[float, ...] = (2.6, 0.9)
DOTTED: tuple[float, ...] = (0.0, 0.8)


@dataclass(frozen=True, kw_only=True)
class Pen:
    """How one match is drawn.

    Attributes:
        colour: RGB of lines, rings, numbers and the pixel map.
        dash: stroke and gap in widths of the outlined line; empty for an unbroken line.
        weight: width of the line as a share of the strongest pen's, in (0, 1].
        shared: True where further matches look the same, so that only the number tells them apart.
    """

    colour: RGB
    dash: tuple[float, ...]
    weight: float
    shared: bool = False


@dataclass(frozen=True, kw_only=True)
class Palette:
    """The colours of one look.

    Attributes:
        name: what settings call it.
        hues: RGB colours of the leading matches.
        dashes: one pattern per round through the hues, the most solid first.
        weights: width of the pens of each round.
        neutral: RGB of the matches that come after all rounds.
        single: RGB of a map that belongs to no match.
        positive, negative: RGB of the two signs of a map.
        repeats: True to begin again with the first pen instead of going neutral.
    """

    name: str
    hues: tuple[RGB, ...]
    dashes: tuple[tuple[float, ...], ...] = (SOLID, DASHED, DOTTED)
    weights: tuple[float, ...] = (1.0, 0.8, 0.8)
    neutral: RGB = (236, 236, 236)
    single: RGB
    positive: RGB
    negative: RGB
    repeats: bool = False

    @property
    def distinct(self) -> int:
        """How many matches look different from each other."""
        return len(self.hues) * len(self.dashes)

    def hue(self, index: int) -> RGB:
        """Return the colour of the pixel map of the match at `index`; after the last hue comes the first."""
        return self.hues[index % len(self.hues)]

    def pen(self, index: int) -> Pen:
        """Return the pen of the match at `index`, counted from 0, the most relevant."""
        if index >= self.distinct and not self.repeats:
            return Pen(colour=self.neutral, dash=SOLID, weight=0.6, shared=True)
        turn, hue = divmod(index % self.distinct, len(self.hues))
        return Pen(
            colour=self.hues[hue],
            dash=self.dashes[turn],
            weight=self.weights[turn],
            shared=index >= self.distinct,
        )


# Five of the eight hues of Okabe and Ito, "Color Universal Design" (2008): the closest pair stays furthest
# apart.
SAFE = Palette(
    name="safe",
    hues=((86, 180, 233), (240, 228, 66), (0, 158, 115), (213, 94, 0), (0, 114, 178)),
    single=(213, 94, 0),
    positive=(213, 94, 0),
    negative=(0, 114, 178),
)

# The six CSS colours of WildMeOrg/pairx:src/pairx/core.py, which begin again after the sixth match.
REFERENCE = Palette(
    name="reference",
    hues=((128, 128, 128), (128, 0, 128), (0, 0, 255), (0, 128, 0), (255, 165, 0), (255, 0, 0)),
    dashes=(SOLID,),
    weights=(1.0,),
    single=(255, 0, 0),
    positive=(255, 0, 0),
    negative=(0, 0, 255),
    repeats=True,
)

PALETTES: dict[str, Palette] = {palette.name: palette for palette in (SAFE, REFERENCE)}


def palette_named(name: str) -> Palette:
    """Return the palette that settings call `name`.

    Raises:
        SettingsError: there is none of that name.
    """
    if name not in PALETTES:
        raise SettingsError(
            f"unknown palette {name!r}{nearest(name, PALETTES)}; choose from: {', '.join(PALETTES)}"
        )
    return PALETTES[name]
