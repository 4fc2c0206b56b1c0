"""Where relevance starts: a pair's similarity, shared among the components of its embeddings."""

from __future__ import annotations

import torch

from ..errors import ModelError

__all__ = ["product_seeds"]


def product_seeds(embeddings_0: torch.Tensor, embeddings_1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cosine of each pair and the terms that it is the sum of.

    The terms, unlike the cosine's gradient, sum to the cosine, so that relevance that is conserved on its way down adds
    up to the similarity at every layer; and they are the same for both sides.

    Args:
        embeddings_0, embeddings_1: (K, D), or (1, D) to broadcast.

    Returns:
        (K,) cosine in [-1, 1], and (K, D) products of the unit embeddings' components; float64.

    Raises:
        ModelError: an embedding is zero, so that its direction is undefined.
    """
    lengths = [part.double().norm(dim=1, keepdim=True) for part in (embeddings_0, embeddings_1)]
    if any((length == 0).any() for length in lengths):
        raise ModelError("an embedding is all zeros, so that its similarity to another is undefined; check the model")
    terms = (embeddings_0.double() / lengths[0]) * (embeddings_1.double() / lengths[1])
    return terms.sum(1).clamp(-1.0, 1.0), terms
