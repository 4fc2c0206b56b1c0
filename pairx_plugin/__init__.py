"""pairx-plugin: see why a wildlife re-identification model finds two photographs similar.

Importing this package imports neither torch nor OpenCV; names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chips import Chip, cut_chip
    from .errors import PairXError
    from .explanation import PairExplanation
    from .models.catalogue import ModelCatalogue
    from .models.embedding import EmbeddingModel
    from .photographs import read_photograph
    from .pipeline import explain_ranking
    from .settings import Settings

__all__ = [
    "Chip",
    "EmbeddingModel",
    "ModelCatalogue",
    "PairExplanation",
    "PairXError",
    "Settings",
    "__version__",
    "cut_chip",
    "explain_ranking",
    "read_photograph",
]

_HOMES = {
    "Chip": "chips",
    "EmbeddingModel": "models.embedding",
    "ModelCatalogue": "models.catalogue",
    "PairExplanation": "explanation",
    "PairXError": "errors",
    "Settings": "settings",
    "cut_chip": "chips",
    "explain_ranking": "pipeline",
    "read_photograph": "photographs",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name == "__version__":
        return metadata.version("pairx-plugin")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
