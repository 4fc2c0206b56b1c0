"""Transformers' tokens as places on the image: which outputs are grids of tokens, and how they become feature maps.

A ViT returns (B, N, C): class and register tokens first, then one token per patch, row by row. A Swin returns
(B, h, w, C). Explanations match cells of (B, C, h, w). No library of models is imported here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

__all__ = ["TokenGrid", "TokenLayout", "from_map", "to_map", "token_layout"]

Kind = tuple[str, str]

_FLAT: tuple[Kind, ...] = (
    ("timm.models.vision_transformer", "VisionTransformer"),
    ("timm.models.vision_transformer_relpos", "VisionTransformerRelPos"),
    ("timm.models.eva", "Eva"),
    ("timm.models.beit", "Beit"),
)
_WINDOWED: tuple[Kind, ...] = (
    ("timm.models.swin_transformer", "SwinTransformer"),
    ("timm.models.swin_transformer_v2", "SwinTransformerV2"),
)
_SWIN_CR = ("timm.models.swin_transformer_v2_cr", "SwinTransformerV2Cr")
# Of the library transformers, each with its tokens before the first patch, registers aside.
_HUGGING_FACE: dict[Kind, int] = {
    ("transformers.models.vit.modeling_vit", "ViTModel"): 1,
    ("transformers.models.deit.modeling_deit", "DeiTModel"): 2,
    ("transformers.models.dinov2.modeling_dinov2", "Dinov2Model"): 1,
    ("transformers.models.dinov2_with_registers.modeling_dinov2_with_registers", "Dinov2WithRegistersModel"): 1,
    ("transformers.models.dinov3_vit.modeling_dinov3_vit", "DINOv3ViTModel"): 1,
    ("transformers.models.clip.modeling_clip", "CLIPVisionModel"): 1,
}
_TORCHVISION_VIT = ("torchvision.models.vision_transformer", "VisionTransformer")
_TORCHVISION_SWIN = ("torchvision.models.swin_transformer", "SwinTransformer")


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


@dataclass(frozen=True, kw_only=True)
class _LayoutOfBlocks(TokenLayout):
    """Tokens inside of blocks alone; around them are feature maps (B, C, h, w).

    Attributes:
        blocks: what the name of a module inside of a block begins with, after the transformer's.
    """

    blocks: str

    def holds(self, key: str) -> bool:
        prefix = f"{self.backbone_key}." if self.backbone_key else ""
        return key.startswith(prefix) and re.match(self.blocks, key[len(prefix) :]) is not None


def token_layout(network: nn.Module) -> TokenLayout | None:
    """Return where a network keeps tokens; None for one without a transformer that is known here."""
    for key, module in network.named_modules():
        layout = _layout(key, module)
        if layout is not None:
            return layout
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


def _layout(key: str, module: Any) -> TokenLayout | None:
    if any(_is(module, kind) for kind in _FLAT):
        patch, n_prefix = _pair(module.patch_embed.patch_size), int(module.num_prefix_tokens)
        return TokenLayout(backbone_key=key, patch=patch, n_prefix=n_prefix, flat=True)
    if any(_is(module, kind) for kind in _WINDOWED):
        return TokenLayout(backbone_key=key, patch=_pair(module.patch_embed.patch_size), n_prefix=0, flat=False)
    if _is(module, _SWIN_CR):
        patch, blocks = _pair(module.patch_embed.patch_size), r"stages\.\d+\.(blocks\.|downsample)"
        return _LayoutOfBlocks(backbone_key=key, patch=patch, n_prefix=0, flat=False, blocks=blocks)
    if _is(module, _TORCHVISION_VIT):
        return TokenLayout(backbone_key=key, patch=_pair(module.patch_size), n_prefix=1, flat=True)
    for kind, n_prefix in _HUGGING_FACE.items():
        if _is(module, kind):
            n_prefix += int(getattr(module.config, "num_register_tokens", 0))
            return TokenLayout(backbone_key=key, patch=_pair(module.config.patch_size), n_prefix=n_prefix, flat=True)
    if _is(module, _TORCHVISION_SWIN):
        return TokenLayout(backbone_key=key, patch=_pair(module.features[0][0].kernel_size), n_prefix=0, flat=False)
    return None


def _is(module: nn.Module, kind: Kind) -> bool:
    return any((base.__module__, base.__name__) == kind for base in type(module).__mro__)


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
