"""Pictures as data URIs, small enough that a report of a whole run can be mailed."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, features

from pairx_hooks import Artifact

from ..errors import StoreError

__all__ = ["Embedded", "PictureEmbedder", "encoded_picture", "json_uri"]

_FORMATS = ("PNG", "WEBP", "JPEG")
_METHOD = 3  # effort of the encoder: more costs seconds and saves little


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A picture within the page."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class PictureEmbedder:
    """Turns artifacts into data URIs.

    Attributes:
        folder: where relative paths of artifacts without bytes start.
        max_width: wider pictures are shrunk to it, in pixels.
        quality: of WebP, 1 to 100; where a picture is smaller as it came it stays as it is.
    """

    folder: Path | None = None
    max_width: int = 1440
    quality: int = 75

    def embed(self, artifact: Artifact, max_width: int | None = None) -> Embedded:
        """Return an artifact as a data URI.

        Raises:
            StoreError: its bytes are missing, or are no PNG, WebP or JPEG picture.
        """
        data, limit = self._bytes(artifact), max_width or self.max_width
        try:
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                media_type = Image.MIME[image.format or ""]
                picture = image.convert("RGB")
        except Exception as error:  # Pillow raises nearly anything on a damaged file
            raise StoreError(f"the picture '{artifact.version}' cannot be decoded: {error}") from error
        if picture.width > limit:
            size = (limit, max(1, round(picture.height * limit / picture.width)))
            picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
            small = _encode(picture, self.quality)
        else:
            small = _encode(picture, self.quality)
            if len(data) <= len(small[1]):
                small = (media_type, data)
        uri = f"data:{small[0]};base64,{base64.b64encode(small[1]).decode('ascii')}"
        return Embedded(uri=uri, width=picture.width, height=picture.height)

    def _bytes(self, artifact: Artifact) -> bytes:
        if artifact.data:
            return artifact.data
        if artifact.path is None:
            raise StoreError(f"the picture '{artifact.version}' has neither bytes nor a path")
        try:
            return ((self.folder or Path()) / artifact.path).read_bytes()
        except OSError as error:
            raise StoreError(f"the picture {artifact.path!r} cannot be read: {error.strerror or error}") from error


def encoded_picture(pixels: Any, version: str, *, max_side: int, quality: int = 78) -> Artifact:
    """Return an (H, W, 3) uint8 RGB array as an encoded picture whose longer side is at most `max_side` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    media_type, data = _encode(image, quality)
    return Artifact(version=version, media_type=media_type, width=image.width, height=image.height, data=data)


def json_uri(record: Mapping[str, Any]) -> str:
    """Return JSON data as a data URI."""
    text = json.dumps(record, separators=(",", ":"), allow_nan=False)
    return f"data:application/json;base64,{base64.b64encode(text.encode('ascii')).decode('ascii')}"


def _encode(image: Image.Image, quality: int) -> tuple[str, bytes]:
    """Return media type and bytes: WebP, or JPEG where this Pillow has no WebP."""
    stream = io.BytesIO()
    if features.check("webp"):
        image.save(stream, "WEBP", quality=quality, method=_METHOD)
        return "image/webp", stream.getvalue()
    image.save(stream, "JPEG", quality=quality, optimize=True)
    return "image/jpeg", stream.getvalue()
