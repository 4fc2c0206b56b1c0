"""Attention in steps that relevance rules fit, and the rule of its core.

Libraries compute attention inside of one module. On a twin that module is given another forward pass of the same
numbers: dense layers for queries, keys and values, an :class:`AttentionCore`, a dense layer for the result; see
:mod:`.kinds`. The host's modules are never touched.

The core's rule is attention-aware LRP (Achtibat et al. 2024, arXiv 2402.05602): the softmax by its Taylor
decomposition, R_i = x_i (R'_i - s_i sum_j R'_j) with x its inputs and s its outputs, and each product of two parts of
the image's way split in halves. With relevance in proportion to values, R = y c, both are input times gradient, the
gradient halved at each factor; so the whole core is one pull-back: R_in = x * J~^T (R_out / y).

Whatever scales a vector by its own length is held fixed, as the scale of a layer norm is (Ali et al. 2022, arXiv
2202.07304): norms of queries and keys, and the lengths that cosine attention (Liu et al. 2022, arXiv 2111.09883)
divides by. Rotary embeddings (Su et al. 2021, arXiv 2104.09864) are linear in queries and keys, and position biases are
constants beside them, which keep a share, as biases do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...errors import UnsupportedArchitecture

__all__ = ["AttentionCore", "AttentionStep", "detached_norm", "halved"]

_SHORTEST = 1e-12  # torch's normalize divides by no less


class AttentionStep(nn.Module):
    """A step with two ways to the same numbers: the host's own, and one whose gradient is the rule."""

    def parted(self, *values: Any, **others: Any) -> torch.Tensor:
        """Return what :meth:`forward` returns, with the gradients that relevance passes by."""
        raise NotImplementedError


