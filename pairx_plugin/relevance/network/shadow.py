"""A twin of the host's network that shares its weights, so that the host's own is never touched.

The twin has modules of its own around the host's tensors: whatever is set on it (evaluation mode, rules, tracing) stays
on it. Reading a weight is all that ever happens to the host's network.
"""

from __future__ import annotations

import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from .unusual_modules import inside_alone, is_unreadable, is_wrapper, makes_weight, refuse_unreadable

__all__ = ["buffers_apart", "is_in_place", "make_outline", "make_twin", "usable", "weights_signature"]

Place = Callable[[torch.Tensor], torch.Tensor]

_HOOK_ATTRIBUTES = frozenset({
    "_backward_pre_hooks",
    "_backward_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
})  # fmt: skip
_CONTAINERS = frozenset({list, set, dict, OrderedDict, defaultdict, deque})
_PLAIN = frozenset({bool, int, float, str, type(None)})
_GROUPS = frozenset({"_parameters", "_buffers", "_modules"})
_COMPILED = "_compiled_call_impl"  # what nn.Module.compile() put in the place of the host's own call
_IN_PLACE = "_writes_over_its_input"


def make_twin(network: nn.Module, dtype: torch.dtype | None = None, *, in_place: bool = False) -> nn.Module:
    """Return a copy of the module tree whose parameters and buffers share the host's memory.

    The twin is in evaluation mode, has none of the host's hooks and asks for no parameter gradients; what hooks of
    torch's own make of its weights is there. The host's modules are read only. Lists and dictionaries among their
    attributes are copied, since a forward pass may write into them; other attributes are shared.

    Args:
        network: the host's network, in any state.
        dtype: of the twin's numbers; where it is not the host's own, they are copies.
        in_place: let modules write over their inputs where the host's do; see :func:`is_in_place`.

    Returns:
        A module of the same class that computes what `network.eval()` would.

    Raises:
        UnsupportedArchitecture: a module of the network cannot be read; see :mod:`.unusual_modules`.
    """
    place: Place = lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor
    return _Making(network, place, in_place).twin_of(network)


def make_outline(network: nn.Module) -> nn.Module:
    """Return a twin without values, on torch's ``meta`` device: it computes shapes at next to no cost.

    Raises:
        UnsupportedArchitecture: see :func:`make_twin`.
    """
    return _Making(network, lambda tensor: tensor.to("meta")).twin_of(network)


def is_in_place(module: nn.Module) -> bool:
    """Return whether a twin's module is set to write over its input on the host's network."""
    return bool(module.__dict__.get(_IN_PLACE, False))


