"""Chips as small files for the browser, encoded once and kept while they are in use."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass

from PIL import Image, features

from pairx_hooks import Annotation

from .source import ReviewSource

__all__ = ["SIZES", "ChipPicture", "ChipPictures"]

SIZES = {"full": 1024, "thumb": 160}  # longest side in pixels
_QUALITY = {"full": 88, "thumb": 72}
_KEPT = 256


@dataclass(frozen=True, kw_only=True)
class ChipPicture:
    """An encoded chip; `etag` changes with its pixels."""

    data: bytes
    media_type: str
    width: int
    height: int
    etag: str


class ChipPictures:
    """Encodes the chips of a source; safe for threads."""

    def __init__(self, source: ReviewSource) -> None:
        self._source = source
        self._kept: OrderedDict[tuple[str, str], ChipPicture] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, annotation: Annotation, size: str) -> ChipPicture:
        """Return the chip of an annotation at a size of :data:`SIZES`.

        Raises:
            ChipError: it cannot be cut.
        """
        chip = self._source.chip(annotation)
        key = chip.sha256, size
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        image = Image.fromarray(chip.pixels)
        image.thumbnail((SIZES[size], SIZES[size]), Image.Resampling.LANCZOS)
        stream = io.BytesIO()
        if features.check("webp"):
            media_type = "image/webp"
            image.save(stream, "WEBP", quality=_QUALITY[size], method=3)
        else:
            media_type = "image/jpeg"
            image.save(stream, "JPEG", quality=_QUALITY[size])
        made = ChipPicture(
            data=stream.getvalue(),
            media_type=media_type,
            width=image.width,
            height=image.height,
            etag=hashlib.sha256(f"{chip.sha256}{size}".encode()).hexdigest()[:24],
        )
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made
