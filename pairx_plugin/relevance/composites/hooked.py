"""Relevance of one module through zennit's own hooks, for hooks that no rule of ours computes.

The hook never meets the host's module. Each pass makes a copy of the module that shares its weights (see
:mod:`..network.shadow`), registers a copy of the hook on it, asks autograd for the gradient of the input, and lets both
go. So threads have nothing in common, and nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from ...errors import PropagationError, UnsupportedArchitecture, is_out_of_memory
from ..arithmetic.patches import Patch
from ..network.shadow import make_twin
from ..rules.base import Kept, Rule

__all__ = ["Hooked", "stand_in", "usable"]

Tensors = Mapping[str, torch.Tensor]
Step = Callable[..., torch.Tensor]


def stand_in(module: nn.Module, replaced: Mapping[str, Tensors]) -> nn.Module:
    """Return a copy of a module with other weights; those that are not replaced share their memory.

    Args:
        module: of a twin.
        replaced: for modules inside of it, the empty name for itself, new parameters and buffers by name.

    Raises:
        UnsupportedArchitecture: a module has no parameter or buffer of that name.
    """
    copy = make_twin(module)
    for name, tensors in replaced.items():
        inner = copy.get_submodule(name)
        for tensor_name, tensor in tensors.items():
            if tensor_name in inner._parameters:
                inner._parameters[tensor_name] = nn.Parameter(tensor, requires_grad=False)
            elif tensor_name in inner._buffers:
                inner._buffers[tensor_name] = tensor
            else:
                raise UnsupportedArchitecture(
                    f"'{tensor_name}' of a {type(inner).__name__} is computed from something else, so that no batch "
                    f"norm can be merged into it; remove the parametrization, or use another explainer"
                )
    return copy


class Hooked(Rule):
    """Whatever zennit's hooks make of a module.

    A hook sees one row per seed, with the input that belongs to it. Parts of maps do not pass: nothing is known of what
    a hook does at borders.

    Args:
        key: the module's name, for messages.
        module: the module to be copied; see :func:`stand_in` for other weights.
        hooks: zennit hooks for the module, under the empty name, and for those inside of it. They are copied, never
            registered.
        step_of: from a copy of the module to what it computes from its sources.
        carries: which of the sources depend on the image.
    """

    def __init__(
        self,
        key: str,
        module: nn.Module,
        hooks: Mapping[str, Any],
        step_of: Callable[[nn.Module], Step] = lambda module: module,
        carries: Sequence[bool] = (True,),
    ) -> None:
        self.key, self.module, self.hooks = key, usable(module), dict(hooks)
        self.step_of, self.carries = step_of, tuple(carries)

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        images = patch.images
        rows = torch.tensor(images.of_seed, device=patch.values.device)
        with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller's thread is in
            values = [
                _own(value if images.aligned else value.index_select(0, rows)) if carries else value
                for value, carries in zip(kept.inputs, self.carries)
            ]
            leaves = [value.detach().requires_grad_() for value, carries in zip(values, self.carries) if carries]
            found = iter(self._pulled_back(_filled(values, leaves, self.carries), leaves, _own(patch.values)))
        return [patch.put(next(found).to(patch.values.dtype)) if carries else None for carries in self.carries]

    def _pulled_back(
        self, values: Sequence[Any], leaves: Sequence[torch.Tensor], relevance: torch.Tensor
    ) -> list[torch.Tensor]:
        copy = make_twin(self.module)
        registered: list[tuple[Any, Any]] = []  # zennit keeps its hooks by weak references only
        try:
            for name, hook in self.hooks.items():
                of_this_pass = hook.copy()
                registered.append((of_this_pass, of_this_pass.register(copy.get_submodule(name))))
            output = self.step_of(copy)(*values)
            gradients = torch.autograd.grad(output, leaves, relevance.to(output.dtype), allow_unused=True)
        except Exception as error:  # whatever a stranger's hook may raise
            if is_out_of_memory(error):
                raise  # the caller makes room
            names = ", ".join(sorted({type(hook).__name__ for hook in self.hooks.values()}))
            raise PropagationError(
                f"zennit's hook {names} failed on '{self.key}' ({type(self.module).__name__}): "
                f"{type(error).__name__}: {error}; choose another rule for this module, or another composite"
            ) from error
        finally:
            for _, handles in registered:
                handles.remove()
        return [
            torch.zeros_like(leaf) if gradient is None else gradient.detach()
            for leaf, gradient in zip(leaves, gradients)
        ]


def _filled(values: Sequence[Any], leaves: Sequence[torch.Tensor], carries: Sequence[bool]) -> list[Any]:
    found = iter(leaves)
    return [next(found) if of_image else value for value, of_image in zip(values, carries)]


def _own(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor that autograd may keep; one that was made in inference mode must be copied for that."""
    return tensor.clone() if tensor.is_inference() else tensor


def usable(module: nn.Module) -> nn.Module:
    """Return a module with no tensor in it that autograd could not keep: itself, or a copy."""
    if not any(tensor.is_inference() for tensor in (*module.parameters(), *module.buffers())):
        return module
    with torch.inference_mode(False), torch.no_grad():
        copy = make_twin(module)
        for inner in copy.modules():
            for name, parameter in inner._parameters.items():
                if parameter is not None:
                    inner._parameters[name] = nn.Parameter(_own(parameter), requires_grad=False)
            for name, buffer in inner._buffers.items():
                if buffer is not None:
                    inner._buffers[name] = _own(buffer)
    return copy
