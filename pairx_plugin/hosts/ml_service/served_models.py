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

__all__ = ["ServedModels"]

logger = logging.getLogger(__name__)


class ServedModels:
    """Loads each model once; safe for threads.

    Args:
        loaders: by the id that requests name.
    """

    def __init__(self, loaders: Mapping[str, Callable[[], EmbeddingModel]]) -> None:
        self._loaders = dict(loaders)
        self._locks = {name: threading.Lock() for name in loaders}
        self._loaded: dict[str, EmbeddingModel] = {}
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

        return cls({name: loader(source) for name, source in sources.items()})

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
                    self._loaded[model_id] = self._loaders[model_id]()
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
