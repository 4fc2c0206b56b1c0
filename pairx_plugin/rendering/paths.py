"""The ways that lines take between two photographs: straight, or bowed where one would hide another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bows", "dashes", "path", "rim"]

_MAX_BOWED = 60  # leading lines that are kept apart; beyond, a picture is a thicket anyway
_LEVELS = (0, 1, -1, 2, -2, 3, -3)
_SAMPLES = 24


def bows(starts: NDArray[Any], ends: NDArray[Any], clearance: float, height: float) -> NDArray[np.float64]:
    """Return how far each line should bow sideways, in pixels, so that no two leading ones hide each other.

    Cells lie on a grid, so matches of one row often share one line. The most relevant stays straight.

    Args:
        starts, ends: (n, 2) points, most relevant first; every start lies left of every end.
        clearance: pixels that two lines should be apart where they run side by side.
        height: of the picture, which no line shall leave.
    """
    levels = np.zeros(len(starts), np.int64)
    for index in range(1, min(len(starts), _MAX_BOWED)):
        close = _runs_along(starts[:index], ends[:index], starts[index], ends[index], clearance)
        used = set(levels[:index][close].tolist())
        middle = float(starts[index][1] + ends[index][1]) / 2.0
        free = [level for level in _LEVELS if 0.0 <= middle + level * clearance <= height]
        levels[index] = next((level for level in free if level not in used), 0)
    return (levels * clearance).astype(np.float64)


def path(
    start: NDArray[Any], end: NDArray[Any], radii: tuple[tuple[float, float], tuple[float, float]], bow: float
) -> NDArray[np.float64]:
    """Return points (n, 2) from the rim of one ring to that of the other, `bow` pixels off in the middle."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    along = end - start
    length = float(np.hypot(along[0], along[1]))
    if length == 0.0:
        return np.stack([start, end])
    across = np.array([-along[1], along[0]]) / length
    control = (
        start + end
    ) / 2.0 + across * 2.0 * bow  # a quadratic curve passes halfway to its control point
    first, last = _leave(start, control, radii[0]), _leave(end, control, radii[1])
    if bow == 0.0:
        return np.stack([first, last])
    share = np.linspace(0.0, 1.0, _SAMPLES)[:, None]
    curve: NDArray[np.float64] = (
        (1 - share) ** 2 * first + 2 * share * (1 - share) * control + share**2 * last
    )
    return curve


def dashes(points: NDArray[Any], pattern: tuple[float, ...], width: float) -> NDArray[np.float64]:
    """Cut a path into strokes (n, 2, 2) of a :class:`~.palettes.Pen`'s pattern, in widths of the line."""
    steps = np.hypot(*np.diff(points, axis=0).T)
    if not pattern or float(steps.sum()) == 0.0:
        return np.stack([points[:-1], points[1:]], axis=1).astype(np.float64)
    way = np.concatenate([[0.0], np.cumsum(steps)])
    begins = np.arange(0.0, way[-1], pattern[0] * width + (pattern[1] + 1.0) * width)
    places = np.stack([begins, np.minimum(begins + pattern[0] * width, way[-1])], axis=1)
    return np.stack([np.interp(places, way, points[:, 0]), np.interp(places, way, points[:, 1])], axis=-1)


def rim(radii: tuple[float, float], angle: float) -> float:
    """Return the distance from the middle of an upright ellipse to its rim."""
    return 1.0 / math.hypot(math.cos(angle) / radii[0], math.sin(angle) / radii[1])


def _leave(middle: NDArray[Any], towards: NDArray[Any], radii: tuple[float, float]) -> NDArray[np.float64]:
    angle = math.atan2(float(towards[1] - middle[1]), float(towards[0] - middle[0]))
    step = rim(radii, angle)
    return np.array([middle[0] + math.cos(angle) * step, middle[1] + math.sin(angle) * step])


def _runs_along(
    starts: NDArray[Any], ends: NDArray[Any], start: NDArray[Any], end: NDArray[Any], clearance: float
) -> NDArray[np.bool_]:
    """Tell which straight lines stay within `clearance` of another all along the stretch that both cover."""
    left = np.maximum(starts[:, 0], start[0])
    right = np.minimum(ends[:, 0], end[0])

    def level(a: NDArray[Any], b: NDArray[Any], x: NDArray[Any]) -> NDArray[Any]:
        run = np.maximum(b[..., 0] - a[..., 0], 1e-9)
        result: NDArray[Any] = a[..., 1] + (b[..., 1] - a[..., 1]) * (x - a[..., 0]) / run
        return result

    apart_left = np.abs(level(starts, ends, left) - level(start, end, left))
    apart_right = np.abs(level(starts, ends, right) - level(start, end, right))
    result: NDArray[np.bool_] = (left < right) & (apart_left < clearance) & (apart_right < clearance)
    return result
