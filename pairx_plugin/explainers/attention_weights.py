"""The arithmetic of similarity attention: weights of an embedding's parts, and the map that they make.

Source: Zheng et al., "Learning Similarity Attention", arXiv 1911.07381; ``rank`` and ``product`` are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["WEIGHTS", "attention_map", "rank_correlation", "side_weights"]

WEIGHTS = ("product", "rank", "paper")


def side_weights(
    query: torch.Tensor,
    candidate: torch.Tensor,
    rivals: Sequence[torch.Tensor] = (),
    *,
    weight: str = "product",
    mode: str = "pair",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weights (D,) of the query's and of the candidate's embedding.

    Args:
        query, candidate: embeddings at length one, (D,).
        rivals: embeddings at length one of other individuals; each multiplies the weights by its difference from the
            query, or with ``product`` is subtracted from the candidate by its share.
        weight: one of :data:`WEIGHTS`.
        mode: ``pair``, or ``negative`` for where the two differ.

    >>> a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.6, 0.8])
    >>> [round(value, 2) for value in side_weights(a, b, weight="paper")[0].tolist()]
    [0.6, 0.2]
    """
    if weight == "product":
        sign = -1.0 if mode == "negative" else 1.0
        away = torch.stack(list(rivals)).mean(0) if rivals else torch.zeros_like(candidate)
        return sign * (candidate - away), sign * query
    difference = _difference(query, candidate, weight)
    shared = difference if mode == "negative" else 1.0 - difference
    for rival in rivals:
        shared = shared * _difference(query, rival, weight)
    return shared, shared


def attention_map(feature_map: torch.Tensor, gradient: torch.Tensor, *, signed: bool = False) -> torch.Tensor:
    """Return (B, h, w) float32: channels (B, C, h, w) weighed by their mean gradient and summed, rectified."""
    channel_weights = gradient.float().mean((2, 3), keepdim=True)
    summed = (channel_weights * feature_map.float()).sum(1)
    return summed if signed else summed.clamp(min=0)


def rank_correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return Spearman's correlation of two maps; 0 where one of them is constant."""
    ranks = []
    for values in (a.ravel(), b.ravel()):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((counts.cumsum() - (counts + 1) / 2)[place.ravel()])
    spread = float(ranks[0].std() * ranks[1].std())
    return float(np.mean((ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean()))) / spread if spread else 0.0


def _difference(a: torch.Tensor, b: torch.Tensor, weight: str) -> torch.Tensor:
    """Return how far two embeddings differ in each part: the magnitude, or its rank from 0 to 1, ties at their mean."""
    magnitude = (a - b).abs()
    if weight == "paper":
        return magnitude
    _, place, counts = torch.unique(magnitude, return_inverse=True, return_counts=True)
    rank = (counts.cumsum(0) - counts).to(magnitude) + (counts.to(magnitude) - 1) / 2
    return rank[place] / max(len(magnitude) - 1, 1)
