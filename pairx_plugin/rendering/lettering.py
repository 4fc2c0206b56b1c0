"""Words and numbers as masks, in the font that Pillow brings along."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Lettering"]


_FINE = 3  # letters are drawn so many times larger and averaged: small sizes are uneven otherwise
_CAPITAL = 0.72  # height of a capital of the built-in font, as a share of its size


class Lettering:
    """One font at one size; it remembers what it has drawn.

    Args:
        height: pixels from the top of a capital letter to the baseline.
    """

    def __init__(self, height: float) -> None:
        self.height = max(5, int(round(height)))
        self._font: Any
        try:
            self._room = self.height * _FINE
            self._font = ImageFont.load_default(size=self._room / _CAPITAL)
        except (TypeError, ImportError):  # before Pillow 10.1, or a Pillow without FreeType: a bitmap font
            self._room = 16
            self._font = ImageFont.load_default()
        self._masks: dict[str, NDArray[np.uint8]] = {}
        _, capital = self._drawn("H")
        self._top, self._native = (capital[1], capital[3] - capital[1]) if capital else (0, self._room)

    def mask(self, text: str) -> NDArray[np.uint8]:
        """Return `text` as (h, w) uint8, cut to its width; letters that the font lacks lose their accents.

        Every mask of one lettering is two capitals high, with half a capital above the capitals.
        """
        if text not in self._masks:
            self._masks[text] = self._made(text)
        return self._masks[text]

    def width(self, text: str) -> int:
        """Return the width in pixels of `text`."""
        return int(self.mask(text).shape[1])

    def wrapped(self, text: str, width: int) -> list[str]:
        """Break `text` at spaces into lines of at most `width` pixels; a longer word stays whole."""
        space = self.width("n n") - self.width("nn")
        lines: list[str] = []
        used = 0
        for word in text.split():
            length = self.width(word)
            if lines and used + space + length <= width:
                lines[-1] += f" {word}"
                used += space + length
            else:
                lines.append(word)
                used = length
        return lines

    def _made(self, text: str) -> NDArray[np.uint8]:
        board, bounds = self._drawn(_plain(text))
        top = self._top - self._native // 2
        left, right = (bounds[0], bounds[2]) if bounds else (0, 1)
        cut = board.crop((left, top, right, top + 2 * self._native))
        width = max(1, round(cut.width * self.height / self._native))
        shrinks = self._native > self.height
        way = Image.Resampling.BOX if shrinks else Image.Resampling.BICUBIC
        return np.array(cut.resize((width, 2 * self.height), way), np.uint8)

    def _drawn(self, text: str) -> tuple[Image.Image, tuple[int, int, int, int] | None]:
        """Return a board with `text` on it, and the bounds of its ink."""
        room = self._room
        board = Image.new("L", (2 * room * (len(text) + 2), 6 * room), 0)
        ImageDraw.Draw(board).text((room, 2 * room), text, fill=255, font=self._font)
        return board, board.getbbox()


def _plain(text: str) -> str:
    """Return `text` in ASCII, all that the font has: accents are dropped, other letters become "?"."""
    parts = unicodedata.normalize("NFKD", text)
    return (
        "".join(part for part in parts if not unicodedata.combining(part)).encode("ascii", "replace").decode()
    )
