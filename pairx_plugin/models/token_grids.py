"""Transformers' tokens as places on the image: which outputs are grids of tokens, and how they become feature maps.

A ViT returns (B, N, C): class and register tokens first, then one token per patch, row by row. A Swin returns
(B, h, w, C). Explanations match cells of (B, C, h, w).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["TokenGrid", "TokenLayout", "from_map", "to_map", "token_layout"]

_VIT = ("timm.models.vision_transformer", "VisionTransformer")
_SWIN = ("timm.models.swin_transformer", "SwinTransformer")


@dataclass(frozen=True, kw_only=True)
class TokenGrid:
    """How one output's tokens lie on the image.

    Attributes:
        n_prefix: tokens before the first patch: class and register tokens.
        rows, columns: of patches.
        flat: whether patches are one dimension, (B, N, C), instead of two, (B, h, w, C).
    """

    n_prefix: int
    rows: int
    columns: int
    flat: bool


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """Where a network keeps tokens.

    Attributes:
        backbone_key: name of the transformer, empty where it is the network itself.
        patch: (height, width) of a patch in pixels.
        n_prefix: tokens before the first patch.
        flat: see :class:`TokenGrid`.
    """

    backbone_key: str
    patch: tuple[int, int]
    n_prefix: int
    flat: bool

    def grid(self, shape: tuple[int, ...], input_size: tuple[int, int]) -> TokenGrid | None:
        """Return how an output of that shape lies on an image of (height, width); None where it is no grid.

        Outputs of the transformer alone are grids; what follows it may have any meaning.
        """
        rows, columns = (-(-size // patch) for size, patch in zip(input_size, self.patch))
        if self.flat:
            fits = len(shape) == 3 and shape[1] == self.n_prefix + rows * columns
            return TokenGrid(n_prefix=self.n_prefix, rows=rows, columns=columns, flat=True) if fits else None
        if len(shape) != 4 or not 1 <= shape[1] <= rows or not 1 <= shape[2] <= columns:
            return None
        if abs(shape[1] - shape[2] * rows / columns) > 1.0:
            return None
        return TokenGrid(n_prefix=0, rows=shape[1], columns=shape[2], flat=False)

    def holds(self, key: str) -> bool:
        """Return whether a module of that name lies inside of the transformer."""
        return not self.backbone_key or key == self.backbone_key or key.startswith(self.backbone_key + ".")


def token_layout(network: nn.Module) -> TokenLayout | None:
    """Return where a network keeps tokens; None for one without a transformer that is known here."""
    for key, module in network.named_modules():
        flat, windowed = _is(module, _VIT), _is(module, _SWIN)
        size = getattr(getattr(module, "patch_embed", None), "patch_size", None)
        if (flat or windowed) and size is not None:
            n_prefix = int(getattr(module, "num_prefix_tokens", 0)) if flat else 0
            return TokenLayout(backbone_key=key, patch=(int(size[0]), int(size[1])), n_prefix=n_prefix, flat=flat)
    return None


def to_map(tokens: torch.Tensor, grid: TokenGrid) -> torch.Tensor:
    """Return the tokens of patches as a feature map (B, C, h, w); class and register tokens are left out."""
    if not grid.flat:
        return tokens.permute(0, 3, 1, 2)
    return tokens[:, grid.n_prefix :].transpose(1, 2).unflatten(2, (grid.rows, grid.columns))


def from_map(feature_map: torch.Tensor, tokens: torch.Tensor, grid: TokenGrid) -> torch.Tensor:
    """Return tokens with those of patches taken from a feature map, and the others from `tokens`."""
    if not grid.flat:
        return feature_map.permute(0, 2, 3, 1)
    patches = feature_map.flatten(2).transpose(1, 2)
    return torch.cat([tokens[:, : grid.n_prefix], patches], dim=1) if grid.n_prefix else patches


def _is(module: nn.Module, kind: tuple[str, str]) -> bool:
    return any((base.__module__, base.__name__) == kind for base in type(module).__mro__)
