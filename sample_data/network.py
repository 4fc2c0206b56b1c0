"""The MiewID-shaped network of the sample: a timm backbone, generalised-mean pooling and a batch-norm neck.

State-dict keys are MiewID's: `backbone.*`, `pooling.p`, `bn.*`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import torch
from torch import nn

from pairx_plugin.atomic_files import write_whole

MODEL_NAME = "tf_efficientnetv2_b0"
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class GeneralisedMean(nn.Module):
    """Generalised-mean pooling, [N, C, H, W] -> [N, C], with a learnt exponent."""

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), p))
        self.eps = eps

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features.clamp(min=self.eps).pow(self.p).mean((2, 3)).pow(1.0 / self.p)


class EmbeddingNetwork(nn.Module):
    """Image batch [N, 3, H, W], normalised, to embeddings [N, D].

    Args:
        model_name: a timm model with `forward_features`; no weights are downloaded.
    """

    def __init__(self, model_name: str = MODEL_NAME) -> None:
        super().__init__()
        import timm

        backbone: Any = timm.create_model(model_name, pretrained=False)
        width = int(backbone.num_features)
        backbone.reset_classifier(0, "")
        self.backbone = backbone
        self.pooling = GeneralisedMean()
        self.bn = nn.BatchNorm1d(width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.neck(self.backbone.forward_features(images))

    def neck(self, features: torch.Tensor) -> torch.Tensor:
        """Last feature maps [N, C, h, w] to embeddings [N, D]."""
        return self.bn(self.pooling(features.float()))


def save_checkpoint(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors: float16, the batch norms' running statistics float32."""
    from safetensors.torch import save

    state = {}
    for key, value in network.state_dict().items():
        keep = "running_" in key or not value.is_floating_point()
        state[key] = (value.detach() if keep else value.detach().to(torch.float16)).contiguous().clone()
    write_whole(path, save(state, metadata={"format": "pt"}))


def load_network(checkpoint: Path, config: Path) -> EmbeddingNetwork:
    """The trained network in eval mode, float32, from a checkpoint and the configuration beside it."""
    from safetensors.torch import load_file

    settings: Dict[str, Any] = json.loads(config.read_text())
    network = EmbeddingNetwork(settings["model_params"]["model_name"])
    state = {
        key: value.float() if value.is_floating_point() else value
        for key, value in load_file(str(checkpoint)).items()
    }
    network.load_state_dict(state, strict=True)
    return network.eval()
