"""True correspondences between photographs, from the stored maps of coat coordinates to pixels.

Points are (x, y) in photograph pixels, origin at the top-left corner, the first pixel's centre at (0.5, 0.5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Tuple

import numpy as np

from . import path_of

_TOLERANCE = 0.01
"""Largest residual, in pixels, at which the inverse of a map counts as found."""


@dataclass(frozen=True)
class PhotographMap:
    """Where each point of an animal's coat lies in one photograph.

    Attributes:
        grid: float32 [n, n, 2], (x, y) of the coat point u = column / (n - 1), v = row / (n - 1); between
            the nodes the map is the bicubic Catmull-Rom surface through them, with a quadratically
            extrapolated ring outside.
        coat: bool [m, m], row v, column u: the body has a point at ((column + 0.5) / m, (row + 0.5) / m).
        visible: bool [m, m]: and the photograph shows it.
        mask: bool [height, width]: pixels that show the animal.
    """

    grid: np.ndarray
    coat: np.ndarray
    visible: np.ndarray
    mask: np.ndarray

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width of the photograph in pixels."""
        return int(self.mask.shape[0]), int(self.mask.shape[1])

    def project(self, coat_points: np.ndarray) -> np.ndarray:
        """Pixels of coat points.

        Args:
            coat_points: (u, v) in 0..1, float [N, 2].

        Returns:
            (x, y), float64 [N, 2], whether or not the point is on the body, inside the frame or hidden.
        """
        points = np.atleast_2d(np.asarray(coat_points, np.float64))
        padded = _extend(self.grid.astype(np.float64))
        n = self.grid.shape[0]
        place = np.clip(points, 0.0, 1.0) * (n - 1)
        cell = np.minimum(place.astype(int), n - 2)
        weight_u, weight_v = _catmull_rom(place[:, 0] - cell[:, 0]), _catmull_rom(place[:, 1] - cell[:, 1])
        out = np.zeros((len(points), 2))
        for i in range(4):
            for j in range(4):
                out += (weight_v[i] * weight_u[j])[:, None] * padded[cell[:, 1] + i, cell[:, 0] + j]
        return out

    def locate(self, points: np.ndarray) -> np.ndarray:
        """Coat coordinates (u, v) of pixels (x, y), float64 [N, 2]; NaN for points that are not on the
        coat's plane."""
        points = np.atleast_2d(np.asarray(points, np.float64))
        found = np.full(points.shape, np.nan)
        known = np.isfinite(points).all(1)
        if known.any():
            found[known] = self._newton(points[known])
        return found

    def _newton(self, points: np.ndarray, steps: int = 10) -> np.ndarray:
        n, h = self.grid.shape[0], 1e-4
        nodes = self.grid.reshape(-1, 2).astype(np.float64)
        nearest = np.concatenate(
            [
                ((block[:, None] - nodes[None]) ** 2).sum(-1).argmin(1)
                for block in np.array_split(points, len(points) // 2048 + 1)
            ]
        )
        uv = np.stack([nearest % n, nearest // n], -1) / (n - 1)
        for _ in range(steps):
            base = np.clip(uv, h, 1 - h)
            slope_u = (self.project(base + (h, 0)) - self.project(base - (h, 0))) / (2 * h)
            slope_v = (self.project(base + (0, h)) - self.project(base - (0, h))) / (2 * h)
            error = points - self.project(uv)
            det = slope_u[:, 0] * slope_v[:, 1] - slope_v[:, 0] * slope_u[:, 1]
            det = np.where(np.abs(det) < 1e-9, 1e-9, det)
            step = (
                np.stack(
                    [
                        slope_v[:, 1] * error[:, 0] - slope_v[:, 0] * error[:, 1],
                        slope_u[:, 0] * error[:, 1] - slope_u[:, 1] * error[:, 0],
                    ],
                    -1,
                )
                / det[:, None]
            )
            uv = np.clip(uv + np.clip(step, -0.1, 0.1), 0.0, 1.0)
        lost = np.linalg.norm(self.project(uv) - points, axis=1) > _TOLERANCE
        return np.where(lost[:, None], np.nan, uv)

    def shows(self, coat_points: np.ndarray) -> np.ndarray:
        """Whether the photograph shows coat points (u, v) [N, 2]; False for NaN. bool [N]."""
        points = np.atleast_2d(np.asarray(coat_points, np.float64))
        known = np.isfinite(points).all(1)
        m = self.visible.shape[0]
        index = np.clip((np.nan_to_num(points) * m).astype(int), 0, m - 1)
        return known & self.visible[index[:, 1], index[:, 0]]


def _catmull_rom(t: np.ndarray) -> np.ndarray:
    """The four weights of a cubic through equally spaced nodes, for fractions t [N]: float64 [4, N]."""
    return 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]
    )


def _extend(grid: np.ndarray) -> np.ndarray:
    """Add a ring of nodes, extrapolated quadratically, to a grid [n, n, 2]."""
    for _ in range(2):
        first, last = 3 * grid[:1] - 3 * grid[1:2] + grid[2:3], 3 * grid[-1:] - 3 * grid[-2:-1] + grid[-3:-2]
        grid = np.concatenate([first, grid, last]).swapaxes(0, 1)
    return grid


def correspondences(map_0: PhotographMap, map_1: PhotographMap, points_0: np.ndarray) -> np.ndarray:
    """Where points of one photograph lie in another photograph of the same individual.

    Args:
        map_0: map of the photograph that the points are in.
        map_1: map of the other photograph. That both show one individual is for the caller to see to; maps
            of two individuals of one species answer with the same place on the other body.
        points_0: (x, y) pixels in the first photograph, float [N, 2].

    Returns:
        (x, y) pixels in the second photograph, float64 [N, 2]; NaN where the point is not on the visible
        animal in the first photograph, or that place of the coat is not visible in the second.
    """
    coat = map_0.locate(points_0)
    answer = map_1.project(np.nan_to_num(coat))
    answer[~(map_0.shows(coat) & map_1.shows(coat))] = np.nan
    return answer


def common_points(map_0: PhotographMap, map_1: PhotographMap, step: int = 1) -> Tuple[np.ndarray, np.ndarray]:
    """All stored coat points that both photographs show, as pixels of each: two float64 [N, 2].

    Args:
        step: take every `step`-th sample in each direction.
    """
    m = map_0.visible.shape[0]
    rows, columns = np.nonzero((map_0.visible & map_1.visible)[::step, ::step])
    coat = (np.stack([columns, rows], -1) * step + 0.5) / m
    return map_0.project(coat), map_1.project(coat)


def load_maps(folder: Optional[Path] = None) -> Dict[str, PhotographMap]:
    """Maps of all photographs by file name.

    Args:
        folder: a folder that `generate` wrote; None for the shipped one.
    """
    with np.load(path_of("maps", folder)) as archive:
        arrays = {key: archive[key] for key in archive.files}
    samples = arrays["visible"].shape[1]
    coat = np.unpackbits(arrays["coat"], axis=-1, count=samples).astype(bool)
    visible = np.unpackbits(arrays["visible"], axis=-1, count=samples).astype(bool)
    maps, begin = {}, 0
    for i, name in enumerate(arrays["file_name"]):
        height, width = (int(n) for n in arrays["size"][i])
        end = begin + (height * width + 7) // 8
        mask = (
            np.unpackbits(arrays["mask"][begin:end], count=height * width).reshape(height, width).astype(bool)
        )
        maps[str(name)] = PhotographMap(grid=arrays["grid"][i], coat=coat[i], visible=visible[i], mask=mask)
        begin = end
    return maps
