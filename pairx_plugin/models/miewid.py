"""The network of MiewID checkpoints: a timm backbone, generalised-mean pooling, a batch-norm neck."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import ModelError
from .backbones import create_timm


class GeM(nn.Module):
    """Generalised-mean pooling, (N, C, h, w) to (N, C, 1, 1): the mean of x^p, to the power of 1/p.

    Args:
        p: the exponent, learned; 1 is average pooling, infinity is maximum pooling.
        eps: lower bound of the activations, which keeps roots and their gradients finite.

    Source: Radenović, Tolias and Chum, "Fine-tuning CNN Image Retrieval with No Human Annotation", equation
    3.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), float(p)))
        self.eps = eps

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        """Pool a map (N, C, h, w) to (N, C, 1, 1)."""
        powered = feature_map.clamp(min=self.eps).pow(self.p)
        # avg_pool2d over the whole map, as MiewID has it: relevance rules know it as a pooling.
        return nn.functional.avg_pool2d(powered, powered.shape[-2:]).pow(1.0 / self.p)


class MiewIdNetwork(nn.Module):
    """A network of MiewID's shape, with its state-dict keys: ``backbone.*``, ``pooling.p``, ``bn.*``.

    Args:
        model_name: a timm model with `num_features`: EfficientNets, ResNets and ConvNeXts, and also transformers
            (the class token of a ViT, the permuted map of a Swin), which mode ``corrected`` explains.
        image_size: (height, width) for backbones built for one size (ViT, Swin); ignored by the others.
        gem_power: initial exponent of the pooling.

    Raises:
        ModelNotFound: timm knows no such model.
        ModelError: the backbone names no number of features.
        MissingExtra: timm cannot be imported.
    """

    def __init__(
        self, model_name: str, *, image_size: tuple[int, int] | None = None, gem_power: float = 3.0
    ) -> None:
        super().__init__()
        self.model_name = model_name
        self.backbone: Any = create_timm(model_name, image_size=image_size)
        features = getattr(self.backbone, "num_features", None)
        if not isinstance(features, int) or features < 1 or not hasattr(self.backbone, "forward_features"):
            raise ModelError(
                f"timm model {model_name!r} names no num_features, so no neck can be sized for it; "
                f"choose an EfficientNet such as 'efficientnetv2_rw_m'"
            )
        _remove_head(self.backbone)
        self.pooling = GeM(p=gem_power)
        self.bn = nn.BatchNorm1d(features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Embed normalised images, (N, 3, H, W) to (N, D)."""
        features = self.backbone.forward_features(images)
        if features.ndim == 3:
            return self.bn(self._class_token(features))
        if _is_channels_last(self.backbone):
            features = features.permute(0, 3, 1, 2)
        return self.bn(self.pooling(features).flatten(1))

    def _class_token(self, tokens: torch.Tensor) -> torch.Tensor:
        if getattr(self.backbone, "cls_token", None) is None:
            raise ModelError(
                f"timm model {self.model_name!r} returns tokens {tuple(tokens.shape)} and has no class "
                "token, so MiewID's layout does not define its embedding; choose another backbone"
            )
        return tokens[:, 0]


def _remove_head(backbone: Any) -> None:
    # MiewID puts Identity in place of classifier and global pooling; forward_features() reaches neither.
    backbone.reset_classifier(0, "")


def _is_channels_last(backbone: nn.Module) -> bool:
    layout = getattr(backbone, "output_fmt", "")
    return str(getattr(layout, "value", layout)).upper() == "NHWC"