@dataclass(eq=False)
class _Making:
    """One twin in the making: what there is of it, by the identity of what it is made of."""

    network: nn.Module
    place: Place
    in_place: bool = False
    twins: dict[int, nn.Module] = field(default_factory=dict)
    tensors: dict[int, torch.Tensor] = field(default_factory=dict)
    containers: dict[int, Any] = field(default_factory=dict)

    def twin_of(self, module: nn.Module) -> nn.Module:
        if id(module) in self.twins:  # a module that is registered twice stays one module
            return self.twins[id(module)]
        if is_unreadable(module):
            refuse_unreadable(self.network)
            return module  # it is no part of the network: kept in a list, say
        twin = module.__class__.__new__(module.__class__)
        self.twins[id(module)] = twin
        state = {name: value for name, value in module.__dict__.items() if name != _COMPILED}
        for name, value in state.items():
            if name in _HOOK_ATTRIBUTES:
                state[name] = type(value)()
            elif name in _GROUPS:
                state[name] = type(value)((key, self.own(item)) for key, item in value.items())
            elif type(value) not in _PLAIN and not name.endswith("_hooks"):  # of loading and saving: nobody's affair
                state[name] = self.own(value)
        state["training"] = False
        if isinstance(state.get("inplace"), bool):
            state[_IN_PLACE] = state["inplace"] or state.get(_IN_PLACE, False)
            state["inplace"] = state["inplace"] and self.in_place  # relevance needs the inputs of a step after the step
        if is_wrapper(module):
            state["forward"] = types.MethodType(inside_alone, twin)
        twin.__dict__.update(state)
        for hook in filter(makes_weight, module._forward_pre_hooks.values()):
            with torch.inference_mode(False), torch.no_grad():
                hook(twin, ())  # it sets the weight that it makes; the host's may be of an earlier forward pass
        return twin

    def own(self, value: Any) -> Any:
        """Return the twin's own of what a host's module has as an attribute, or in a container there."""
        if isinstance(value, nn.Module):
            return self.twin_of(value)
        if isinstance(value, torch.Tensor):
            return self.share(value)
        if isinstance(value, types.MethodType) and isinstance(value.__self__, nn.Module):
            return types.MethodType(value.__func__, self.own(value.__self__))  # it must run on the twin's children
        if type(value) is partial:
            return partial(self.own(value.func), *map(self.own, value.args), **self.own(value.keywords))
        if type(value) is tuple:
            return tuple(map(self.own, value))
        if type(value) not in _CONTAINERS:
            return value
        if id(value) not in self.containers:
            copy = self.containers[id(value)] = value.copy()
            if isinstance(copy, dict):
                copy.update({key: self.own(item) for key, item in value.items()})
            else:
                items = list(map(self.own, value))
                copy.clear()
                (copy.update if isinstance(copy, set) else copy.extend)(items)
        return self.containers[id(value)]

    def share(self, tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in self.tensors:
            shared = self.place(tensor.detach())
            is_parameter = isinstance(tensor, nn.Parameter)
            self.tensors[id(tensor)] = nn.Parameter(shared, requires_grad=False) if is_parameter else shared
        return self.tensors[id(tensor)]


@contextmanager
def buffers_apart(twin: nn.Module) -> Iterator[None]:
    """Let a twin's forward pass have buffers of its own, into which it may count, and then the host's again."""
    shared = [(module, dict(module._buffers)) for module in twin.modules() if module._buffers]
    try:
        for module, buffers in shared:
            for name, buffer in buffers.items():
                module._buffers[name] = None if buffer is None else buffer.clone()
        yield
    finally:
        for module, buffers in shared:
            module._buffers.update(buffers)


def usable(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that autograd may keep; one that was made in inference mode must be copied for that."""
    if not tensor.is_inference():
        return tensor
    with torch.inference_mode(False):
        return tensor.clone()


def weights_signature(network: nn.Module) -> tuple[Any, ...]:
    """Return what changes when the host swaps, updates or moves a weight, at the cost of no copy.

    Two equal signatures mean that a twin, what was folded out of its weights, and what was computed with them hold. The
    first and the last number of each tensor are in it: an update through ``tensor.data`` leaves no other trace (half of
    4 ms for efficientnetv2_rw_m).
    """
    signature: list[Any] = []
    ends: dict[tuple[Any, ...], list[torch.Tensor]] = {}
    with torch.no_grad():
        for module in _modules_of(network):
            for group in (module._parameters, module._buffers):
                for tensor in group.values():
                    if tensor is not None:
                        version = 0 if tensor.is_inference() else tensor._version
                        signature.append((id(tensor), tensor.data_ptr(), version))
                        if tensor.numel() and not tensor.is_meta:
                            ends.setdefault((tensor.device, tensor.dtype), []).append(_ends(tensor))
        numbers = [torch.cat(together).view(torch.uint8).cpu().numpy().tobytes() for together in ends.values()]
    return *signature, *numbers


def _modules_of(network: nn.Module) -> Iterator[nn.Module]:
    """Yield each module that a twin can have, once, in half the time that it takes with names."""
    seen, rest = {id(network)}, [network]
    while rest:
        module = rest.pop()
        yield module
        for child in module._modules.values():
            if child is not None and id(child) not in seen and not isinstance(child, torch.jit.ScriptModule):
                seen.add(id(child))
                rest.append(child)


def _ends(tensor: torch.Tensor) -> torch.Tensor:
    """Return the first and the last number of a tensor, (2,)."""
    if tensor.is_contiguous():
        return tensor.as_strided((2,), (tensor.numel() - 1,))
    return tensor.reshape(-1)[[0, -1]]
