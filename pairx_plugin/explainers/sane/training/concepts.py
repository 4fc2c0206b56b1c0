"""Whether a network's similarity grows along an attribute: testing with concept activation vectors.

Kim et al. 2018 (arXiv 1711.11279) test class scores; here it is the cosine of two photographs of one individual. An
attribute's vector is its row of the head's weights; the derivative is that of adding it to every cell of the layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..forward import Forward

__all__ = ["NEUTRAL", "binomial_p", "concept_shares", "similarity_gradients"]

NEUTRAL = 0.5
_RANDOM = 100
_SIGNIFICANCE = 0.05


def similarity_gradients(forward: Forward, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> NDArray[np.float64]:
    """Return (n, C): how the cosine of each pair changes as a vector is added to every cell, both sides together.

    Args:
        forward: with the head's layer.
        pairs: two tensors (1, 3, H, W) each.
    """
    found = []
    with torch.inference_mode(False), torch.enable_grad():
        for pair in pairs:
            ends = [forward.with_features(tensor.clone().requires_grad_()) for tensor in pair]
            cosine = (ends[0][0] * ends[1][0]).sum()
            gradients = torch.autograd.grad(cosine, [features for _, features in ends])
            sums = torch.stack([gradient.cpu().double().sum((0, 2, 3)) for gradient in gradients])
            found.append(sums.sum(0).numpy())
    return np.array(found).reshape(len(found), -1)


def concept_shares(
    gradients: NDArray[np.float64], weights: NDArray[np.float64], spread: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Return (A,): the share of pairs whose similarity grows along each attribute; 0.5 where that may be chance.

    Args:
        gradients: (n, C); pairs must be independent of each other, so one for each individual.
        weights: (A, C) rows of the head.
        spread: (C,) standard deviations of the features; random vectors are drawn as a head fitted to nothing would be.
        seed: of the random vectors.
    """
    if not len(gradients):
        return np.full(len(weights), NEUTRAL)
    noise = np.random.default_rng(seed).standard_normal((_RANDOM, len(spread))) / np.maximum(spread, 1e-8)
    chance = float(((gradients @ noise.T) > 0).mean())
    grows = ((gradients @ weights.T) > 0).sum(0)
    n = len(gradients)
    return np.array([k / n if binomial_p(int(k), n, chance) < _SIGNIFICANCE else NEUTRAL for k in grows])


def binomial_p(k: int, n: int, chance: float) -> float:
    """Return the two-sided exact p-value of `k` of `n`: the probability of anything at most as likely.

    >>> round(binomial_p(9, 10, 0.5), 4)
    0.0215
    """
    chance = min(1 - 1e-9, max(1e-9, chance))
    logs = [_log_probability(count, n, chance) for count in range(n + 1)]
    return min(1.0, sum(math.exp(value) for value in logs if value <= logs[k] + 1e-9))


def _log_probability(k: int, n: int, chance: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(chance) + (n - k) * math.log1p(-chance)
