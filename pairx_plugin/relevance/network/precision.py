"""Lower precision that a host has chosen for its network: by its weights, or by autocast.

Relevance needs the range and the digits of float32, so it is carried without either; matches and similarities stay the
host's own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

__all__ = ["is_half", "is_lowered", "unlowered"]


def is_half(network: nn.Module) -> bool:
    """Return whether a network computes in half precision, in which relevance would overflow."""
    return any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in network.parameters())


def is_lowered(device_type: str) -> bool:
    """Return whether autocast lowers the precision of what this thread computes on a device, such as ``cuda``."""
    try:
        return bool(torch.is_autocast_enabled(device_type))
    except TypeError:  # before PyTorch 2.4 each device has a question of its own
        return bool(torch.is_autocast_cpu_enabled() if device_type == "cpu" else torch.is_autocast_enabled())
    except RuntimeError:  # a device that autocast does not know
        return False


def unlowered(device_type: str) -> AbstractContextManager[object]:
    """Compute as written on this thread, whatever autocast the caller is in."""
    return torch.autocast(device_type, enabled=False) if is_lowered(device_type) else nullcontext()
