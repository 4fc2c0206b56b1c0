"""Loads a model by id: of the catalogue, or of an installed plugin that supplies it."""

from __future__ import annotations

from typing import Any

from pairx_hooks import ReviewHookError, build_manager

from ..errors import ModelError, ModelNotFound, SettingsError
from .catalogue import ModelCatalogue
from .embedding import EmbeddingModel

__all__ = ["load_model"]


def load_model(id_or_path: str, catalogue: ModelCatalogue | None = None, **options: Any) -> EmbeddingModel:
    """Return a loaded model; what the catalogue does not know, the plugins are asked for.

    Args:
        id_or_path: see :class:`.catalogue.ModelCatalogue`, or an id that a plugin's ``provide_embedding_model`` knows.
        catalogue: that keeps what it loads; a new one where none is given.
        **options: of the catalogue's loader; a plugin's model has none.

    Raises:
        ModelNotFound: neither the catalogue nor a plugin knows it.
        ModelError: it cannot be loaded.
        SettingsError: options for a plugin's model, or options that the catalogue does not have.
    """
    catalogue = catalogue or ModelCatalogue()
    try:
        catalogue.describe(id_or_path)
    except ModelNotFound as unknown:
        return _of_plugins(id_or_path, options, unknown)
    return catalogue.load(id_or_path, **options)


def _of_plugins(model_id: str, options: dict[str, Any], unknown: ModelNotFound) -> EmbeddingModel:
    try:
        provided = build_manager().embedding_model(model_id)
    except ReviewHookError as error:
        raise ModelError(f"{error}; list plugins with `pairx-plugin hooks`") from error
    if provided is None:
        raise unknown
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise SettingsError(
            f"the model '{model_id}' comes from a plugin, which loads it as it ranks with it; leave out "
            f"{', '.join(given)}"
        )
    return provided if isinstance(provided, EmbeddingModel) else EmbeddingModel(provided, model_id=model_id)
