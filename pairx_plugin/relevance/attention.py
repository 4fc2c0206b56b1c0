"""Attention taken apart on a twin, into steps that relevance rules fit.

timm computes attention in one fused call. On the twin the modules around it are given another forward pass that
computes the same: a dense layer for queries, keys and values, an :class:`AttentionCore`, a dense layer for the result.
The host's modules are never touched.

The core's rule is attention-aware LRP (Achtibat et al. 2024, arXiv 2402.05602): the softmax by its Taylor
decomposition, R_i = x_i (R'_i - s_i sum_j R'_j) with x its inputs and s its outputs, and each product of two parts of
the image's way split in halves. With relevance in proportion to values, R = y c, both are input times gradient, the
gradient halved at each factor; so the whole core is one pull-back: R_in = x * J~^T (R_out / y).
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import UnsupportedArchitecture

__all__ = ["AttentionCore", "attention_kind", "detached_norm", "take_apart"]

_VIT_PLACES = ("timm.models.vision_transformer", "timm.layers.attention")
_SWIN_BLOCK = ("timm.models.swin_transformer", "SwinTransformerBlock")


def attention_kind(module: nn.Module) -> str | None:
    """Return ``tokens`` for a ViT's attention, ``windows`` for a Swin's block, None for anything else."""
    kind = type(module)
    if kind.__name__ == "Attention" and kind.__module__ in _VIT_PLACES:
        return "tokens"
    return "windows" if (kind.__module__, kind.__name__) == _SWIN_BLOCK else None


def take_apart(twin: nn.Module) -> None:
    """Give every attention of a twin its steps.

    Raises:
        UnsupportedArchitecture: an attention does something that no rule here knows.
    """
    for key, module in list(twin.named_modules()):
        kind = attention_kind(module)
        if kind == "tokens":
            module._modules["core"] = _token_core(key, module)
            module.__dict__["forward"] = types.MethodType(_token_attention, module)
        elif kind == "windows":
            module._modules["core"] = _window_core(module)
            module.__dict__["_attn"] = types.MethodType(_window_attention, module)


class AttentionCore(nn.Module):
    """From queries, keys and values to their mixture: softmax(q k^T scale + bias) v for each head.

    Args:
        n_heads: heads.
        scale: of the products of queries and keys.
        norms: of queries and of keys, each over the channels of a head.
        bias: (1, heads, n, n) added to the products, or None.
        window: (rows, columns) of windows that attend to themselves; None where all tokens attend to all.
        mask: (windows, n, n) added to the products, by window, or None.
    """

    bias: torch.Tensor | None
    mask: torch.Tensor | None

    def __init__(
        self,
        n_heads: int,
        scale: float,
        *,
        norms: tuple[nn.Module, nn.Module] | None = None,
        bias: torch.Tensor | None = None,
        window: tuple[int, int] | None = None,
        mask: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.n_heads, self.scale, self.window = n_heads, scale, window
        self.q_norm, self.k_norm = norms or (nn.Identity(), nn.Identity())
        self.register_buffer("bias", bias, persistent=False)
        self.register_buffer("mask", mask, persistent=False)
        self.eval()

    def forward(self, qkv: torch.Tensor) -> torch.Tensor:
        """Mix values.

        Args:
            qkv: (B, N, 3 C), or (B, H, W, 3 C) with windows.

        Returns:
            (B, N, C), or (B, H, W, C).
        """
        if self.window is None:
            return self._mixed(qkv)
        n, height, width, channels = qkv.shape
        rows, columns = self.window
        parts = qkv.reshape(n, height // rows, rows, width // columns, columns, channels).transpose(2, 3)
        mixed = self._mixed(parts.reshape(-1, rows * columns, channels))
        mixed = mixed.reshape(n, height // rows, width // columns, rows, columns, -1).transpose(2, 3)
        return mixed.reshape(n, height, width, -1)

    def _mixed(self, qkv: torch.Tensor) -> torch.Tensor:
        n, length, _ = qkv.shape
        q, k, v = qkv.reshape(n, length, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        q, k = detached_norm(self.q_norm)(q), detached_norm(self.k_norm)(k)
        products = (_halved(q) * self.scale) @ _halved(k).transpose(-2, -1)
        if self.bias is not None:
            products = products + self.bias
        if self.mask is not None:
            windows = len(self.mask)
            products = products.unflatten(0, (-1, windows)) + self.mask[:, None]
            products = products.flatten(0, 1)
        mixed = _halved(products.softmax(-1)) @ _halved(v)
        return mixed.transpose(1, 2).reshape(n, length, -1)


def _halved(values: torch.Tensor) -> torch.Tensor:
    """Return the values, with half of their gradient."""
    return 0.5 * values + 0.5 * values.detach()


def detached_norm(module: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what a layer norm computes, with its scale held fixed where gradients are taken.

    Source: Ali et al. 2022 (arXiv 2202.07304), the rule of layer norms; centring stays a linear step.

    Raises:
        UnsupportedArchitecture: it is no layer norm or root-mean-square norm over the last dimension.
    """
    if isinstance(module, nn.Identity):
        return lambda x: x
    root = any(base.__name__ in ("RmsNorm", "RMSNorm") for base in type(module).__mro__)
    if not root and not isinstance(module, nn.LayerNorm) or len(getattr(module, "normalized_shape", ())) != 1:
        raise UnsupportedArchitecture(f"a {type(module).__name__} beside attention has no rule; layer norms have")
    weight: Any = module.weight
    bias: Any = getattr(module, "bias", None)
    eps: Any = module.eps

    def norm(x: torch.Tensor) -> torch.Tensor:
        centred = x if root else x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + (eps or 0.0)).rsqrt().detach()
        result = centred * scale if weight is None else centred * scale * weight
        return result if bias is None else result + bias

    return norm


