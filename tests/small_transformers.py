"""Small transformers of the libraries' families, with what the host's own forward pass says of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pairx_plugin.models.token_grids import to_map, token_layout
from pairx_plugin.relevance.seeds import product_seeds

__all__ = ["FLAT", "WINDOWS", "as_map", "made", "pictures", "terms_of", "watched"]

FLAT = dict(img_size=32, patch_size=8, depth=2, embed_dim=16, num_heads=2)

WINDOWS = dict(img_size=32, window_size=4, depths=(2, 2), embed_dim=8, num_heads=(1, 2))


def from_torchvision(name):
    models = pytest.importorskip("torchvision").models
    if name == "torchvision vit":
        network = models.VisionTransformer(32, 8, 2, 2, 16, 32)
        network.heads = nn.Identity()
        return network
    swin = models.swin_transformer
    newer = dict(block=swin.SwinTransformerBlockV2, downsample_layer=swin.PatchMergingV2) if "v2" in name else {}
    network = models.SwinTransformer([4, 4], 8, [2, 2], [1, 2], [4, 4], **newer)
    network.head = nn.Identity()
    return network


class ClassToken(nn.Module):
    """A model of the library transformers, with its class token as the embedding."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, images):
        return self.backbone(images).last_hidden_state[:, 0]


def from_transformers(name, options):
    library = pytest.importorskip("transformers", minversion="5.20", reason="layers had other names before")
    kind = name.split()[1]
    configuration = getattr(library, kind.replace("Model", "Config"))(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    for key, value in options.items():
        setattr(configuration, key, value)
    return ClassToken(getattr(library, kind)(configuration))


def made(name, options, dtype=torch.float64):
    """Return a network of random weights in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if name.startswith("torchvision"):
            network = from_torchvision(name)
        elif name.startswith("transformers"):
            network = from_transformers(name, options)
        else:
            network = pytest.importorskip("timm").create_model(name, num_classes=0, **options)
        with torch.no_grad():
            for parameter in network.parameters():
                spread = torch.randn(parameter.shape)
                if parameter.ndim > 1 and len(parameter) > 1:
                    parameter.copy_(spread * (1.0 / parameter[0].numel()) ** 0.5)
                else:
                    parameter.add_(spread * 0.1)
    return network.eval().to(dtype)


def pictures(options, n=2, dtype=torch.float64):
    size = options.get("img_size", 32)
    size = (size, size) if isinstance(size, int) else size
    return torch.randn((n, 3, *size), generator=torch.Generator().manual_seed(1), dtype=dtype)


def watched(network, layer, images):
    """Return the embedding and what a layer returned."""
    seen = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        return network(images), seen[-1]
    finally:
        handle.remove()


def as_map(network, tokens, images):
    return to_map(tokens, token_layout(network).grid(tuple(tokens.shape), tuple(images.shape[2:])))


def terms_of(network, images):
    with torch.no_grad():
        embeddings = network(images)
    return product_seeds(embeddings[:1], embeddings[1:])[1]
