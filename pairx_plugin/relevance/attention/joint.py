"""torch's own MultiheadAttention, which torchvision's ViT uses, as one step.

Its dense layers are weights that one function reads, so that there is nothing to take apart: the step computes what
the module does, and its rule is the pull-back of all three parts, dense layers by epsilon included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...errors import UnsupportedArchitecture
from ..network.dense_layers import put_in
from ..network.shadow import make_twin
from .steps import AttentionCore, AttentionStep

__all__ = ["take_joint"]


class _JointAttention(AttentionStep):
    """Attention of (B, N, C) to itself.

    Args:
        attention: torch's module, of a twin of its own.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.attention = attention
        self.mixture = AttentionCore(attention.num_heads, attention.head_dim**-0.5)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the host's module does for one input as query, key and value."""
        result: torch.Tensor = self.attention(x, x, x, need_weights=False)[0]
        return result

    def parted(self, *values: torch.Tensor, **others: Any) -> torch.Tensor:
        """Compute the same from dense layers and a core."""
        attention = self.attention
        packed = F.linear(values[0], attention.in_proj_weight, attention.in_proj_bias)
        return F.linear(self.mixture.parted(packed), attention.out_proj.weight, attention.out_proj.bias)


def take_joint(key: str, attention: Any) -> Iterable[str]:
    """torch.nn.MultiheadAttention, where it attends to its own input."""
    odd = {
        "batch_first=False": not attention.batch_first,
        "kdim or vdim": attention.in_proj_weight is None,
        "add_bias_kv": attention.bias_k is not None,
        "add_zero_attn": attention.add_zero_attn,
    }
    if any(odd.values()):
        raise UnsupportedArchitecture(
            f"the MultiheadAttention '{key}' with {', '.join(name for name, there in odd.items() if there)} has no "
            f"rule; one with batch_first=True and the other options as they are by default has: build the network so, "
            f"or use another explainer (list them with `pairx-plugin hooks`)"
        )
    put_in(attention, _joint, {"core": _JointAttention(make_twin(attention))})  # type: ignore[arg-type]
    return ["core", "core.attention", "core.mixture"]


def _joint(
    self: Any,
    query: Any,
    key: Any,
    value: Any,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, None]:
    masked = key_padding_mask is not None or attn_mask is not None or is_causal
    if query is not key or query is not value or masked:
        what = "with a mask" if masked else "of one input to another"
        raise UnsupportedArchitecture(
            f"a MultiheadAttention {what} has no rule; one of an input to itself, without masks, has: use another "
            f"explainer (list them with `pairx-plugin hooks`)"
        )
    return self.core(query), None
