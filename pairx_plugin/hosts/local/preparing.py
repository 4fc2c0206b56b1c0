"""What happens once, before the first query: annotations are read, the network loaded, chips embedded."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from pairx_hooks import Annotation

from ..base import Progress
from .annotations import AnnotationTable, read_annotations, select_queries
from .configuration import LocalHostConfig
from .embedding_cache import EmbeddingCache
from .gallery import ChipSource, Embedder, Gallery, build_gallery

__all__ = ["Prepared", "prepare", "stage"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A host that is ready to rank.

    Attributes:
        by_id: all readable annotations by their id, also those whose photograph turned out to be unusable.
        model_id: the network's id, or what the configuration calls it.
        fingerprint: of the network.
    """

    table: AnnotationTable
    by_id: Mapping[str, Annotation]
    model: Embedder
    model_id: str
    fingerprint: str
    chips: ChipSource
    gallery: Gallery


def prepare(
    config: LocalHostConfig, model: Embedder | None, *, progress: Progress, seconds: dict[str, float]
) -> Prepared:
    """Read annotations, load the network unless `model` is given, and embed.

    Args:
        seconds: gets the time of the stages ``model`` and ``embed``.

    Raises:
        HostError: there is nothing to rank, or not one photograph can be used.
        ModelError: the network cannot be loaded.
    """
    table = read_annotations(config.annotations, config.images)
    select_queries(config.queries, table.annotations)  # nothing to rank? that is said before the long part
    with stage(seconds, "model"):
        network = model if model is not None else _load_model(config.model)
        fingerprint = network.fingerprint()
    chips, cache = ChipSource(config.chip_side), EmbeddingCache(config.embedding_cache, fingerprint)
    with stage(seconds, "embed"):
        gallery = build_gallery(
            table.annotations, network, chips, batch_size=config.batch_size, cache=cache, progress=progress
        )
    return Prepared(
        table=table,
        by_id={annotation.annotation_id: annotation for annotation in table.annotations},
        model=network,
        model_id=network.model_id or config.model,
        fingerprint=fingerprint,
        chips=chips,
        gallery=gallery,
    )


@contextmanager
def stage(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Measure a stage."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[name] = time.perf_counter() - started


def _load_model(model: str) -> Embedder:
    from ...models.provided import load_model  # only here: importing the host costs no torch

    return load_model(model)
