"""Attention as the library transformers writes it for its vision models, in steps.

Its classes are alike but for names: queries, keys and values from a dense layer each, one of torch's functions for
their mixture, which the model's configuration chooses, and a dense layer for the result. In older versions (5.10) the
first two are a module inside of the one that has the third. Both return the result and, where it was asked for,
attention's weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ...errors import UnsupportedArchitecture
from ..network.dense_layers import put_in
from .steps import AttentionCore

__all__ = ["take_vision"]


def take_vision(key: str, attention: Any) -> Iterable[str]:
    """Attention of ViT, DeiT, DINOv2, DINOv3 or CLIP, from transformers 4.57 on."""
    if hasattr(attention, "q_proj"):
        put_in(attention, _whole, {"core": _core(attention)})
        return ["core"]
    inner = getattr(attention, "attention", None)
    if not hasattr(inner, "query") or not hasattr(inner, "scaling"):
        raise UnsupportedArchitecture(
            f"the attention '{key}' ({type(attention).__name__}) is written as in a version of transformers that is "
            f"not known here; 4.57 to 5.23 are: load the network with one of these, or take timm's"
        )
    put_in(inner, _inner, {"core": _core(inner)})
    return ["attention.core"]


def _core(attention: Any) -> AttentionCore:
    n_heads = attention.num_heads if hasattr(attention, "num_heads") else attention.num_attention_heads
    return AttentionCore(
        int(n_heads),
        float(attention.scale if hasattr(attention, "scale") else attention.scaling),
        n_prefix=1 + int(getattr(attention.config, "num_register_tokens", 0)),
        in_halves=True,
        fused=attention.config._attn_implementation != "eager",
        scales_products=True,
    )


def _whole(
    self: Any, hidden_states: torch.Tensor, attention_mask: Any = None, position_embeddings: Any = None, **others: Any
) -> tuple[torch.Tensor, None]:
    _check_plain(attention_mask, others)
    rope = None
    if position_embeddings is not None:
        cosines, sines = position_embeddings
        rope = torch.cat((sines, cosines), dim=-1)
    mixed = self.core(self.q_proj(hidden_states), self.k_proj(hidden_states), self.v_proj(hidden_states), rope=rope)
    return (self.out_proj if hasattr(self, "out_proj") else self.o_proj)(mixed), None


def _inner(self: Any, hidden_states: torch.Tensor, head_mask: Any = None, **others: Any) -> tuple[torch.Tensor, None]:
    _check_plain(head_mask, others)
    return self.core(self.query(hidden_states), self.key(hidden_states), self.value(hidden_states)), None


def _check_plain(mask: Any, others: dict[str, Any]) -> None:
    asked = ["a mask"] if mask is not None else sorted(name for name, value in others.items() if value)
    if asked:
        raise UnsupportedArchitecture(
            f"attention with {', '.join(asked)} has no rule; attention of all tokens to all has: let the network be "
            f"called with images alone, and ask its configuration for no further outputs"
        )
