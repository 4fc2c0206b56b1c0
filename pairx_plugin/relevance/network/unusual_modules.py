"""Modules of which a twin needs more than a copy around the same tensors, or of which there can be none.

Classes are recognised by name where torch has moved them between its versions.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...errors import UnsupportedArchitecture

__all__ = ["inside_alone", "is_unreadable", "is_wrapper", "makes_weight", "refuse_unreadable"]

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_COMPILED = "_orig_mod"  # torch.compile's name for what it compiles


def is_wrapper(module: nn.Module) -> bool:
    """Return whether a module spreads another one over devices, or compiles it, and computes nothing of its own."""
    return isinstance(module, _WRAPPERS) or _COMPILED in module._modules


def inside_alone(wrapper: Any, *args: Any, **kwargs: Any) -> Any:
    """Run what a wrapper holds, on the tensors at hand; a forward method for its twin."""
    return wrapper._modules[_COMPILED if _COMPILED in wrapper._modules else "module"](*args, **kwargs)


def makes_weight(hook: Any) -> bool:
    """Return whether a hook is torch's own that makes a weight before each forward pass.

    Those of weight norm, spectral norm and pruning do. All are called with the module, and read nothing else.
    """
    return any(kind.__module__.startswith("torch.nn.utils.") for kind in type(hook).__mro__)


def refuse_unreadable(network: nn.Module) -> None:
    """Raise where a network has a part that cannot be followed step by step.

    Raises:
        UnsupportedArchitecture: a module is compiled by torch.jit, or quantised.
    """
    for key, module in network.named_modules():
        if is_unreadable(module):
            name = f"'{key}' ({type(module).__name__})" if key else f"the network ({type(module).__name__})"
            reason = "quantised, and relevance needs weights of floating point"
            if isinstance(module, torch.jit.ScriptModule):
                reason = "compiled by torch.jit, so that its steps cannot be read"
            raise UnsupportedArchitecture(f"{name} is {reason}; pass the network as it was before")


def is_unreadable(module: nn.Module) -> bool:
    """Return whether a module is compiled by torch.jit, or quantised; of those inside of it nothing is said."""
    if isinstance(module, torch.jit.ScriptModule) or ".quantized" in type(module).__module__:
        return True
    weight = module._parameters.get("weight")
    return weight is not None and not (weight.is_floating_point() or weight.is_complex())
