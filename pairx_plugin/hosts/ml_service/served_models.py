"""The models that requests may name, loaded when they are first needed and then kept."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ...errors import ModelNotFound, PairXError, nearest
from .configuration import ModelSource

if TYPE_CHECKING:
    from ...models.embedding import EmbeddingModel
    from ...models.layers import LayerInfo

__all__ = ["ServedModels"]

logger = logging.getLogger(__name__)


class ServedModels:
    """Loads each model once; safe for threads.

    Args:
        loaders: by the id that requests name.
        alone: whether nobody else has the networks that they load, so that one can be run to list its layers.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], EmbeddingModel]], *, alone: bool = False) -> None:
        self._loaders, self._alone = dict(loaders), alone
        self._locks = {name: threading.Lock() for name in loaders}
        self._loaded: dict[str, EmbeddingModel] = {}
        self._layers: dict[str, list[LayerInfo]] = {}
        self._failed: dict[str, str] = {}

    @classmethod
    def from_sources(cls, sources: Mapping[str, ModelSource]) -> ServedModels:
        """Take the models from the catalogue.

        Raises:
            ModelNotFound: a source is neither in the catalogue nor on the disk.
        """
        from ...models import ModelCatalogue  # it brings torch

        catalogue = ModelCatalogue()

        def loader(source: ModelSource) -> Callable[[], EmbeddingModel]:
            catalogue.describe(source.where)  # what is not there is told when the service starts
            return lambda: catalogue.load(source.where, **source.options)

        return cls({name: loader(source) for name, source in sources.items()}, alone=True)

    @property
    def ids(self) -> list[str]:
        """The ids that requests may name."""
        return list(self._loaders)

    def state(self, model_id: str) -> str:
        """Return ``ready``, ``failed`` or ``unloaded``."""
        return "ready" if model_id in self._loaded else "failed" if model_id in self._failed else "unloaded"

    def loaded(self, model_id: str) -> EmbeddingModel | None:
        """Return a model if it is loaded already."""
        return self._loaded.get(model_id)

    def stages(self, model_id: str) -> list[LayerInfo]:
        """Return the layers of which requests usually name one; none before the model is loaded."""
        layers, own = self._layers.get(model_id, []), self._loaded.get(model_id)
        return [item for item in layers if item.is_stage or (own and item.key == own.default_layer)] or layers

    def n_cells(self, model_id: str, layer_key: str) -> int:
        """Return how many cells a layer's feature map has; 0 where that is not known."""
        grids = [item.grid for item in self._layers.get(model_id, []) if item.key == layer_key]
        return grids[0][0] * grids[0][1] if grids else 0

    def name_of(self, asked: str) -> str:
        """Return the id under which a model is served; upper and lower case are one, as in ml-service.

        Raises:
            ModelNotFound: no model is served under that id.
        """
        found = {name.lower(): name for name in self._loaders}.get(asked.lower())
        if found is None:
            raise ModelNotFound(
                f"no model {asked!r:.80} is served{nearest(asked[:80], self._loaders)}; served: {', '.join(self.ids)}"
            )
        return found

    def load(self, model_id: str) -> EmbeddingModel:
        """Return a model by the id under which it is served, and load it if nobody has.

        Raises:
            ModelError: it cannot be loaded.
        """
        with self._locks[model_id]:
            if model_id not in self._loaded:
                try:
                    found = self._loaders[model_id]()
                    self._layers[model_id] = _listed(found) if self._alone else []
                    self._loaded[model_id] = found
                    self._failed.pop(model_id, None)
                except Exception as error:
                    self._failed[model_id] = str(error)
                    raise
            return self._loaded[model_id]

    def load_all(self) -> None:
        """Load every model; one that cannot be loaded is logged, and stays ``failed``."""
        for model_id in self._loaders:
            try:
                self.load(model_id)
            except PairXError as error:
                logger.error("model %s cannot be loaded: %s", model_id, error)
            except Exception:
                logger.exception("model %s cannot be loaded", model_id)


def _listed(model: EmbeddingModel) -> list[LayerInfo]:
    from ...models.layers import list_layers  # it brings torch

    return list_layers(model.network, model.input_size)
