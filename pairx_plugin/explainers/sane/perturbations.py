"""Ways of masking a picture, and what the similarities of its masked versions say about its places.

Every estimate is linear in the similarities, so one candidate costs a matrix product and no forward pass.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from .superpixels import superpixels

__all__ = ["Perturbation", "Rise", "SlidingWindow", "SuperpixelModel"]

Size = tuple[int, int]


class Perturbation(Protocol):
    """A set of masks, and the estimator that belongs to it.

    Attributes:
        n: how many masks there are.
    """

    n: int

    def masks(self, start: int, end: int, size: Size) -> torch.Tensor:
        """Return masks `start` to `end` as (k, 1, H, W) float32 in [0, 1]: 1 shows the picture, 0 the fill."""
        ...

    def estimate(self, similarity: NDArray[np.float64], whole: float) -> NDArray[np.float32]:
        """Return the (h, w) map of (n,) similarities and the unmasked one: above 0 speaks for the similarity."""
        ...


class SlidingWindow:
    """One window after the other is hidden; a place counts as much as the similarity drops.

    The public code returns ``1 - similarity``; the drop is the same up to a constant, and 0 where nothing happens.

    Args:
        cells: windows on each axis, their middles evenly spread.
        window: side of a window as a share of the picture's; at the edge it is cut off.
    """

    def __init__(self, cells: int, window: float) -> None:
        self.n, self._cells, self._window = cells * cells, cells, window

    def masks(self, start: int, end: int, size: Size) -> torch.Tensor:
        middles = (np.arange(start, end)[:, None] // (self._cells, 1) % self._cells + 0.5) / self._cells
        mask = torch.ones((end - start, 1, *size))
        for index, (y, x) in enumerate(middles):
            rows, columns = self._span(y, size[0]), self._span(x, size[1])
            mask[index, 0, rows, columns] = 0.0
        return mask

    def _span(self, middle: float, length: int) -> slice:
        low = int(round((middle - self._window / 2) * length))
        high = int(round((middle + self._window / 2) * length))
        return slice(max(0, low), min(length, max(high, low + 1)))

    def estimate(self, similarity: NDArray[np.float64], whole: float) -> NDArray[np.float32]:
        return (whole - similarity).reshape(self._cells, self._cells).astype(np.float32)


class Rise:
    """Random soft masks; a place counts as much as the similarity is higher when it shows.

    Coarse random cells, shifted at random and interpolated (Petsiuk et al. 2018, arXiv 1806.07421). The map is
    ``sum_i s_i M_i / sum_i M_i - mean_i s_i``: the public code's ``sum_i s_i M_i / mean_i M_i`` divided by n, less the
    mean, so that 0 says that a place does not matter.

    Args:
        n: how many masks.
        cells: of a mask on each axis.
        seed: of the random numbers.
        keep: probability that a cell shows.
    """

    def __init__(self, n: int, cells: int, seed: int, keep: float = 0.5) -> None:
        rng = np.random.default_rng(seed)
        self.n, self._cells = n, cells
        self._shown = torch.from_numpy((rng.random((n, cells + 1, cells + 1)) < keep).astype(np.float32))
        self._shift = torch.from_numpy(rng.random((n, 2)).astype(np.float32))
        self._grid = min(28, 4 * cells)

    def masks(self, start: int, end: int, size: Size) -> torch.Tensor:
        rows, columns = (self._weights(axis, start, end, length) for axis, length in enumerate(size))
        return (rows @ self._shown[start:end] @ columns.transpose(1, 2)).unsqueeze(1)

    def _weights(self, axis: int, start: int, end: int, length: int) -> torch.Tensor:
        """Return (k, length, cells + 1) weights of the shifted cells at `length` evenly spread places."""
        places = (torch.arange(length) + 0.5) * (self._cells / length)
        # A place lies between two cells' middles, which are whole numbers here; the shift moves it by up to a cell.
        shifted = places[None, :] + self._shift[start:end, axis, None] - 0.5
        shifted = shifted.clamp(0, self._cells)
        return (1 - (shifted[..., None] - torch.arange(self._cells + 1)).abs()).clamp(min=0)

    def estimate(self, similarity: NDArray[np.float64], whole: float) -> NDArray[np.float32]:
        weights = self.masks(0, self.n, (self._grid, self._grid)).flatten(1).double().numpy()
        total = weights.sum(0)
        map_ = np.where(total > 0, (similarity - similarity.mean()) @ weights / np.maximum(total, 1e-12), 0.0)
        return map_.reshape(self._grid, self._grid).astype(np.float32)


class SuperpixelModel:
    """Superpixels are hidden at random, and a linear model of the similarity is fitted to them (LIME).

    Weighted ridge regression as in Ribeiro et al. 2016 (arXiv 1602.04938): samples count by
    ``exp(-d^2 / 0.25^2)``, d the cosine distance to the picture that shows everything.

    Args:
        picture: (H, W, 3) uint8 RGB, what the network sees.
        n: how many samples.
        cells: about how many superpixels on each axis.
        seed: of the random numbers.
        penalty: of the ridge regression.
    """

    def __init__(self, picture: NDArray[np.uint8], n: int, cells: int, seed: int, penalty: float = 1.0) -> None:
        self.n = n
        self._labels = superpixels(picture, cells)
        shown = np.random.default_rng(seed).random((n, int(self._labels.max()) + 1)) < 0.5
        self._shown = torch.from_numpy(shown)
        self._solver, self._offset = _ridge(shown.astype(np.float64), penalty)

    def masks(self, start: int, end: int, size: Size) -> torch.Tensor:
        rows, columns = (np.arange(length) * of // length for length, of in zip(size, self._labels.shape))
        labels = torch.from_numpy(self._labels[np.ix_(rows, columns)])
        return self._shown[start:end][:, labels].float().unsqueeze(1)

    def estimate(self, similarity: NDArray[np.float64], whole: float) -> NDArray[np.float32]:
        weights = self._solver @ (similarity - self._offset @ similarity)
        values: NDArray[np.float32] = weights[self._labels].astype(np.float32)
        return values


def _ridge(shown: NDArray[np.float64], penalty: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (K, n) and (n,): with similarities s, the weights are ``solver @ (s - offset @ s)``."""
    share = shown.mean(1)
    distance = 1 - np.sqrt(share)  # cosine distance to all ones: 1 - sum / (sqrt(sum) sqrt(K))
    weight = np.exp(-np.square(distance) / 0.25**2)
    offset = weight / weight.sum()
    centred = shown - offset @ shown
    gram = centred.T @ (weight[:, None] * centred) + penalty * np.eye(shown.shape[1])
    return np.linalg.solve(gram, centred.T * weight), offset
