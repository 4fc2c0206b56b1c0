"""Relevance of many seeds at once, each on a part of a map.

A seed that starts at one cell of a layer reaches only the pixels around that cell. A :class:`Patch` holds the part
that it has reached so far, for every seed of a batch, and knows where on the map each part lies. What the network kept
of the forward pass is read at that place; beyond the map's border it is filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from .single_pass import magnitudes

__all__ = ["Images", "Patch"]

Corners = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Images:
    """Which image of the forward batch each seed belongs to.

    Attributes:
        of_seed: for each of K seeds, the row of its image.
        n_images: B, rows of the forward batch.
    """

    of_seed: tuple[int, ...]
    n_images: int

    @cached_property
    def aligned(self) -> bool:
        """Whether there is one seed per image, in order."""
        return self.of_seed == tuple(range(self.n_images))

    @cached_property
    def rounds(self) -> list[tuple[list[int], list[int]]]:
        """Seeds split so that each round has at most one per image: pairs (rows of seeds, rows of images)."""
        turn: dict[int, int] = {}
        groups: list[tuple[list[int], list[int]]] = []
        for row, image in enumerate(self.of_seed):
            index = turn.get(image, 0)
            turn[image] = index + 1
            if index == len(groups):
                groups.append(([], []))
            groups[index][0].append(row)
            groups[index][1].append(image)
        return groups


@dataclass(frozen=True, eq=False)
class Patch:
    """Relevance of K seeds.

    Attributes:
        values: (K, ...) relevance; (K, C, h, w) where it is a part of a map.
        images: which image each seed belongs to.
        corners: (row, col) on the map of each part's top left value, possibly beyond the border; None for whole maps.
    """

    values: torch.Tensor
    images: Images
    corners: Corners | None = None

    @property
    def corner(self) -> tuple[int, int]:
        """(row, col) on the map of the top left value, of the first part."""
        return self.corners[0] if self.corners is not None else (0, 0)

    def put(self, values: torch.Tensor) -> Patch:
        """Return other values at the same place."""
        return replace(self, values=values)

    def split(self, size: int) -> list[Patch]:
        """Return patches of at most `size` seeds each; alone, a seed has a part of the map that fits it."""
        patches = []
        for start in range(0, len(self.values), size):
            part = slice(start, start + size)
            images = Images(self.images.of_seed[part], self.images.n_images)
            patches.append(Patch(self.values[part], images, self.corners[part] if self.corners else None))
        return patches

    def read(self, kept: torch.Tensor, fill: float = 0.0) -> torch.Tensor:
        """Return what a (B, ...) tensor has where this patch lies: (K, ...), or (1, ...) to broadcast."""
        images = self.images
        if self.corners is None:
            if kept.shape[0] == 1 or images.aligned:
                return kept
            return kept.index_select(0, torch.tensor(images.of_seed, device=kept.device))
        height, width = self.values.shape[2:]
        if len(self.values) == 1:
            (row, col), image = self.corners[0], images.of_seed[0]
            if row >= 0 and col >= 0 and row + height <= kept.shape[2] and col + width <= kept.shape[3]:
                return kept[image : image + 1, :, row : row + height, col : col + width]
        read = kept.new_full((len(self.values), kept.shape[1], height, width), fill)
        for part, image, corner in zip(read, images.of_seed, self.corners):
            _copy(kept[image], (0, 0), part, corner)
        return read

    def trimmed(self, size: tuple[int, int]) -> Patch:
        """Return the patch without what lies beyond a map of (height, width), whole where it covers all of it.

        Parts of one batch have one size, so that only what all of them have beyond the border goes.
        """
        if self.corners is None:
            return self
        return self._without_overhang(size)._aligned(size)

    def _without_overhang(self, size: tuple[int, int]) -> Patch:
        assert self.corners is not None
        spans = []
        for axis in (0, 1):
            length = self.values.shape[2 + axis]
            before = max(0, min(-corner[axis] for corner in self.corners))
            after = max(0, min(corner[axis] + length - size[axis] for corner in self.corners))
            if before + after >= length:  # nothing of it is on the map; keep one row of nothing
                return self
            spans.append((before, length - after))
        (top, bottom), (left, right) = spans
        values = self.values[:, :, top:bottom, left:right]
        return replace(self, values=values, corners=tuple((row + top, col + left) for row, col in self.corners))

    def _aligned(self, size: tuple[int, int]) -> Patch:
        """Return the patch with every part moved onto the map along the axes that it covers wholly."""
        assert self.corners is not None
        height, width = (min(had, there) for had, there in zip(self.values.shape[2:], size))
        if (height, width) == tuple(self.values.shape[2:]) and (height, width) != size:
            return self
        corners = tuple(
            (0 if height == size[0] else row, 0 if width == size[1] else col) for row, col in self.corners
        )
        values = self.values
        if corners != self.corners or (height, width) != tuple(values.shape[2:]):
            values = values.new_zeros((*values.shape[:2], height, width))
            for into, have, corner, had in zip(values, self.values, corners, self.corners):
                _copy(have, had, into, corner)
        return replace(self, values=values, corners=None if (height, width) == size else corners)

    def cropped(self, share: float) -> tuple[Patch, NDArray[np.float64]]:
        """Return the patch without its outermost rows and columns, as far as they hold next to nothing.

        Args:
            share: how much of any seed's magnitude may be cut off.

        Returns:
            The patch, and (K,) the share that was cut off, at most `share`.
        """
        cut = np.zeros(len(self.values))
        if self.corners is None or share <= 0:
            return self, cut
        edges = []
        for profile in magnitudes(self.values):
            totals = np.maximum(profile.sum(1, dtype=np.float64), np.finfo(np.float32).tiny)
            for ordered in (profile, profile[:, ::-1]):
                lost = ordered.cumsum(1, dtype=np.float64) / totals[:, None]
                width = int((lost.max(0, initial=0.0) <= share / 4).sum())
                width = min(width, (ordered.shape[1] - 1) // 2)
                edges.append(width)
                cut += lost[:, width - 1] if width else 0.0
        top, bottom, left, right = edges
        height, width = self.values.shape[2:]
        values = self.values[:, :, top : height - bottom, left : width - right]
        corners = tuple((row + top, col + left) for row, col in self.corners)
        return replace(self, values=values, corners=corners), cut

    def plus(self, other: Patch) -> Patch:
        """Return the sum of two patches of one map."""
        if self.corners is None or other.corners is None:
            return self._onto_whole(other)
        if self.corners == other.corners and self.values.shape == other.values.shape:
            return self.put(self.values + other.values)
        both = tuple(zip(self.corners, other.corners))
        corners = tuple((min(a[0], b[0]), min(a[1], b[1])) for a, b in both)
        size = [
            max(
                max(a[axis] + self.values.shape[2 + axis], b[axis] + other.values.shape[2 + axis]) - corner[axis]
                for (a, b), corner in zip(both, corners)
            )
            for axis in (0, 1)
        ]
        values = self.values.new_zeros((*self.values.shape[:2], *size))
        for patch in (self, other):
            assert patch.corners is not None
            for into, part, corner, had in zip(values, patch.values, corners, patch.corners):
                _add(part, had, into, corner)
        return replace(self, values=values, corners=corners)

    def whole(self, size: Sequence[int]) -> torch.Tensor:
        """Return (K, C, H, W) with zeros where the patch does not reach."""
        if self.corners is None:
            return self.values
        values = self.values.new_zeros((*self.values.shape[:2], *size))
        for into, part, corner in zip(values, self.values, self.corners):
            _copy(part, corner, into, (0, 0))
        return values

    def _onto_whole(self, other: Patch) -> Patch:
        big, small = (self, other) if self.corners is None else (other, self)
        return big.put(big.values + small.whole(big.values.shape[2:]))


def _overlap(
    part: torch.Tensor, corner: tuple[int, int], into: torch.Tensor, into_corner: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return views of both where they lie on the same values of the map; corners are places on it."""
    top, left = max(corner[0], into_corner[0]), max(corner[1], into_corner[1])
    bottom = min(corner[0] + part.shape[1], into_corner[0] + into.shape[1])
    right = min(corner[1] + part.shape[2], into_corner[1] + into.shape[2])
    if top >= bottom or left >= right:
        return None
    views = [
        tensor[:, top - row : bottom - row, left - col : right - col]
        for tensor, (row, col) in ((part, corner), (into, into_corner))
    ]
    return views[0], views[1]


def _copy(part: torch.Tensor, corner: tuple[int, int], into: torch.Tensor, into_corner: tuple[int, int]) -> None:
    views = _overlap(part, corner, into, into_corner)
    if views is not None:
        views[1].copy_(views[0])


def _add(part: torch.Tensor, corner: tuple[int, int], into: torch.Tensor, into_corner: tuple[int, int]) -> None:
    views = _overlap(part, corner, into, into_corner)
    if views is not None:
        views[1].add_(views[0])
