"""Checks of a network's state and of what it returns, each with the way out in its message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import ModelError

# Their output, or their own state, depends on the training flag; for everything else the flag does not
# matter.
_FLAG_SENSITIVE = (
    nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd, nn.modules.instancenorm._InstanceNorm
)
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def cause_of(error: BaseException) -> str:
    """Class and first line of an exception: torch lists its kernels and transformers its advice below it."""
    return f"{type(error).__name__}: {error}".strip().split("\n")[0][:300]


def unwrapped(network: nn.Module) -> nn.Module:
    """Take DataParallel, DistributedDataParallel and torch.compile wrappers off; nothing is copied.

    Hooks and layer keys need the plain network: replicas of DataParallel do not carry them, and compiled code
    skips them.
    """
    while True:
        inner = network.module if isinstance(network, _WRAPPERS) else getattr(network, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return network
        network = inner


def check_evaluation_mode(network: nn.Module) -> None:
    """Raise unless the network is in evaluation mode. It is never switched here: the flag is its owner's.

    Raises:
        ModelError: the network, or a batch norm or dropout in it, is in training mode. A forward pass would
            change its running statistics, or give another embedding each time.
    """
    training = [(name, module) for name, module in network.named_modules() if module.training]
    sensitive = [name for name, module in training if _is_sensitive(module)]
    if not network.training and not sensitive:
        return
    named = ", ".join(repr(name) for name in sensitive[:3]) + (", ..." if len(sensitive) > 3 else "")
    details = f" ({len(sensitive)} batch-norm or dropout layers: {named})" if sensitive else ""
    raise ModelError(
        f"{type(network).__name__} is in training mode{details}, so its embeddings may change from call to "
        f"call; call .eval() on it before it is handed over"
    )


def _is_sensitive(module: nn.Module) -> bool:
    return isinstance(module, _FLAG_SENSITIVE) or type(module).__name__ in ("DropPath", "StochasticDepth")


def check_embeddings(output: Any, n: int) -> torch.Tensor:
    """Return `output` when it is a floating tensor (`n`, D) of finite values.

    Raises:
        ModelError: it is something else; the message says what came and how to wrap the network.
    """
    if not isinstance(output, torch.Tensor):
        raise ModelError(f"the network must return one embedding tensor (N, D), got {_described(output)}")
    shape = tuple(output.shape)
    if output.is_complex() or not output.is_floating_point():
        raise ModelError(
            f"the network must return floating-point embeddings, got {output.dtype} of shape {shape}; "
            f"a class index or a hash is not an embedding: return the layer before it"
        )
    if output.ndim != 2:
        raise ModelError(
            f"the network must return embeddings (N, D), got the shape {shape}; {_rank_advice(output)}"
        )
    if shape[0] != n or shape[1] < 1:
        raise ModelError(
            f"the network must return one embedding for each of {n} images, got the shape {shape}; "
            f"keep the batch as the first dimension"
        )
    finite = torch.isfinite(output.detach()).all(dim=1)
    if not bool(finite.all()):
        rows = torch.nonzero(~finite).flatten().tolist()
        raise ModelError(
            f"the network returned NaN or infinity in {len(rows)} of {n} embeddings (first image {rows[0]}); "
            "check its weights and its preprocessing, or use float32 if it runs in half precision"
        )
    return output


def _described(output: Any) -> str:
    if output is None:
        return "None; let its forward() return the embedding"
    if isinstance(output, Mapping):
        keys = [str(key) for key in output]
        example = next((key for key in keys if isinstance(output.get(key), torch.Tensor)), "embedding")
        return (
            f"{type(output).__name__} with the keys {keys[:6]}; "
            f"wrap the network so that it returns one of them, such as output[{example!r}]"
        )
    if isinstance(output, (tuple, list)):
        parts = [str(tuple(x.shape)) if isinstance(x, torch.Tensor) else type(x).__name__ for x in output[:4]]
        first = next((i for i, x in enumerate(output) if isinstance(x, torch.Tensor) and x.ndim == 2), 0)
        return (
            f"a {type(output).__name__} of {len(output)} elements ({', '.join(parts)}); "
            f"wrap the network so that it returns element {first}"
        )
    return f"{type(output).__name__}; wrap the network so that it returns a tensor"


def _rank_advice(output: torch.Tensor) -> str:
    if output.ndim == 4 and output.shape[2:] == (1, 1):
        return "flatten it: output.flatten(1)"
    if output.ndim == 4:
        return "that is a feature map: pool it first, for example output.mean((2, 3))"
    if output.ndim == 3:
        return "those are tokens: take one of them, for example output[:, 0]"
    if output.ndim == 1:
        return "keep the batch dimension, also for a single image"
    return "flatten everything after the batch dimension"