def _token_core(key: str, attention: Any) -> AttentionCore:
    if getattr(attention, "gate", None) is not None:
        raise UnsupportedArchitecture(f"the gate of attention '{key}' has no rule; use another explainer")
    norms = getattr(attention, "q_norm", nn.Identity()), getattr(attention, "k_norm", nn.Identity())
    for norm in norms:
        detached_norm(norm)
    return AttentionCore(int(attention.num_heads), float(attention.scale), norms=norms)


def _token_attention(self: Any, x: torch.Tensor, attn_mask: Any = None, is_causal: bool = False) -> torch.Tensor:
    """Compute what timm's Attention does in evaluation mode, in steps."""
    if attn_mask is not None or is_causal:
        raise UnsupportedArchitecture("attention with a mask has no rule; pass images without one")
    x = self.core(self.qkv(x))
    x = self.norm(x) if hasattr(self, "norm") else x
    result: torch.Tensor = self.proj(x)
    return result


def _window_core(block: Any) -> AttentionCore:
    attention = block.attn
    with torch.no_grad():
        bias = attention._get_rel_pos_bias().detach()
    rows, columns = attention.window_size
    mask = block.attn_mask
    return AttentionCore(
        int(attention.num_heads),
        float(attention.scale),
        bias=bias,
        window=(int(rows), int(columns)),
        mask=None if mask is None else mask.detach(),
    )


def _window_attention(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Compute what timm's SwinTransformerBlock does around its windows in evaluation mode, in steps."""
    if getattr(self, "dynamic_mask", False):
        raise UnsupportedArchitecture("a Swin with masks made anew for each size has no rule; build it for one size")
    _, height, width, _ = x.shape
    (rows, columns), (down, across) = self.window_size, self.shift_size
    if down or across:
        x = torch.roll(x, shifts=(-down, -across), dims=(1, 2))
    x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
    x = self.attn.proj(self.core(self.attn.qkv(x)))[:, :height, :width]
    return torch.roll(x, shifts=(down, across), dims=(1, 2)) if down or across else x
