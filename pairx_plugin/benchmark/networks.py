"""Networks to measure with: MiewID's shape around a timm backbone, with the same weights wherever it is built."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import nn

from ..errors import SettingsError
from ..models.catalogue import ModelCatalogue
from ..models.embedding import EmbeddingModel
from ..models.layers import get_layer, suggest_layer
from ..models.miewid import MiewIdNetwork
from .pictures import Pictures

__all__ = ["SEEDED", "load_model", "seeded_network"]

SEEDED = "seeded:"
_QUIET = 0.03  # scale of the last batch norm of a block: features stay local, so that deep cells still match
_SETTLING_SIZE, _SETTLING_PICTURES = (160, 160), 6

_Norm = nn.modules.batchnorm._BatchNorm


def load_model(
    model_id: str, *, input_size: tuple[int, int] | None, layer: str | None, seed: int, device: str
) -> tuple[EmbeddingModel, str]:
    """Load or build the network that is measured, and say which layer is explained.

    Args:
        model_id: ``seeded:NAME`` for :func:`seeded_network` on a timm backbone, else an id of the model catalogue.
        input_size: (height, width); the model's own, or 440 x 440, where none is given.
        layer: key of the layer; the model's own, else the one suggested, where none is given.
        seed: of a seeded network's weights.
        device: such as ``cpu`` or ``cuda``.

    Raises:
        ModelNotFound, ModelError, MissingExtra: the network cannot be loaded.
        LayerNotFound: it has no such layer.
        SettingsError: there is no such device.
    """
    place = _device(device)
    if model_id.startswith(SEEDED):
        network = seeded_network(model_id[len(SEEDED):], seed=seed).to(place)
        model = EmbeddingModel(network, input_size=input_size or (440, 440), model_id=model_id)
    else:
        model = ModelCatalogue().load(model_id, device=str(place), input_size=input_size)
    key = layer or model.default_layer or suggest_layer(model.network, model.input_size).key
    get_layer(model.network, key)
    return model, key


def seeded_network(backbone: str, *, seed: int) -> nn.Module:
    """Build a network of MiewID's shape with weights and batch-norm statistics that follow from the seed.

    Weights come from one NumPy stream per tensor, by name, so that they do not depend on torch's or timm's own
    initialisation. Batch norms get the statistics of a few pictures, without which a deep random network is dead.

    Args:
        backbone: timm's name of the backbone.
        seed: of the weights.

    Returns:
        The network in evaluation mode, on the CPU, in float32.
    """
    network = MiewIdNetwork(backbone)
    _draw_weights(network, seed)
    _settle(network, seed)
    return network.eval()


@torch.no_grad()
def _draw_weights(network: nn.Module, seed: int) -> None:
    quiet = _last_norms(network)
    for module_name, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            rng = np.random.default_rng((seed, zlib.crc32(f"{module_name}.{name}".encode())))
            drawn = torch.from_numpy(rng.standard_normal(tuple(parameter.shape), dtype=np.float32))
            if parameter.ndim > 1:
                parameter.copy_(drawn * (2.0 / parameter[0].numel()) ** 0.5)
            elif isinstance(module, _Norm) and name == "weight":
                parameter.copy_((1.0 + 0.1 * drawn) * (_QUIET if module in quiet else 1.0))
            elif name == "bias":
                parameter.copy_(0.1 * drawn)


def _last_norms(network: nn.Module) -> set[nn.Module]:
    """Return the last batch norm of every block, a block being what stands in a sequence of blocks."""
    found: set[nn.Module] = set()
    for sequence in network.modules():
        if isinstance(sequence, nn.Sequential):
            for block in sequence:
                norms = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)]
                if norms and norms[-1] is not block:
                    found.add(norms[-1])
    return found


def _settle(network: nn.Module, seed: int) -> None:
    """Let every batch norm see a few pictures, and nothing else of the network know of it."""
    norms = [module for module in network.modules() if isinstance(module, _Norm)]
    momenta = [norm.momentum for norm in norms]
    pictures = Pictures(seed, _SETTLING_SIZE).candidates(_SETTLING_PICTURES)
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches, not a running one
        norm.train()
    with torch.no_grad():
        network(EmbeddingModel(network, input_size=_SETTLING_SIZE).tensor(pictures))
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros((), device=device)
    except Exception as error:  # torch's own reasons differ by device and by how it was built
        raise SettingsError(
            f"torch cannot use the device {name!r} here ({str(error).splitlines()[0]}); give cpu, or a device that "
            f"this machine and this torch have"
        ) from error
    return device
