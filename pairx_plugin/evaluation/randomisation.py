"""Networks whose weights are drawn anew from the top down.

Every tensor of a module keeps its mean and spread, and batch norms take the statistics of the evaluated pictures, so
that the network stays alive: what is lost is what it learnt, and not its scale.

Source: Adebayo et al., NeurIPS 2018 (cascading randomisation).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import nn

from ..models.embedding import EmbeddingModel
from ..pixels import Pixels

__all__ = ["randomised", "with_network"]


def randomised(model: EmbeddingModel, share: float, pictures: Sequence[Pixels], *, seed: int = 0) -> EmbeddingModel:
    """Return a copy of a model whose upper modules have weights drawn anew; the model itself is not touched.

    Args:
        share: of the modules that hold weights, counted from the top; 1 for all.
        pictures: (H, W, 3) uint8, two or more, that batch norms take their statistics from.
        seed: of the weights.
    """
    network = copy.deepcopy(model.network)
    holders = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    n = math.ceil(share * len(holders))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in reversed(holders[len(holders) - n :]):
            for parameter in module.parameters(recurse=False):
                _draw(parameter, generator)
    _settle(network, model.tensor(pictures))
    return with_network(model, network, f"{share:.0%} drawn anew")


def with_network(model: EmbeddingModel, network: nn.Module, what: str) -> EmbeddingModel:
    """Return a model with another network of the same make; `what` says in its id what became of it."""
    return EmbeddingModel(
        network,
        input_size=model.input_size,
        mean=model.preprocessing.mean,
        std=model.preprocessing.std,
        preprocess=model.preprocessing.custom,
        channel_order=model.preprocessing.channel_order,
        default_layer=model.default_layer,
        model_id=f"{model.model_id}, {what}",
    )


def _draw(parameter: torch.Tensor, generator: torch.Generator) -> None:
    if parameter.numel() < 2:
        return  # one number, such as a pooling's power, has no spread to draw from
    values = parameter.detach().double().cpu()
    drawn = torch.randn(values.shape, generator=generator, dtype=torch.float64) * values.std() + values.mean()
    parameter.copy_(drawn.to(parameter.dtype))


def _settle(network: nn.Module, batch: torch.Tensor) -> None:
    """Let batch norms measure `batch`, and leave the network in evaluation mode as it was."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        network(batch)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
        norm.eval()
