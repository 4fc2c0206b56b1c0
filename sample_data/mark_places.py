"""Where the distinctive marks of an individual lie on its coat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

REACH = 1.5
"""Radius of a mark's surroundings in half lengths of the mark, as `generate.visible_marks` takes them."""


@dataclass(frozen=True)
class MarkPlace:
    """The surroundings of one mark: a disc in the coat plane.

    Attributes:
        kind: `scar`, `notch` or `blotch`.
        u, v: its centre in coat coordinates, 0..1.
        radius: in plane heights.
        aspect: width over height of the coat plane.
    """

    kind: str
    u: float
    v: float
    radius: float
    aspect: float

    def covers(self, coat_points: np.ndarray) -> np.ndarray:
        """Whether coat points (u, v) [N, 2] lie within; False for NaN. bool [N]."""
        points = np.atleast_2d(np.asarray(coat_points, np.float64))
        apart = np.hypot((points[:, 0] - self.u) * self.aspect, points[:, 1] - self.v)
        return np.nan_to_num(apart, nan=np.inf) < self.radius