class AttentionCore(AttentionStep):
    """From queries, keys and values to their mixture: softmax(q k^T scale + bias) v for each head.

    Args:
        n_heads: heads.
        scale: of the products of queries and keys; one number, or for cosine attention a tensor that spreads over
            (B, heads, n, n).
        cosine: whether queries and keys are brought to length one.
        norms: of queries and of keys, each over the channels of a head.
        window: how many tokens in a row attend to themselves alone; None where all tokens attend to all.
        n_prefix: tokens at the beginning that rotary embeddings leave as they are.
        in_halves: whether rotary embeddings pair a channel with one half the head away, not with its neighbour.
        fused: whether the host computes in torch's one call, whose last digits differ.
        scales_products: whether products are scaled, not queries, where the host does not compute in one call.
    """

    def __init__(
        self,
        n_heads: int,
        scale: float | torch.Tensor,
        *,
        cosine: bool = False,
        norms: tuple[nn.Module, nn.Module] | None = None,
        window: int | None = None,
        n_prefix: int = 0,
        in_halves: bool = False,
        fused: bool = False,
        scales_products: bool = False,
    ) -> None:
        super().__init__()
        self.n_heads, self.cosine, self.window = n_heads, cosine, window
        self.n_prefix, self.in_halves, self.fused = n_prefix, in_halves, fused
        self.scales_products = scales_products or cosine
        self.scale: float | torch.Tensor
        if isinstance(scale, torch.Tensor):
            self.register_buffer("scale", scale, persistent=False)
        else:
            self.scale = scale
        self.q_norm, self.k_norm = norms or (nn.Identity(), nn.Identity())
        self.eval()

    def forward(
        self,
        *values: torch.Tensor,
        queries: torch.Tensor | None = None,
        rope: torch.Tensor | None = None,
        biases: Sequence[torch.Tensor] = (),
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mix values as the host does, to the last bit.

        Args:
            values: queries, keys and values, packed (B, N, 3 C) or each by itself (B, N, C); keys and values may have
                fewer heads. With `queries` keys and values, packed (B, N, 2 C).
            queries: (B, M, C) that do not come from the image; see :meth:`parted`.
            rope: sines and cosines of rotary embeddings, joined, ([heads,] N - prefix, 2 channels of a head).
            biases: added to the products one after another, each (heads, n, n) or (1, heads, n, n).
            mask: (windows, n, n) added to the products, by window.

        Returns:
            (B, N, C); (B, M, C) with `queries`.
        """
        q, k, v = self._heads(values, queries)
        q, k = self._turned(self.q_norm(q), v, rope), self._turned(self.k_norm(k), v, rope)
        k, v = self._for_each_head(k), self._for_each_head(v)
        if self.fused:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=_joint_bias(biases, mask, len(q)))
        else:
            if self.cosine:
                q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
            mixed = self._weights(q, k, biases, mask) @ v
        return self._joined(mixed, values[0])

    def parted(
        self,
        *values: torch.Tensor,
        queries: torch.Tensor | None = None,
        rope: torch.Tensor | None = None,
        biases: Sequence[torch.Tensor] = (),
        mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mix values with the gradients that relevance passes by; queries of their own are constants."""
        q, k, v = self._heads(values, queries)
        q, k = detached_norm(self.q_norm)(q), detached_norm(self.k_norm)(k)
        q, k = self._turned(q, v, rope), self._turned(k, v, rope)
        if self.cosine:
            q, k = _unit(q), _unit(k)
        if queries is None:
            q, k = halved(q), halved(k)
        weights = self._weights(q, self._for_each_head(k), biases, mask)
        return self._joined(halved(weights) @ self._for_each_head(halved(v)), values[0])

    def _heads(
        self, values: Sequence[torch.Tensor], queries: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries, keys and values, (B, heads, N, channels of a head) each, B for each window."""
        if len(values) == 3:
            width = values[0].shape[-1] // self.n_heads
            q, k, v = (part.reshape(*part.shape[:2], -1, width).transpose(1, 2) for part in values)
            return q, k, v
        (packed,) = values
        n_parts = 3 if queries is None else 2
        n, length = packed.shape[:2]
        if self.window is not None:
            n, length = n * length // self.window, self.window
        parts = packed.reshape(n, length, n_parts, self.n_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        if queries is None:
            return parts[0], parts[1], parts[2]
        return queries.reshape(*queries.shape[:2], self.n_heads, -1).transpose(1, 2), parts[0], parts[1]

    def _for_each_head(self, part: torch.Tensor) -> torch.Tensor:
        """Return keys or values that several heads share, once for each of them."""
        times = self.n_heads // part.shape[1]
        return part.repeat_interleave(times, dim=1) if times > 1 else part

    def _turned(self, part: torch.Tensor, like: torch.Tensor, rope: torch.Tensor | None) -> torch.Tensor:
        if rope is None:
            return part
        sines, cosines = rope.chunk(2, -1)
        prefix, places = part[:, :, : self.n_prefix], part[:, :, self.n_prefix :]
        turned = places * cosines + _quarter_turned(places, self.in_halves) * sines
        return torch.cat([prefix, turned.to(places.dtype)], dim=2).type_as(like)

    def _weights(
        self, q: torch.Tensor, k: torch.Tensor, biases: Sequence[torch.Tensor], mask: torch.Tensor | None
    ) -> torch.Tensor:
        if self.scales_products:
            products = (q @ k.transpose(-2, -1)) * self.scale
        else:
            products = (q * self.scale) @ k.transpose(-2, -1)
        for bias in biases:
            products = products + bias
        if mask is not None:
            products = (products.unflatten(0, (-1, len(mask))) + mask[:, None]).flatten(0, 1)
        return products.softmax(-1)

    def _joined(self, mixed: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return mixed.transpose(1, 2).reshape(like.shape[0], -1, mixed.shape[1] * mixed.shape[3])


def halved(values: torch.Tensor) -> torch.Tensor:
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
        raise UnsupportedArchitecture(
            f"a {type(module).__name__} beside attention has no rule; LayerNorm and RmsNorm over the channels have: "
            f"build the network with one of these, or use another explainer (list them with `pairx-plugin hooks`)"
        )
    weight: Any = module.weight
    bias: Any = getattr(module, "bias", None)
    eps: Any = module.eps

    def norm(x: torch.Tensor) -> torch.Tensor:
        centred = x if root else x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + (eps or 0.0)).rsqrt().detach()
        result = centred * scale if weight is None else centred * scale * weight
        return result if bias is None else result + bias

    return norm


def _unit(part: torch.Tensor) -> torch.Tensor:
    """Return vectors at length one, with their lengths held fixed where gradients are taken."""
    return part / part.norm(dim=-1, keepdim=True).clamp_min(_SHORTEST).detach()


def _quarter_turned(part: torch.Tensor, in_halves: bool) -> torch.Tensor:
    """Return each pair of channels (a, b) as (-b, a)."""
    if in_halves:
        first, second = part.chunk(2, dim=-1)
        return torch.cat([-second, first], dim=-1)
    return torch.stack([-part[..., 1::2], part[..., ::2]], dim=-1).flatten(-2)


def _joint_bias(
    biases: Sequence[torch.Tensor], mask: torch.Tensor | None, n_rows: int
) -> torch.Tensor | None:
    """Return what torch's one call adds to the products: (..., heads, n, n), or None."""
    if not biases:
        total = None
    else:
        total = biases[0]
        for bias in biases[1:]:
            total = total + bias
    if mask is None:
        return total
    windows = mask[None, :, None].expand(n_rows // len(mask), -1, 1, -1, -1).flatten(0, 1)
    return windows if total is None else total + windows
