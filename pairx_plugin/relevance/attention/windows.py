"""Attention within windows, as Swin Transformers of timm and torchvision write it, in steps.

Libraries cut a map into windows and give each a row of its own. Here windows lie behind one another in the row of their
image, (B, windows n, C), in the same order: every product is the same, and relevance keeps to its image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import functional as F

from ..network.dense_layers import put_in, with_bias
from .steps import AttentionCore

__all__ = ["take_block", "take_block_cr", "take_block_v2", "take_shifted"]

_LARGEST_SCALE = math.log(100.0)  # of cosine attention, as a logarithm
_APART = -100.0  # added to the products of places that a shift brought together

Size = tuple[int, int]


def take_block(key: str, block: Any) -> Iterable[str]:
    """timm's SwinTransformerBlock."""
    attention = block.attn
    core = AttentionCore(
        int(attention.num_heads),
        float(attention.scale),
        window=_area(attention.window_size),
        fused=bool(getattr(attention, "fused_attn", False)),
    )
    core.register_buffer("bias", attention._get_rel_pos_bias().detach(), persistent=False)
    put_in(block, _attention_of_block, {"core": core}, under="_attn")
    return ["core", "attn.qkv", "attn.proj"]


def take_block_v2(key: str, block: Any) -> Iterable[str]:
    """timm's SwinTransformerV2Block: cosine attention, with a bias that a network makes of distances."""
    attention = block.attn
    core = _cosine_core(attention, attention.logit_scale)
    core.register_buffer("bias", _continuous_bias(attention), persistent=False)
    put_in(block, _attention_of_block, {"core": core}, under="_attn")
    if attention.q_bias is not None:
        bias = torch.cat((attention.q_bias, attention.k_bias, attention.v_bias))
        separate = bool(getattr(attention, "qkv_bias_separate", False))
        attention._modules["qkv"] = with_bias(attention.qkv, None if separate else bias)
        if separate:
            attention.register_buffer("qkv_bias", bias, persistent=False)
    return ["core", "attn.qkv", "attn.proj"]


def take_block_cr(key: str, block: Any) -> Iterable[str]:
    """timm's SwinTransformerV2CrBlock, an early reading of the paper on Swin V2."""
    attention = block.attn
    core = _cosine_core(attention, attention.logit_scale.reshape(1, -1, 1, 1))
    core.register_buffer("bias", attention._relative_positional_encodings().detach(), persistent=False)
    put_in(block, _attention_of_block, {"core": core}, under="_shifted_window_attn")
    return ["core", "attn.qkv", "attn.proj"]


