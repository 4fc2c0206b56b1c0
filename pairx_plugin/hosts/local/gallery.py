"""From annotations to unit-length embeddings: chips are cut, embedded in batches, and let go again."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pairx_hooks import Annotation

from ...chips import Chip, cut_chip
from ...errors import ChipError, HostError, ModelError
from ...photographs import Photograph, read_photograph
from ...pixels import Pixels
from ..base import Progress
from .annotations import Problem
from .embedding_cache import EmbeddingCache

__all__ = ["ChipSource", "Embedder", "Gallery", "build_gallery"]

logger = logging.getLogger(__name__)


class Embedder(Protocol):
    """What ranking needs of a network."""

    model_id: str

    def embed(self, pixels: Sequence[Pixels], batch_size: int = 16) -> NDArray[np.float32]:
        """Return (N, D) float32 for N chips, (H, W, 3) uint8 RGB."""
        ...

    def fingerprint(self) -> str:
        """Return a digest of everything that decides an embedding."""
        ...


class ChipSource:
    """Cuts chips, and remembers what each looked like so that a later look at it shows the same pixels.

    Args:
        max_side: longest side of a chip in pixels.
        capacity: how many chips are kept in memory.
    """

    def __init__(self, max_side: int, capacity: int = 48) -> None:
        self._max_side, self._capacity = max_side, capacity
        self._digests: dict[str, str] = {}
        self._kept: OrderedDict[str, Chip] = OrderedDict()
        self._photograph: tuple[str, Photograph] | None = None
        self._lock = Lock()

    def chip(self, annotation: Annotation) -> Chip:
        """Return the chip of `annotation`.

        Raises:
            ChipError: it cannot be cut, or it no longer looks as it did when it was first cut.
        """
        key = annotation.annotation_id
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            chip = self._cut(annotation)
            if self._digests.setdefault(key, chip.sha256) != chip.sha256:
                raise ChipError(
                    f"the photograph {annotation.image!r} is not what it was when annotation '{key}' was "
                    f"ranked; rank again, so that scores and explanations are of the same picture"
                )
            self._kept[key] = chip
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
            return chip

    def _cut(self, annotation: Annotation) -> Chip:
        # One photograph is kept: animals of the same picture follow each other in the usual file.
        if self._photograph is None or self._photograph[0] != annotation.image:
            self._photograph = None
            self._photograph = (annotation.image, read_photograph(annotation.image))
        source = self._photograph[1]
        return cut_chip(
            source, bbox=annotation.bbox, theta=annotation.theta, max_side=self._max_side, name=annotation.name
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """The annotations that can be ranked.

    Attributes:
        annotations: in the file's order.
        embeddings: (N, D) float64 of unit length, in the same order.
        chip_sha256: digests of the chips, in the same order.
        left_out: why an annotation is missing, by its id.
        doubts: what a reader should know about a chip, by annotation id; only where there is something.
    """

    annotations: tuple[Annotation, ...]
    embeddings: NDArray[np.float64]
    chip_sha256: tuple[str, ...]
    left_out: Mapping[str, Problem]
    doubts: Mapping[str, tuple[Problem, ...]]


def build_gallery(
    annotations: Sequence[Annotation],
    model: Embedder,
    chips: ChipSource,
    *,
    batch_size: int = 16,
    cache: EmbeddingCache | None = None,
    progress: Progress | None = None,
) -> Gallery:
    """Embed every annotation; one that cannot be read or embedded is left out and the rest goes on.

    Raises:
        HostError: not one annotation could be embedded, or embeddings differ in length.
    """
    kept = cache or EmbeddingCache(None, "")
    found: dict[str, NDArray[np.float32]] = {}
    left_out: dict[str, Problem] = {}
    doubts: dict[str, tuple[Problem, ...]] = {}
    digests: dict[str, str] = {}
    try:
        for start in range(0, len(annotations), batch_size):
            batch = annotations[start : start + batch_size]
            cut = _cut_batch(batch, chips, left_out)
            digests.update({key: chip.sha256 for key, chip in cut.items()})
            doubts.update({key: _doubts(key, chip) for key, chip in cut.items() if chip.warnings})
            fresh = {key: chip.pixels for key, chip in cut.items() if kept.get(chip.sha256) is None}
            for key, vector in _embed(model, fresh, left_out).items():
                kept.add(digests[key], vector)
            found.update({key: known for key in cut if (known := kept.get(digests[key])) is not None})
            if progress is not None:
                progress("embed", start + len(batch), len(annotations))
    finally:
        kept.save()  # also when somebody loses patience: the next run goes on from here
    return _gallery(annotations, found, digests, left_out, doubts)


def _gallery(
    annotations: Sequence[Annotation],
    found: Mapping[str, NDArray[np.float32]],
    digests: Mapping[str, str],
    left_out: Mapping[str, Problem],
    doubts: Mapping[str, tuple[Problem, ...]],
) -> Gallery:
    usable = tuple(annotation for annotation in annotations if annotation.annotation_id in found)
    if not usable:
        reasons = "; ".join(problem.message for problem in list(left_out.values())[:3])
        raise HostError(f"not one of {len(annotations)} annotations could be embedded: {reasons}")
    lengths = sorted({len(vector) for vector in found.values()})
    if len(lengths) > 1:
        raise HostError(
            f"the network gave embeddings of different lengths, {lengths}, which cannot be compared"
        )
    raw = np.stack([found[annotation.annotation_id] for annotation in usable]).astype(np.float64)
    return Gallery(
        annotations=usable,
        embeddings=raw / np.linalg.norm(raw, axis=1, keepdims=True),
        chip_sha256=tuple(digests[annotation.annotation_id] for annotation in usable),
        left_out=left_out,
        doubts=doubts,
    )


def _cut_batch(
    batch: Sequence[Annotation], chips: ChipSource, left_out: dict[str, Problem]
) -> dict[str, Chip]:
    cut: dict[str, Chip] = {}
    for annotation in batch:
        try:
            cut[annotation.annotation_id] = chips.chip(annotation)
        except (ChipError, OSError, MemoryError) as error:
            left_out[annotation.annotation_id] = _problem(error, annotation.annotation_id, "IMAGE_UNREADABLE")
    return cut


def _doubts(key: str, chip: Chip) -> tuple[Problem, ...]:
    return tuple(Problem(code=item.code, where=key, message=item.message, values=item.values) for item in chip.warnings)


def _embed(
    model: Embedder, pixels: Mapping[str, Pixels], left_out: dict[str, Problem]
) -> dict[str, NDArray[np.float32]]:
    """Embed a batch; when it fails as a whole, each chip alone, so that none takes the rest along."""
    if not pixels:
        return {}
    keys = list(pixels)
    try:
        vectors = _checked(np.asarray(model.embed(list(pixels.values()), batch_size=len(keys))), len(keys))
    except Exception as error:  # whatever a network raises, out of memory included
        if len(keys) == 1:
            left_out[keys[0]] = _problem(error, keys[0], "EMBEDDING_FAILED")
            return {}
        logger.warning(
            "a batch of %d chips cannot be embedded (%s); trying them one by one", len(keys), error
        )
        singly: dict[str, NDArray[np.float32]] = {}
        for key in keys:
            singly.update(_embed(model, {key: pixels[key]}, left_out))
        return singly
    return dict(zip(keys, vectors))


def _checked(vectors: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    if vectors.ndim != 2 or len(vectors) != n:
        raise ModelError(f"the network gave an array of {vectors.shape} for {n} chips; it must give ({n}, D)")
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise ModelError(
            "the network gave an embedding that is zero or not finite, which has no cosine similarity"
        )
    return vectors.astype(np.float32, copy=False)


def _problem(error: BaseException, key: str, code: str) -> Problem:
    reason = str(error) or type(error).__name__
    return Problem(
        code=getattr(error, "code", code), where=key, message=f"annotation '{key}' is left out: {reason}"
    )
