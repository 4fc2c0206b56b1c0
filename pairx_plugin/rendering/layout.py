"""Where the two photographs of a pair stand in a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..evidence import cell_points
from .canvas import Size
from .style import Style

__all__ = ["Box", "Layout", "lay_out"]

_MAX_WIDTH_RATIO = 3.0  # at equal height a wider photograph than this would leave the other a sliver
_MIN_SHARE = 1.0 / 3.0  # of the other's height, however long and thin a photograph is
_MIN_HEIGHT = 600.0  # thumbnails are enlarged up to here, so that numbers do not cover them


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle in whole pixels: (x, y) of its top left corner, and its size."""

    x: int
    y: int
    width: int
    height: int

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.height, self.width

    @property
    def window(self) -> tuple[slice, slice]:
        """The index that cuts the box out of a picture."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def points(self, cells: NDArray[Any], grid: Size) -> NDArray[np.float32]:
        """Return the centres (x, y) of feature-map cells (row, col) as (n, 2) points of the picture."""
        return cell_points(cells, grid, self.size) + np.array([self.x, self.y], np.float32)

    def cell_radii(self, grid: Size) -> tuple[float, float]:
        """Return half the (width, height) of a feature-map cell in this box."""
        return self.width / grid[1] / 2.0, self.height / grid[0] / 2.0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One view: its size in pixels and the boxes of the query (left) and the candidate (right).

    Attributes:
        unit: width in pixels of the thinnest line; everything that is drawn grows with the picture by it.
    """

    width: int
    height: int
    box_0: Box
    box_1: Box
    unit: float


def lay_out(size_0: Size, size_1: Size, style: Style) -> Layout:
    """Place two photographs of these (height, width) side by side, each at its own aspect.

    Both get one height, because a chip is cut to its animal, which then stands equally high on both sides.
    Only where one would become three times as wide as the other is it made lower, and centred.
    """
    aspect_0, aspect_1 = size_0[1] / size_0[0], size_1[1] / size_1[0]
    share_0 = max(_MIN_SHARE, min(1.0, _MAX_WIDTH_RATIO * aspect_1 / aspect_0))
    share_1 = max(_MIN_SHARE, min(1.0, _MAX_WIDTH_RATIO * aspect_0 / aspect_1))
    wanted = max(_MIN_HEIGHT, size_0[0] / share_0, size_1[0] / share_1)
    room = (style.max_width - style.gap) / (share_0 * aspect_0 + share_1 * aspect_1)
    height = min(wanted, float(style.max_height), room)
    (height_0, width_0), (height_1, width_1) = (
        (max(1, math.floor(height * share + 1e-6)), max(1, math.floor(height * share * aspect + 1e-6)))
        for share, aspect in ((share_0, aspect_0), (share_1, aspect_1))
    )
    tall = max(height_0, height_1)
    width = width_0 + style.gap + width_1
    return Layout(
        width=width,
        height=tall,
        box_0=Box(x=0, y=(tall - height_0) // 2, width=width_0, height=height_0),
        box_1=Box(x=width_0 + style.gap, y=(tall - height_1) // 2, width=width_1, height=height_1),
        unit=min(3.0, max(0.7, math.sqrt(width * tall) / 1200.0)),
    )
