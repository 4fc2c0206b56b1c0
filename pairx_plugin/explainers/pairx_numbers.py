"""What PAIR-X's two modes make of a pair's numbers: where relevance starts, and what a cell and a pixel are worth.

=================  ============================================  ==================================================
number             mode ``reference``                            mode ``corrected``
=================  ============================================  ==================================================
seed               the cosine's gradient, scaled                 the terms that the cosine is the sum of
relevance of cell  magnitudes, by `channel_reduction`            sum over channels: above zero for the match, below
                                                                 zero against it
relevance of match product of both cells                         product of both cells' parts above zero
pixels of a cell   where its activation comes from, magnitudes   where its relevance comes from, signs kept; they add
                                                                 up to the cell's relevance
=================  ============================================  ==================================================

In mode ``corrected`` relevance is conserved: each map adds up to the cosine, so that maps of several pairs share one
scale. A match with an end that speaks against it has relevance 0 and comes last.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from ..matching import reduce_channels
from ..relevance.propagation import cosine_seeds
from ..relevance.seeds import product_seeds
from ..settings import Settings

__all__ = ["cell_relevance", "pair_seeds", "pixel_seeds", "strength"]

Maps = Mapping[str, torch.Tensor]


def pair_seeds(
    embeddings_0: torch.Tensor, embeddings_1: torch.Tensor, settings: Settings
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the cosines (K,) and both sides' relevance of the embeddings' components, (K, D); float64."""
    if settings.mode == "corrected":
        cosine, terms = product_seeds(embeddings_0, embeddings_1)
        return cosine, terms, terms
    cosine, seeds_0 = cosine_seeds(embeddings_0, embeddings_1)
    _, seeds_1 = cosine_seeds(embeddings_1, embeddings_0)
    if settings.similarity_seed == "cosine":
        return cosine, seeds_0 * cosine[:, None], seeds_1 * cosine[:, None]
    return cosine, seeds_0, seeds_1


def cell_relevance(maps: Maps, settings: Settings) -> dict[str, NDArray[np.float32]]:
    """Return one relevance per cell: (K, C, h, w) to (K, h, w), by layer; signs are kept in mode ``corrected``."""
    signed = settings.mode == "corrected"
    reduced = {
        key: value.sum(1) if signed else reduce_channels(value, settings.channel_reduction)
        for key, value in maps.items()
    }
    return {key: value.float().cpu().numpy() for key, value in reduced.items()}


def strength(relevance: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what counts for a match: the relevance above zero."""
    counted: NDArray[np.float32] = np.maximum(relevance, 0)
    return counted


def pixel_seeds(relevance: torch.Tensor, cells: NDArray[np.int32]) -> torch.Tensor:
    """Return the relevance (C, h, w) of a layer's output at cells (k, 2) of (row, col): (k, C)."""
    rows, cols = (torch.as_tensor(part, dtype=torch.long, device=relevance.device) for part in cells.T)
    return relevance[:, rows, cols].T
