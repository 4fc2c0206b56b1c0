"""Tensors that stay in memory when the work is done."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterable

import torch
from torch import nn

__all__ = ["device_peak", "live_storages", "network_storages"]


def device_peak(device: torch.device) -> int | None:
    """Return the most bytes that tensors held on a CUDA device, or None for other devices."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def network_storages(network: nn.Module) -> dict[int, int]:
    """Return bytes by address of the storages of a network's parameters and buffers, shared ones once."""
    return _storages([*network.parameters(), *network.buffers()])


def live_storages(besides: Collection[int] = ()) -> dict[int, int]:
    """Return bytes by address of the storages of all tensors that Python objects hold, once nobody needs the rest.

    Args:
        besides: addresses that do not count, such as a network's.

    What only C++ holds, such as a graph of autograd whose output is gone, is not seen.
    """
    gc.collect()
    tensors = [item for item in gc.get_objects() if _is_tensor(item)]
    return {place: size for place, size in _storages(tensors).items() if place not in besides}


def _is_tensor(item: object) -> bool:
    # by type, not by isinstance: that asks a proxy for its class, and proxies of foreign modules may object
    return issubclass(type(item), torch.Tensor)


def _storages(tensors: Iterable[torch.Tensor]) -> dict[int, int]:
    found: dict[int, int] = {}
    for tensor in tensors:
        if tensor.device.type == "meta" or tensor.layout is not torch.strided:
            continue
        try:
            storage = _storage(tensor)
            place, size = storage.data_ptr(), storage.nbytes()
        except (RuntimeError, NotImplementedError):  # tensors of tracing and of wrappers have no storage
            continue
        if place:
            found[place] = size
    return found


def _storage(tensor: torch.Tensor) -> torch.UntypedStorage:
    if hasattr(tensor, "untyped_storage"):
        return tensor.untyped_storage()
    return tensor.storage().untyped()  # torch before 2.0
