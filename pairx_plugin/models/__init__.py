"""Networks as PAIR-X needs them: preprocessing, layer keys, known models.

Names are imported when they are first used, so that ``import pairx_plugin.models.layers`` costs torch and
nothing more. No module here imports timm, torchvision, safetensors or transformers before a model that needs
them is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalogue import ModelCatalogue, ModelDescription
    from .checks import check_embeddings, check_evaluation_mode
    from .embedding import EmbeddingModel, as_embedding_model
    from .layers import LayerInfo, get_layer, list_layers, suggest_layer
    from .miewid import GeM, MiewIdNetwork
    from .preprocessing import IMAGENET_MEAN, IMAGENET_STD

_HOMES = {
    "EmbeddingModel": "embedding",
    "GeM": "miewid",
    "IMAGENET_MEAN": "preprocessing",
    "IMAGENET_STD": "preprocessing",
    "LayerInfo": "layers",
    "MiewIdNetwork": "miewid",
    "ModelCatalogue": "catalogue",
    "ModelDescription": "catalogue",
    "as_embedding_model": "embedding",
    "check_embeddings": "checks",
    "check_evaluation_mode": "checks",
    "get_layer": "layers",
    "list_layers": "layers",
    "suggest_layer": "layers",
}

__all__ = [
    "EmbeddingModel",
    "GeM",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LayerInfo",
    "MiewIdNetwork",
    "ModelCatalogue",
    "ModelDescription",
    "as_embedding_model",
    "check_embeddings",
    "check_evaluation_mode",
    "get_layer",
    "list_layers",
    "suggest_layer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
