"""What the engine does to whole maps between its products, in one pass over memory where numba is installed.

Without numba, off the CPU and for other numbers than float32 the same is done by PyTorch, in several passes.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from .scratch import lent

if TYPE_CHECKING:
    from .kernels import Map, Place

__all__ = ["as_map", "by_sign", "carry_through_channels", "in_rows", "loops_for", "magnitudes"]

_logger = logging.getLogger(__name__)


def loops_for(*maps: torch.Tensor) -> ModuleType | None:
    """Return :mod:`.kernels` if its loops can work on these tensors."""
    fit = all(values.device.type == "cpu" and values.dtype == torch.float32 for values in maps)
    return _loops() if fit else None


def in_rows(values: torch.Tensor) -> torch.Tensor:
    """Return a map whose rows lie together in memory: itself, or a copy."""
    return values if values.stride(-1) == 1 else values.contiguous()


def as_map(values: torch.Tensor) -> Map:
    """Return (C, h, w) as loops take it; see :func:`in_rows`."""
    channels, height, width = values.shape
    by_channel, by_row, _ = values.stride()
    n = (channels - 1) * by_channel + (height - 1) * by_row + width
    return values.as_strided((n,), (1,)).numpy(), by_channel, by_row


def by_sign(up: torch.Tensor, down: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return x^+ up + x^- down.

    Args:
        up, down: (K, ...), of one shape.
        x: the same, or (1, ...) for all.
    """
    loops = loops_for(up, down, x) if up.numel() else None
    if loops is None:
        part = lent("inputs", x.shape, x)
        raised = up * torch.clamp(x, min=0, out=part)
        return raised.addcmul_(down, torch.clamp(x, max=0, out=part))
    out = up.new_empty(up.shape)
    for maps in zip(*(_as_maps(values) for values in (up, down, x.expand_as(up), out))):
        loops.by_sign(tuple(maps[0].shape), *map(as_map, maps))
    return out


def magnitudes(values: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (K, h) and (K, w): the magnitudes of (K, C, h, w) summed over all else."""
    loops = loops_for(values)
    if loops is None:
        magnitude = values.abs().sum(1)
        return magnitude.sum(2).cpu().numpy(), magnitude.sum(1).cpu().numpy()
    by_row = np.zeros((len(values), values.shape[2]), np.float32)
    by_column = np.zeros((len(values), values.shape[3]), np.float32)
    for one, rows, columns in zip(in_rows(values), by_row, by_column):
        loops.add_magnitudes(tuple(one.shape), as_map(one), rows, columns)
    return by_row, by_column


def carry_through_channels(
    upper: tuple[torch.Tensor, Place],
    inputs: tuple[torch.Tensor, Place],
    weights: tuple[torch.Tensor, torch.Tensor],
    lower: tuple[torch.Tensor, Place],
) -> None:
    """Carry relevance through a convolution of single channels of stride one by z-plus, where :func:`loops_for` it is.

    Args:
        upper: (C, h, w) relevance of outputs, and where it lies on their map.
        inputs: (C, H, W), and how many rows of zeros are above them and columns left of them.
        weights: (C, k, l), and (C,) what is added to each denominator, above zero.
        lower: (C, h', w') to be written, in rows: relevance of inputs, and where it lies on their map.
    """
    loops = loops_for(upper[0], inputs[0])
    assert loops is not None
    relevance, x = in_rows(upper[0]), in_rows(inputs[0])
    loops.depthwise(
        *(tuple(relevance.shape), upper[1], as_map(relevance)),
        *(tuple(x.shape), inputs[1], as_map(x)),
        *(weights[0].contiguous().numpy(), weights[1].numpy()),
        *(tuple(lower[0].shape), lower[1], as_map(lower[0])),
    )


def _as_maps(values: torch.Tensor) -> torch.Tensor:
    """Return (K, ..., w) as (K, C, h, w) in rows."""
    values = in_rows(values)
    return values[:, None, None] if values.dim() == 2 else values.reshape(len(values), -1, *values.shape[-2:])


@lru_cache(maxsize=1)
def _loops() -> ModuleType | None:
    try:
        import numba

        if numba.config.DISABLE_JIT:  # at Python's own pace they would take hours
            return None
        from . import kernels
    except ModuleNotFoundError:
        return None
    except Exception as error:  # a numba that does not fit must not take the explanations with it
        _logger.warning("numba is installed and cannot compile (%s); PyTorch does its part, slower", error)
        return None
    return kernels
