"""Similarity mining: hide what a pair's similarity stands on, and ask that nothing of it be left.

For a triplet of anchor, positive and negative the attention maps of all three are made as the explainer
`similarity_attention` makes them, the attended places are hidden, and the hidden pictures are embedded again.
Positive and negative should then be equally far from the anchor: so the maps must cover all the evidence there
is, and the network must not spread it where no map shows it.

Source: Zheng et al., "Learning Similarity Attention", arXiv 1911.07381, similarity mining; the steepness and
the place of the mask are ours, and both are fixed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Tuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .network import EmbeddingNetwork

STEEPNESS, PLACE = 10.0, 0.5
"""Of the sigmoid over a map whose maximum is 1."""
TRIPLETS = 4
"""Of each batch: every one costs three more pictures."""


def triplets(embeddings: torch.Tensor, group: int, rng: np.random.Generator, count: int = TRIPLETS) -> torch.Tensor:
    """Rows of some triplets of a batch: int64 [T, 3], anchor, positive and the negative most similar to the anchor.

    Args:
        embeddings: float32 [N, D]; each run of `group` rows, at least 2, is one individual.
        group: photographs of each individual.
        rng: chooses the anchors.
        count: how many at most, each of another individual.
    """
    unit = functional.normalize(embeddings.detach().float())
    runs = len(unit) // group
    chosen = rng.permutation(runs)[:count]
    rows = []
    for run in chosen:
        anchor, positive = (int(run) * group + int(shot) for shot in rng.permutation(group)[:2])
        similarity = unit @ unit[anchor]
        similarity[int(run) * group : (int(run) + 1) * group] = -2.0
        rows.append([anchor, positive, int(similarity.argmax())])
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)


def triplet_weights(anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """(1 - |a - p|) * |a - n| of embeddings at length one, [T, D] each, as constants."""
    return ((1 - (anchor - positive).abs()) * (anchor - negative).abs()).detach()


def attention_maps(network: EmbeddingNetwork, features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Attention maps in 0..1 that can be differentiated themselves.

    Args:
        network: whose neck is used with its running statistics, so that no picture looks at another.
        features: last feature maps float32 [N, C, h, w], with their graph.
        weights: float32 [N, D], of the embedding at length one.

    Returns:
        float32 [N, h, w], each divided by its maximum; zeros where nothing is attended to.
    """
    if not features.requires_grad:
        features = features.detach().requires_grad_()
    scalar = (weights * functional.normalize(settled_neck(network, features))).sum()
    (gradient,) = torch.autograd.grad(scalar, features, create_graph=True)
    maps = torch.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1))
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-12)


def hidden(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Images [N, 3, H, W] without what the maps [N, h, w] attend to: mean colour, as they are normalised."""
    grown = functional.interpolate(maps[:, None], images.shape[-2:], mode="bilinear", align_corners=False)
    return images * (1 - torch.sigmoid(STEEPNESS * (grown - PLACE)))


def left_over(embeddings: torch.Tensor) -> torch.Tensor:
    """Mean over triplets of how much farther one is from the anchor than the other, of unit vectors [T, 3, D]."""
    to_positive = (embeddings[:, 0] - embeddings[:, 1]).norm(dim=1)
    to_negative = (embeddings[:, 0] - embeddings[:, 2]).norm(dim=1)
    return (to_positive - to_negative).abs().mean()


def mining_loss(
    network: EmbeddingNetwork, images: torch.Tensor, features: torch.Tensor, group: int, rng: np.random.Generator
) -> torch.Tensor:
    """Similarity mining loss of some triplets of a batch.

    Args:
        images: float32 [N, 3, side, side]; each run of `group` is one individual.
        features: the network's last feature maps of them, float32 [N, C, h, w], with their graph.
        group: at least 2.
        rng: chooses the triplets.
    """
    rows = triplets(settled_neck(network, features), group, rng).flatten()
    chosen = features[rows]
    unit = functional.normalize(settled_neck(network, chosen)).view(-1, 3, network.bn.num_features)
    weights = triplet_weights(*unit.unbind(1)).repeat_interleave(3, 0)
    maps = attention_maps(network, chosen, weights)
    without = hidden(images[rows], maps).contiguous(memory_format=torch.channels_last)
    with statistics_kept(network), torch.autocast("cpu", dtype=torch.bfloat16):
        again = network.backbone.forward_features(without)
    embeddings = functional.normalize(settled_neck(network, again.float()))
    return left_over(embeddings.view(-1, 3, network.bn.num_features))


def settled_neck(network: EmbeddingNetwork, features: torch.Tensor) -> torch.Tensor:
    """Embeddings [N, D] of feature maps with the neck's running statistics, whatever mode the network is in."""
    bn = network.bn
    pooled = network.pooling(features)
    return functional.batch_norm(pooled, bn.running_mean, bn.running_var, bn.weight, bn.bias, False, 0.0, bn.eps)


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Run pictures with holes inside: batch norms use their statistics and do not remember them."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before: Tuple[float, ...] = tuple(norm.momentum for norm in norms)  # type: ignore[misc]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before):
            norm.momentum = momentum
