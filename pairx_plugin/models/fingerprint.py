"""A digest of everything in a network that decides its output."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import ModelError
from .checks import cause_of

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.int64}
# Not in the weights, yet they change the output: a timm backbone built with output_stride=16 has the same
# state dict.
_MODULE_SETTINGS = (
    "kernel_size", "stride", "padding", "dilation", "groups", "eps", "ceil_mode", "output_size"
)
_PLAIN = (bool, int, float, str, tuple, list)


@dataclass(frozen=True)
class _Seen:
    state: tuple[Any, ...]
    digest: str


class NetworkFingerprint:
    """Hashes a network's parameters and buffers, and remembers what has not changed since.

    A tensor counts as unchanged while its address, version counter, layout and a cheap checksum stay the
    same. The checksum is there because ``parameter.data.mul_()`` changes values without touching the counter.
    Tensors made in inference mode have no counter and are hashed every time.
    """

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def digest(self, network: nn.Module, settings: dict[str, Any]) -> str:
        """Return ``"sha256:..."`` over weights, module types and their settings, and `settings`.

        Raises:
            ModelError: a tensor cannot be read (quantised, sparse, or not loaded yet).
        """
        seen: dict[str, _Seen] = {}
        for name, tensor in named_tensors(network):
            seen[name] = self._tensor(name, tensor)
        self._seen = seen  # replaced at once, so that threads never see half of it
        content = {
            "modules": list(_module_settings(network)),
            "tensors": [[name, entry.digest] for name, entry in seen.items()],
            "settings": settings,
        }
        return "sha256:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _tensor(self, name: str, tensor: torch.Tensor) -> _Seen:
        try:
            bits = _bits(tensor)
            state = _state(tensor, bits)
            known = self._seen.get(name)
            if known is not None and known.state == state and not tensor.is_inference():
                return known
            digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(bits.cpu().numpy().data)
        except (RuntimeError, NotImplementedError, TypeError) as error:
            raise ModelError(
                f"the values of {name!r} ({tensor.dtype}, {tensor.layout}, {tensor.device}) cannot be read: "
                f"{cause_of(error)}; load the weights, and use a dense, unquantised network"
            ) from error
        return _Seen(state, digest.hexdigest())


def named_tensors(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield every parameter and buffer by its key, parameters first; shared tensors once."""
    yield from network.named_parameters()
    yield from network.named_buffers()


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().contiguous().reshape(-1)
    return flat.view(_INTEGERS[tensor.element_size()])


def _state(tensor: torch.Tensor, bits: torch.Tensor) -> tuple[Any, ...]:
    version = None if tensor.is_inference() else tensor._version
    layout = (str(tensor.dtype), tuple(tensor.shape), tensor.stride(), str(tensor.device))
    return (tensor.data_ptr(), version, *layout, _checksum(bits))


def _checksum(bits: torch.Tensor) -> int:
    return zlib.crc32(bits.numpy().data) if bits.device.type == "cpu" else _weighted_sum(bits)


def _weighted_sum(bits: torch.Tensor) -> int:
    """Checksum where the bits are: copying a network off its accelerator would cost more than hashing it.

    Weighted by place, modulo 2^64, so that values which change places are noticed too.
    """
    places = torch.arange(1, bits.numel() + 1, device=bits.device)
    return int((bits.to(torch.int64) * places).sum())


def _module_settings(network: nn.Module) -> Iterator[list[Any]]:
    for name, module in network.named_modules():
        values = {key: getattr(module, key, None) for key in _MODULE_SETTINGS}
        known = {key: value for key, value in values.items() if isinstance(value, _PLAIN)}
        yield [name, type(module).__name__, json.dumps(known, sort_keys=True, default=str)]
