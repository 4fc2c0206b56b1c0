"""Dense layers of a twin whose bias the host keeps somewhere else, and steps that are put into a twin's modules."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

__all__ = ["put_in", "with_bias"]


def with_bias(dense: nn.Linear, bias: torch.Tensor | None) -> nn.Linear:
    """Return a dense layer with the weight of another, whose memory it shares, and a bias of its own."""
    layer = nn.Linear(dense.in_features, dense.out_features, bias=bias is not None, device="meta")
    layer.weight = dense.weight
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
    return layer.eval()


def put_in(
    module: Any, forward: Callable[..., Any], steps: Mapping[str, nn.Module], *, under: str = "forward"
) -> None:
    """Give a twin's module other steps by name, and another method that runs them.

    Args:
        module: of a twin; an attribute on the instance shadows its class's method.
        forward: a function whose first argument is the module.
        steps: modules by name; one of a name that is there already takes its place.
        under: the method that the function takes the place of.
    """
    module._modules.update(steps)
    module.__dict__[under] = types.MethodType(forward, module)
