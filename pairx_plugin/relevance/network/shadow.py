"""A twin of the host's network that shares its weights, so that the host's own is never touched.

The twin has modules of its own around the host's tensors: whatever is set on it (evaluation mode, rules, tracing) stays
on it. Reading a weight is all that ever happens to the host's network.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

__all__ = ["make_outline", "make_twin", "usable", "weights_signature"]

Place = Callable[[torch.Tensor], torch.Tensor]

_HOOK_ATTRIBUTES = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


def make_twin(network: nn.Module, dtype: torch.dtype | None = None) -> nn.Module:
    """Return a copy of the module tree whose parameters and buffers share the host's memory.

    The twin is in evaluation mode, has none of the host's hooks, computes nothing in place and asks for no parameter
    gradients. The host's modules are read only; attributes that are neither modules nor tensors are shared.

    Args:
        network: the host's network, in any state.
        dtype: of the twin's numbers; where it is not the host's own, they are copies.

    Returns:
        A module of the same class that computes what `network.eval()` would.
    """
    return _twin_of(network, {}, {}, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)


def make_outline(network: nn.Module) -> nn.Module:
    """Return a twin without values, on torch's ``meta`` device: it computes shapes at next to no cost."""
    return _twin_of(network, {}, {}, lambda tensor: tensor.to("meta"))


def _twin_of(
    module: nn.Module, twins: dict[int, nn.Module], tensors: dict[int, torch.Tensor], place: Place
) -> nn.Module:
    if id(module) in twins:  # a module that is registered twice stays one module
        return twins[id(module)]
    twin = module.__class__.__new__(module.__class__)
    twins[id(module)] = twin
    state = dict(module.__dict__)
    for name in _HOOK_ATTRIBUTES:
        if name in state:
            state[name] = type(state[name])()
    state["_parameters"] = type(state["_parameters"])(
        (name, _share(tensor, tensors, place)) for name, tensor in state["_parameters"].items()
    )
    state["_buffers"] = type(state["_buffers"])(
        (name, _share(tensor, tensors, place)) for name, tensor in state["_buffers"].items()
    )
    state["_modules"] = type(state["_modules"])(
        (name, None if child is None else _twin_of(child, twins, tensors, place))
        for name, child in state["_modules"].items()
    )
    for name, value in state.items():
        if isinstance(value, types.MethodType) and value.__self__ is module:
            state[name] = types.MethodType(value.__func__, twin)  # a patched forward must run on the twin's children
    state["training"] = False
    if isinstance(state.get("inplace"), bool):
        state["inplace"] = False  # relevance needs the inputs of a step after the step
    twin.__dict__.update(state)
    return twin


def _share(tensor: Any, tensors: dict[int, torch.Tensor], place: Place) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if id(tensor) not in tensors:
        shared = place(tensor.detach())
        tensors[id(tensor)] = nn.Parameter(shared, requires_grad=False) if isinstance(tensor, nn.Parameter) else shared
    return tensors[id(tensor)]


def usable(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that autograd may keep; one that was made in inference mode must be copied for that."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def weights_signature(network: nn.Module, *, values: bool = False) -> tuple[Any, ...]:
    """Return what changes when the host swaps, updates or moves a weight, at the cost of no copy.

    Two equal signatures mean that a twin, and everything folded out of its weights, still holds.

    Args:
        network: the host's network.
        values: look at the first and the last number of each tensor too. An update through ``tensor.data`` leaves no
            other trace, and matters where a twin holds copies (8 ms more for efficientnetv2_rw_m).
    """
    signature: list[Any] = []
    for module in network.modules():
        for group in (module._parameters, module._buffers):
            for tensor in group.values():
                if tensor is not None:
                    version = 0 if tensor.is_inference() else tensor._version
                    signature.append((id(tensor), tensor.data_ptr(), version))
                    if values and tensor.numel():
                        flat = tensor.detach().reshape(-1)
                        signature.append((flat[0].item(), flat[-1].item()))
    return tuple(signature)
