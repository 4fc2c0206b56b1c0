"""A host's own tensors by the pixels that show them, so that what is explained is what the host's network read."""

from __future__ import annotations

import functools
import hashlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..models.preprocessing import Preprocessing

__all__ = ["InputTensors"]

_ONE_OF_OURS = 0.05  # share of a chip's pixels that must be untouched for it to count as that chip changed


class InputTensors:
    """The host's tensors by what they show, so that the network is handed the very tensor its host made of a chip.

    A tensor is kept for as long as the array of its chip's pixels lives: 2 MB each at MiewID's size.

    Args:
        preprocessing: makes the tensor of pixels that are no chip of the host's; a rounding error away from the
            host's.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing
        self._kept: dict[bytes, tuple[list[weakref.ref[Any]], Any]] = {}
        self._lock = threading.RLock()  # an array may die while this very thread holds it

    def __len__(self) -> int:
        """How many tensors are kept."""
        return len(self._kept)

    def keep(self, pixels: NDArray[np.uint8], tensor: Any) -> None:
        """Remember the (3, h, w) tensor that these (H, W, 3) uint8 RGB pixels show."""
        content = _content(pixels)
        with self._lock:
            arrays = self._kept[content][0] if content in self._kept else []
            arrays.append(weakref.ref(pixels, functools.partial(self._forget, content)))
            self._kept[content] = arrays, tensor

    def _forget(self, content: bytes, array: weakref.ref[Any]) -> None:
        with self._lock:
            arrays = self._kept[content][0]
            arrays.remove(array)
            if not arrays:
                del self._kept[content]

    def tensor(self, pixels: NDArray[np.uint8]) -> Any:
        """Return the (3, h, w) float32 tensor that these pixels show.

        Of a chip of the host's, it is the host's own. Of one that was changed, as an explainer does that hides parts,
        it is the host's own wherever nothing was changed.
        """
        with self._lock:
            found = self._kept.get(_content(pixels))
            living: list[tuple[Any, Any]] = [(arrays[0](), tensor) for arrays, tensor in self._kept.values()]
        if found is not None:
            return found[1]
        made = self._preprocessing.batch([pixels])[0]
        alike = [item for item in living if item[0] is not None and item[0].shape == pixels.shape]
        # hiding parts leaves most pixels as they are; two animals share next to none
        shares = [float((original == pixels).all(axis=2).mean()) for original, _ in alike]
        if not shares or max(shares) < _ONE_OF_OURS:
            return made
        original, tensor = alike[int(np.argmax(shares))]
        before: Any = self._preprocessing.batch([original])[0]
        same = (before == made).all(dim=0)
        return made.where(~same, tensor)


def _content(pixels: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest() + repr(pixels.shape).encode()
