"""How a picture shall look: one frozen object."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SettingsError
from .palettes import RGB, SAFE, Palette

__all__ = ["SCALES", "Style"]

SCALES = ("shared", "each")


@dataclass(frozen=True, kw_only=True)
class Style:
    """How a picture shall look.

    Attributes:
        palette: colours and dash patterns.
        max_width, max_height: limits in pixels of one view of a pair, without legend; "both" is two views
            high.
        gap: pixels between the two photographs, and between the two views of "both".
        background: RGB of the gap and of what is left around the photographs.
        legend: True for a strip below the picture that says what is drawn; the photographs keep their place.
        caption: the words of the legend instead of our own, for example in another language; with `legend`
            only. The font that Pillow brings along has no accents: they are dropped.
        line_opacity: opacity of the lines where they cross a photograph, in [0, 1]; rings and numbers are
            opaque.
        map_opacity: opacity of the strongest colour of a map, in [0, 1].
        scale: "shared": one scale for both photographs and all matches, so that weak looks weak; "each":
            every map has its own, as in the public code.
        gamma: exponent that map values are raised to, relative to the scale's end; below 1 lifts the weak
            ones.

    Raises:
        SettingsError: a value is out of its range.
    """

    palette: Palette = SAFE
    max_width: int = 2064
    max_height: int = 1024
    gap: int = 16
    background: RGB = (244, 244, 242)
    legend: bool = True
    caption: str | None = None
    line_opacity: float = 0.85
    map_opacity: float = 0.8
    scale: str = "shared"
    gamma: float = 0.5

    def __post_init__(self) -> None:
        for name in ("line_opacity", "map_opacity"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"style '{name}' is {getattr(self, name)}; it must be 0 to 1")
        if not 0.05 <= self.gamma <= 20.0:
            raise SettingsError(
                f"style 'gamma' is {self.gamma}; it must be 0.05 to 20, 1 leaves values as they are"
            )
        if self.gap < 0 or self.max_width < self.gap + 2 or self.max_height < 1:
            raise SettingsError(
                f"a picture of at most {self.max_width} x {self.max_height} px with a gap of {self.gap} px "
                f"has no room for two photographs; raise max_width and max_height, 2064 and 1024 by default"
            )
        if self.scale not in SCALES:
            raise SettingsError(
                f"style 'scale' has no choice {self.scale!r}; choose from: {', '.join(SCALES)}"
            )
