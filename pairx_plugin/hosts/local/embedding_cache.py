"""Keeps embeddings between runs, by what they depend on: the network's fingerprint and the chip's pixels."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic_files import replacing

__all__ = ["EmbeddingCache"]

logger = logging.getLogger(__name__)


class EmbeddingCache:
    """Embeddings of one network, in one npz file of `folder`.

    A cache that cannot be read or written costs time and nothing else; both are logged as warnings.
    Several processes may share it: the file is replaced whole, so that nobody reads half of one. Of two
    that save at the same moment one may lose entries, which are then computed again.

    Args:
        folder: made when needed; None keeps nothing.
        fingerprint: digest of everything in the network and its preprocessing that decides an embedding.
    """

    def __init__(self, folder: Path | None, fingerprint: str) -> None:
        name = "".join(part if part.isalnum() else "-" for part in fingerprint)[-80:]
        self._path = folder / f"{name}.npz" if folder is not None and name else None
        self._known: dict[str, NDArray[np.float32]] = self._load()
        self._added: dict[str, NDArray[np.float32]] = {}

    def get(self, chip_sha256: str) -> NDArray[np.float32] | None:
        """Return the (D,) float32 embedding of the chip, or None."""
        return self._known.get(chip_sha256)

    def add(self, chip_sha256: str, embedding: NDArray[np.float32]) -> None:
        """Remember the (D,) embedding of a chip until :meth:`save`."""
        self._known[chip_sha256] = self._added[chip_sha256] = np.array(embedding, np.float32)

    def save(self) -> None:
        """Write what was added, together with what other processes have written since."""
        if self._path is None or not self._added:
            return
        merged = {**self._load(), **self._added}
        sizes = {vector.shape for vector in merged.values()}
        if len(sizes) > 1:  # the same fingerprint with two sizes can only be a damaged file
            merged = self._added
        try:
            with replacing(self._path) as file:
                np.savez(file, chip_sha256=np.array(list(merged)), embedding=np.stack(list(merged.values())))
        except OSError as error:
            logger.warning("embeddings are not kept, %s cannot be written: %s", self._path, error)
            return
        self._added = {}

    def _load(self) -> dict[str, NDArray[np.float32]]:
        if self._path is None or not self._path.exists():
            return {}
        try:
            # opened here: NumPy leaves a file open that turns out to be no archive
            with open(self._path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                keys, vectors = stored["chip_sha256"], stored["embedding"]
            if vectors.ndim != 2 or vectors.dtype != np.float32 or keys.shape != vectors.shape[:1]:
                raise ValueError(f"it holds {vectors.shape} {vectors.dtype} for {keys.shape} chips")
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("kept embeddings are not used, %s cannot be read: %s", self._path, error)
            return {}
        usable = np.isfinite(vectors).all(axis=1)
        return {str(key): vector for key, vector in zip(keys[usable], vectors[usable])}