def take_shifted(key: str, attention: Any) -> Iterable[str]:
    """torchvision's ShiftedWindowAttention and ShiftedWindowAttentionV2."""
    if hasattr(attention, "logit_scale"):
        core = _cosine_core(attention, attention.logit_scale)
        if attention.qkv.bias is not None:  # torchvision keeps a bias of keys, and takes it for zero
            bias = attention.qkv.bias.detach().clone()
            bias[len(bias) // 3 : 2 * len(bias) // 3] = 0.0
            attention._modules["qkv"] = with_bias(attention.qkv, bias)
    else:
        heads = int(attention.num_heads)
        scale = (attention.qkv.in_features // heads) ** -0.5
        core = AttentionCore(heads, scale, window=_area(attention.window_size))
    core.register_buffer("bias", attention.get_relative_position_bias().detach(), persistent=False)
    put_in(attention, _shifted_attention, {"core": core})
    return ["core", "qkv", "proj"]


def _cosine_core(attention: Any, logit_scale: torch.Tensor) -> AttentionCore:
    scale = logit_scale.detach().clamp(max=_LARGEST_SCALE).exp()
    return AttentionCore(int(attention.num_heads), scale, cosine=True, window=_area(attention.window_size))


def _continuous_bias(attention: Any) -> torch.Tensor:
    """Return (1, heads, n, n) of timm's Swin V2, 16 sigmoid(MLP(logarithms of distances))."""
    table = attention.cpb_mlp(attention.relative_coords_table).flatten(0, -2)
    n = _area(attention.window_size)
    bias = table[attention.relative_position_index.flatten()].reshape(n, n, -1).permute(2, 0, 1).contiguous()
    return (16 * torch.sigmoid(bias)).unsqueeze(0).detach()


def _attention_of_block(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Compute what timm's blocks do around their windows."""
    _, height, width, _ = x.shape
    (rows, columns), (down, across) = self.window_size, self.shift_size
    shifted = bool(down or across)
    if shifted:
        x = torch.roll(x, shifts=(-down, -across), dims=(1, 2))
    x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
    mask = self.get_attn_mask(x) if getattr(self, "dynamic_mask", False) else self.attn_mask
    x = _in_windows(self.attn, self.core, x, (rows, columns), mask)[:, :height, :width].contiguous()
    return torch.roll(x, shifts=(down, across), dims=(1, 2)) if shifted else x


def _shifted_attention(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Compute what torchvision's shifted_window_attention does."""
    _, height, width, _ = x.shape
    rows, columns = self.window_size
    x = F.pad(x, (0, 0, 0, -width % columns, 0, -height % rows))
    _, padded_height, padded_width, _ = x.shape
    down = 0 if rows >= padded_height else self.shift_size[0]
    across = 0 if columns >= padded_width else self.shift_size[1]
    mask = None
    if down + across > 0:
        x = torch.roll(x, shifts=(-down, -across), dims=(1, 2))
        mask = _mask_of_shift((padded_height, padded_width), (rows, columns), (down, across)).to(self.proj.weight)
    x = _in_windows(self, self.core, x, (rows, columns), mask)
    if down + across > 0:
        x = torch.roll(x, shifts=(down, across), dims=(1, 2))
    return x[:, :height, :width].contiguous()


def _in_windows(attention: Any, core: Any, x: torch.Tensor, window: Size, mask: torch.Tensor | None) -> torch.Tensor:
    """Let (B, H, W, C) attend within windows."""
    n, height, width, channels = x.shape
    rows, columns = window
    parts = x.reshape(n, height // rows, rows, width // columns, columns, channels).transpose(2, 3)
    x = attention.qkv(parts.reshape(n, height * width, channels))
    bias = getattr(attention, "qkv_bias", None)
    x = x if not isinstance(bias, torch.Tensor) else x + bias
    x = attention.proj(core(x, biases=(core.bias,), mask=mask))
    parts = x.reshape(n, height // rows, width // columns, rows, columns, -1).transpose(2, 3)
    return parts.reshape(n, height, width, -1)


def _mask_of_shift(size: Size, window: Size, shift: Size) -> torch.Tensor:
    """Return (windows, n, n), zero where two places of a window lay in one piece before the shift.

    As torchvision cuts pieces: an axis that is not shifted is cut all the same, at places where windows end anyway, or
    not at all.
    """
    ids = [_pieces(*axis) for axis in zip(size, window, shift)]
    pieces = 3 * ids[0][:, None] + ids[1][None, :]
    rows, columns = window
    of_window = pieces.reshape(size[0] // rows, rows, size[1] // columns, columns).transpose(1, 2)
    of_window = of_window.reshape(-1, rows * columns)
    apart = of_window[:, None] != of_window[:, :, None]
    return torch.zeros(apart.shape, device=apart.device).masked_fill(apart, _APART)


def _pieces(length: int, window: int, shift: int) -> torch.Tensor:
    """Return for each place of an axis which of three pieces it lies in; the last window holds two of them."""
    piece = torch.zeros(length, dtype=torch.long, device="cpu")
    piece[length - window :] = 1
    piece[length - shift :] = 2
    return piece


def _area(window: Any) -> int:
    return int(window[0]) * int(window[1])
