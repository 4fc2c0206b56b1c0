"""Match the cells of two feature maps, and order the matches by relevance."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from .errors import EvidenceError
from .evidence import Matches

__all__ = ["match_cells", "mutual_nearest_neighbours", "reduce_channels"]

_CHUNK_BYTES = 64 * 2**20


def mutual_nearest_neighbours(
    descriptors_0: torch.Tensor, descriptors_1: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pair descriptors that are each other's nearest by Euclidean distance.

    Of equally near descriptors the first is taken, on every device; nothing is normalised and no ratio is tested, as in
    OpenCV's brute-force matcher with cross-check, which the public PAIR-X uses.

    Args:
        descriptors_0, descriptors_1: (n_0, C) and (n_1, C), any floating dtype.

    Returns:
        Rows of the first (n,) int64 in ascending order, rows of the second (n,) int64, distances (n,) float64.
    """
    (wide_0, rows_0), (wide_1, rows_1) = _different_rows(descriptors_0), _different_rows(descriptors_1)
    squares_1 = wide_1.square().sum(1)
    n_at_once = max(1, _CHUNK_BYTES // (8 * max(1, len(wide_1))))
    nearest_1, closest_0, smallest = [], [], []
    for start in range(0, len(wide_0), n_at_once):
        part = wide_0[start : start + n_at_once]
        squared = part.square().sum(1, keepdim=True) + squares_1 - 2.0 * (part @ wide_1.T)
        nearest_1.append(_first_minimum(squared, 1)[1])
        least, row = _first_minimum(squared, 0)
        smallest.append(least)
        closest_0.append(row + start)
    best_chunk = _first_minimum(torch.stack(smallest), 0)[1]
    nearest_0 = torch.stack(closest_0).gather(0, best_chunk[None])[0]
    there = torch.cat(nearest_1)
    here = torch.arange(len(wide_0), device=there.device)
    mutual = nearest_0[there] == here
    here, there = here[mutual], there[mutual]
    return rows_0[here], rows_1[there], (wide_0[here] - wide_1[there]).norm(dim=1)


def _different_rows(descriptors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first row of each group of equal ones, (n, C) float64, and which they are, (n,) int64, ascending.

    Only these can be matched, since the first of equally near ones is taken; and where a product of matrices rounds two
    equal rows differently, another one would seem to be nearer.
    """
    wide = descriptors.double()
    rows = torch.arange(len(wide), device=wide.device)
    if len(wide[:, 0].unique()) == len(wide):  # as good as always, unless parts of a picture are empty
        return wide, rows
    seen: dict[bytes, int] = {}
    for row, values in enumerate((wide + 0.0).cpu().contiguous().numpy()):  # minus zero becomes zero
        seen.setdefault(values.tobytes(), row)
    rows = rows[list(seen.values())]
    return wide[rows], rows


def _first_minimum(values: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the minimum along `dim` and the first index that has it; torch promises no order among equals."""
    least = values.amin(dim)
    places = torch.arange(values.shape[dim], device=values.device)
    places = places[:, None] if dim == 0 else places
    behind = values.shape[dim]
    return least, torch.where(values == least.unsqueeze(dim), places, behind).amin(dim)


def reduce_channels(relevance: torch.Tensor, reduction: str) -> torch.Tensor:
    """Return one relevance per cell: (K, C, h, w) to (K, h, w), >= 0.

    Args:
        relevance: signed relevance of a layer's output.
        reduction: ``sum_abs`` (WildMeOrg/pairx), or ``abs_sum`` (pairx-explains/pairx).
    """
    if reduction == "sum_abs":
        return relevance.abs().sum(1)
    if reduction == "abs_sum":
        return relevance.sum(1).abs()
    raise EvidenceError(f"channel reduction '{reduction}' is unknown; choose sum_abs or abs_sum")


def match_cells(
    feature_map_0: torch.Tensor,
    feature_map_1: torch.Tensor,
    relevance_0: NDArray[np.float32],
    relevance_1: NDArray[np.float32],
) -> Matches:
    """Match two feature maps, most relevant match first.

    Args:
        feature_map_0, feature_map_1: (C, h, w), of one layer; the sizes may differ.
        relevance_0, relevance_1: (h, w), one relevance per cell.

    Returns:
        All mutual nearest neighbours. Matches of equal relevance stay in reading order of the query's cells.

    Raises:
        EvidenceError: a feature map has values that are not finite.
    """
    for side, feature_map in enumerate((feature_map_0, feature_map_1)):
        if not torch.isfinite(feature_map).all():
            raise EvidenceError(f"feature map {side} is not finite everywhere; the network overflowed at this layer")
    here, there, distance = mutual_nearest_neighbours(feature_map_0.flatten(1).T, feature_map_1.flatten(1).T)
    index_0, index_1 = here.cpu().numpy(), there.cpu().numpy()
    relevance = relevance_0.reshape(-1)[index_0].astype(np.float64) * relevance_1.reshape(-1)[index_1]
    order = np.argsort(-relevance, kind="stable")
    return Matches(
        cells_0=_cells(index_0[order], relevance_0.shape[1]),
        cells_1=_cells(index_1[order], relevance_1.shape[1]),
        distance=distance.cpu().numpy().astype(np.float32)[order],
        relevance=relevance[order],
    )


def _cells(index: NDArray[np.int64], columns: int) -> NDArray[np.int32]:
    return np.stack(np.divmod(index, columns), axis=1).astype(np.int32)
