"""Pooled features of labelled photographs: each photograph runs once, and may be kept in a file for the next time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ....atomic_files import replacing
from ....errors import ModelError, StoreError
from ....models.embedding import EmbeddingModel
from ....models.layers import list_layers
from ..forward import Forward
from .labels import LabelledPhotograph

__all__ = ["default_layer", "pooled_features"]

_BATCH = 16


def default_layer(model: EmbeddingModel) -> str:
    """Return the layer that attributes are read from: the last feature map before the network pools it.

    Raises:
        ModelError: no layer returns a feature map of more than one cell.
    """
    found = list_layers(model.network, model.input_size)
    layers = [layer for layer in found if min(layer.grid) > 1 and not layer.tokens]
    if not layers:
        raise ModelError("no layer of the network returns a feature map, so no attribute can be read from its features")
    return layers[-1].key


def pooled_features(
    model: EmbeddingModel,
    layer: str,
    photographs: Sequence[LabelledPhotograph],
    *,
    kept: Path | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float32]:
    """Return (N, C): the spatial mean of a layer's feature map of each photograph.

    Args:
        kept: an ``.npz`` file; read where it was made of the same photographs, network and layer, written otherwise.
        advance: called with the photographs done so far and their number.

    Raises:
        ChipError: a photograph cannot be read or cut.
        ModelError: the layer gives no feature map.
        StoreError: `kept` cannot be written.
    """
    key = _key(model, layer, photographs)
    found = _read(kept, key)
    if found is not None:
        return found
    forward, parts = Forward(model.network, layer), []
    for start in range(0, len(photographs), _BATCH):
        chips = [photograph.chip().pixels for photograph in photographs[start : start + _BATCH]]
        with torch.no_grad():
            parts.append(forward.with_features(model.tensor(chips))[1].float().mean((2, 3)).cpu().numpy())
        advance(min(start + _BATCH, len(photographs)), len(photographs))
    pooled: NDArray[np.float32] = np.concatenate(parts)
    if kept is not None:
        try:
            with replacing(kept) as file:
                np.savez(file, key=np.array(key), pooled=pooled)
        except OSError as error:
            raise StoreError(f"cannot keep the features at {str(kept)!r}: {error.strerror or error}") from error
    return pooled


def _key(model: EmbeddingModel, layer: str, photographs: Sequence[LabelledPhotograph]) -> str:
    files = [
        [str(item.path), item.path.stat().st_size if item.path.is_file() else 0, item.bbox, item.theta]
        for item in photographs
    ]
    return hashlib.sha256(json.dumps([model.fingerprint(), layer, files]).encode()).hexdigest()


def _read(kept: Path | None, key: str) -> NDArray[np.float32] | None:
    if kept is None or not kept.is_file():
        return None
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            pooled: NDArray[np.float32] = arrays["pooled"]
            return pooled if str(arrays["key"]) == key else None
    except (OSError, ValueError, KeyError):
        return None  # damaged or another program's: it is made anew
