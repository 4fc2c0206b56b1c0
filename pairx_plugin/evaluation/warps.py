"""Known warps of a picture: where each point goes is exact, so matches can be judged.

Points are (x, y) in pixels. A warp is drawn from a generator, and `apply` fills the new picture by looking up each of
its pixels in the old one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .packages import scipy

__all__ = ["WARPS", "Move", "Warp", "homography_warp", "similarity_warp", "spline_warp"]

Floats = NDArray[np.float64]
Size = tuple[int, int]
Move = Callable[[Floats], Floats]
"""From (n, 2) points to where they go."""

_ROUNDS, _CLOSE = 60, 1e-3  # pixels


@dataclass(frozen=True, kw_only=True)
class Warp:
    """A warp of pictures of one size.

    Attributes:
        forward: (n, 2) points of the old picture to the new one.
        backward: the inverse.
        size: (height, width).
    """

    forward: Move
    backward: Move
    size: Size

    def apply(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the warped picture, (H, W, 3) uint8, bilinear; beyond the old picture its edge is repeated."""
        height, width = self.size
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        source = self.backward(np.stack([x.ravel(), y.ravel()], axis=1)) - 0.5
        looked_up = [
            scipy("ndimage").map_coordinates(
                picture[..., channel].astype(np.float64), source.T[::-1], order=1, mode="nearest"
            )
            for channel in range(picture.shape[2])
        ]
        stacked = np.stack(looked_up, axis=1).reshape(height, width, picture.shape[2])
        warped: NDArray[np.uint8] = np.clip(np.rint(stacked), 0, 255).astype(np.uint8)
        return warped

    def apply_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the warped (H, W) mask; False beyond the old picture."""
        height, width = self.size
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        source = np.floor(self.backward(np.stack([x.ravel(), y.ravel()], axis=1))).astype(int)
        inside = ((source >= 0) & (source < (width, height))).all(axis=1)
        warped = np.zeros(height * width, dtype=bool)
        warped[inside] = mask[source[inside, 1], source[inside, 0]]
        return warped.reshape(height, width)

    def inside(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Return (n,) whether points of the old picture land within the new one."""
        moved = self.forward(np.asarray(points, np.float64))
        height, width = self.size
        return np.asarray(np.all((moved >= 0) & (moved <= np.array([width, height])), axis=1))


def similarity_warp(size: Size, rng: np.random.Generator) -> Warp:
    """Draw a turn of up to 30 degrees and a scale of 0.8 to 1.25 about the centre."""
    angle = rng.uniform(-math.pi / 6, math.pi / 6)
    scale = math.exp(rng.uniform(math.log(0.8), math.log(1.25)))
    height, width = size
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = np.array([width / 2, height / 2])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = turn, centre - turn @ centre
    return _projective(matrix, size)


def homography_warp(size: Size, rng: np.random.Generator) -> Warp:
    """Draw a homography that moves each corner by up to 10 % of the sides."""
    height, width = size
    corners = np.array([[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]])
    moved = corners + rng.uniform(-0.1, 0.1, (4, 2)) * (width, height)
    rows, right = [], []
    for (x, y), (u, v) in zip(corners, moved):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    matrix = np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)
    return _projective(matrix, size)


def spline_warp(size: Size, rng: np.random.Generator) -> Warp:
    """Draw a thin-plate spline: 5 x 5 control points, each moved by 4 % of the sides (standard deviation)."""
    height, width = size
    x, y = np.meshgrid(np.linspace(0, width, 5), np.linspace(0, height, 5))
    control = np.stack([x.ravel(), y.ravel()], axis=1)
    shift = np.clip(rng.normal(0.0, 0.04, control.shape), -0.08, 0.08) * (width, height)
    spline = scipy("interpolate").RBFInterpolator(control, shift, kernel="thin_plate_spline")

    def backward(points: Floats) -> Floats:
        return points + np.asarray(spline(points), np.float64)

    def forward(points: Floats) -> Floats:
        return _inverted(backward, points)

    return Warp(forward=forward, backward=backward, size=size)


WARPS: Mapping[str, Callable[[Size, np.random.Generator], Warp]] = {
    "similarity": similarity_warp,
    "homography": homography_warp,
    "spline": spline_warp,
}


def _projective(matrix: Floats, size: Size) -> Warp:
    inverse = np.asarray(np.linalg.inv(matrix), np.float64)

    def moved_by(transform: Floats) -> Move:
        def move(points: Floats) -> Floats:
            mapped = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ transform.T
            moved: Floats = mapped[:, :2] / mapped[:, 2:]
            return moved

        return move

    return Warp(forward=moved_by(matrix), backward=moved_by(inverse), size=size)


def _inverted(backward: Move, targets: Floats) -> Floats:
    """Solve backward(y) = x by Newton steps with a numerical slope; a point that does not settle becomes NaN."""
    found = 2.0 * targets - backward(targets)
    step = 0.5
    for _ in range(_ROUNDS):
        error = targets - backward(found)
        if float(np.abs(error).max(initial=0.0)) < _CLOSE / 10:
            break
        slope_x = (backward(found + (step, 0.0)) - backward(found - (step, 0.0))) / (2 * step)
        slope_y = (backward(found + (0.0, step)) - backward(found - (0.0, step))) / (2 * step)
        determinant = slope_x[:, 0] * slope_y[:, 1] - slope_y[:, 0] * slope_x[:, 1]
        determinant = np.where(np.abs(determinant) < 1e-6, 1e-6, determinant)
        change = np.stack(
            [
                slope_y[:, 1] * error[:, 0] - slope_y[:, 0] * error[:, 1],
                slope_x[:, 0] * error[:, 1] - slope_x[:, 1] * error[:, 0],
            ],
            axis=1,
        )
        found = found + np.clip(change / determinant[:, None], -10.0, 10.0)
    lost = np.linalg.norm(targets - backward(found), axis=1) > _CLOSE
    return np.where(lost[:, None], np.nan, found)
