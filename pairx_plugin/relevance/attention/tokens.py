"""Attention of tokens to all tokens, as timm's ViT, EVA, BEiT and their like write it, in steps.

Each pass below computes what the class of that name does in evaluation mode, in its order, so that embeddings keep
their last bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ...errors import UnsupportedArchitecture
from ..network.dense_layers import put_in, with_bias
from .steps import AttentionCore, detached_norm

__all__ = ["take_biased", "take_packed", "take_pooling", "take_relative", "take_rotary"]


def take_packed(key: str, attention: Any) -> Iterable[str]:
    """timm's Attention, of its ViT."""
    put_in(attention, _packed, {"core": _core(key, attention)})
    return ["core"]


def take_rotary(key: str, attention: Any) -> Iterable[str]:
    """timm's EvaAttention and AttentionRope: rotary embeddings, and queries, keys and values packed or apart."""
    core = _core(
        key,
        attention,
        n_prefix=int(attention.num_prefix_tokens),
        in_halves=bool(getattr(attention, "rotate_half", False)),
    )
    put_in(attention, _rotary, {"core": core, **_biased_dense(attention)})
    return ["core", "qkv"] if getattr(attention, "q_bias", None) is not None else ["core"]


def take_biased(key: str, attention: Any) -> Iterable[str]:
    """timm's Attention of BEiT: a bias for each pair of places, its own, or one that all blocks share."""
    put_in(attention, _biased, {"core": _core(key, attention), **_biased_dense(attention)})
    table = attention.relative_position_bias_table
    attention.core.register_buffer(
        "bias", None if table is None else attention._get_rel_pos_bias().detach(), persistent=False
    )
    return ["core", "qkv"] if attention.q_bias is not None else ["core"]


def take_relative(key: str, attention: Any) -> Iterable[str]:
    """timm's RelPosAttention: as BEiT's, with a bias that a module makes of places."""
    put_in(attention, _relative, {"core": _core(key, attention)})
    places = attention.rel_pos
    attention.core.register_buffer("bias", None if places is None else places.get_bias().detach(), persistent=False)
    return ["core"]


def take_pooling(key: str, pooling: Any) -> Iterable[str]:
    """timm's AttentionPoolLatent: queries that were learnt ask all tokens."""
    put_in(pooling, _pooled, {"core": _core(key, pooling)})
    return ["core"]


def _core(key: str, attention: Any, **others: Any) -> AttentionCore:
    if getattr(attention, "gate", None) is not None:
        raise UnsupportedArchitecture(
            f"the gate of attention '{key}' ({type(attention).__name__}, gated=True) has no rule; attention without a "
            f"gate has: build the network with gated=False, or use another explainer (list them with "
            f"`pairx-plugin hooks`)"
        )
    norms = getattr(attention, "q_norm", nn.Identity()), getattr(attention, "k_norm", nn.Identity())
    for norm in norms:
        detached_norm(norm)
    fused = bool(getattr(attention, "fused_attn", False))
    return AttentionCore(int(attention.num_heads), float(attention.scale), norms=norms, fused=fused, **others)


def _biased_dense(attention: Any) -> dict[str, nn.Module]:
    """Return the dense layer of queries, keys and values with the bias that the host keeps in three parts."""
    if getattr(attention, "q_bias", None) is None:
        return {}
    bias = torch.cat((attention.q_bias, attention.k_bias, attention.v_bias))
    if not getattr(attention, "qkv_bias_separate", False):
        return {"qkv": with_bias(attention.qkv, bias)}
    attention.register_buffer("qkv_bias", bias, persistent=False)
    return {"qkv": with_bias(attention.qkv, None)}


def _packed(self: Any, x: torch.Tensor, attn_mask: Any = None, is_causal: bool = False) -> torch.Tensor:
    _check_unmasked(attn_mask, is_causal)
    return _projected(self, self.core(self.qkv(x)))


def _rotary(
    self: Any, x: torch.Tensor, rope: Any = None, attn_mask: Any = None, is_causal: bool = False
) -> torch.Tensor:
    _check_unmasked(attn_mask, is_causal)
    if self.qkv is None:
        return _projected(self, self.core(self.q_proj(x), self.k_proj(x), self.v_proj(x), rope=rope))
    return _projected(self, self.core(_queries_keys_values(self, x), rope=rope))


def _biased(self: Any, x: torch.Tensor, shared_rel_pos_bias: Any = None) -> torch.Tensor:
    biases = tuple(bias for bias in (self.core.bias, shared_rel_pos_bias) if bias is not None)
    return _projected(self, self.core(_queries_keys_values(self, x), biases=biases))


def _relative(self: Any, x: torch.Tensor, shared_rel_pos: Any = None) -> torch.Tensor:
    bias = shared_rel_pos if self.core.bias is None else self.core.bias
    return _projected(self, self.core(self.qkv(x), biases=() if bias is None else (bias,)))


def _pooled(self: Any, x: torch.Tensor, attn_mask: Any = None) -> torch.Tensor:
    _check_unmasked(attn_mask, False)
    if self.pos_embed is not None:
        x = x + self.pos_embed.unsqueeze(0).to(x.dtype)
    queries = self.q(self.latent.expand(x.shape[0], -1, -1))
    x = self.proj(self.core(self.kv(x), queries=queries))
    if self.mlp is not None:
        x = x + self.mlp(self.norm(x))
    if self.pool == "token":
        return x[:, 0]
    return x.mean(1) if self.pool == "avg" else x


def _queries_keys_values(attention: Any, x: torch.Tensor) -> torch.Tensor:
    packed: torch.Tensor = attention.qkv(x)
    bias = getattr(attention, "qkv_bias", None)
    return packed if bias is None else packed + bias


def _projected(attention: Any, x: torch.Tensor) -> torch.Tensor:
    x = attention.norm(x) if hasattr(attention, "norm") else x
    result: torch.Tensor = attention.proj_drop(attention.proj(x))
    return result


def _check_unmasked(attn_mask: Any, is_causal: bool) -> None:
    if attn_mask is not None or is_causal:
        raise UnsupportedArchitecture(
            f"attention with a mask has no rule (attn_mask {'given' if attn_mask is not None else 'None'}, is_causal "
            f"{is_causal}); attention of all tokens to all has: let the network be called with images alone"
        )
