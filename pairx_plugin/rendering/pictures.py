"""Pictures as bytes, PNG or WebP: equal pixels give equal bytes, and nothing but pixels is in them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, features

from ..errors import EvidenceError, SettingsError, nearest
from .canvas import Pixels

__all__ = ["FORMATS", "WEBP_MAX_SIDE", "decode", "encode", "media_type"]

FORMATS: dict[str, str] = {"png": "image/png", "webp": "image/webp"}
WEBP_MAX_SIDE = 16383  # the format stores a side in 14 bits

# How hard WebP tries, 0 to 6. Measured on the four views of 4 pairs, 1,256 to 2,063 px wide and 496 to 1,371 high,
# quality 90, one core, libwebp 1.6: Pillow's default 4 takes 97 to 212 ms by view, 3 the same; 2 takes 47 to 105 ms for
# 1 to 2 % more bytes and 0.1 to 0.6 dB less; 0 takes 32 to 77 ms for 3 to 7 % more. libwebp 1.2 says the same.
_WEBP_METHOD = 2


def media_type(picture_format: str) -> str:
    """Return the media type of a format, for example ``image/webp``.

    Raises:
        SettingsError: there is no such format.
    """
    if picture_format not in FORMATS:
        raise SettingsError(
            f"unknown picture format {picture_format!r}{nearest(str(picture_format), FORMATS)}; "
            f"choose from: {', '.join(FORMATS)}"
        )
    return FORMATS[picture_format]


def encode(pixels: Pixels, picture_format: str = "webp", *, quality: int | None = 90) -> bytes:
    """Return a picture's bytes.

    Args:
        pixels: (H, W, 3) uint8 RGB, or (H, W) uint8 grey values.
        picture_format: "webp" or "png".
        quality: of WebP, 1 to 100; None for one without loss, which is several times as large. PNG never
            loses.

    Raises:
        SettingsError: unknown format, quality out of range, a side too long for WebP, or Pillow built without
            WebP.
        EvidenceError: `pixels` is no picture.
    """
    media_type(picture_format)
    if quality is not None and not 1 <= quality <= 100:
        raise SettingsError(
            f"picture quality is {quality}; it must be 1 to 100, or None for WebP without loss"
        )
    image = Image.fromarray(_checked(pixels))
    stream = io.BytesIO()
    if picture_format == "png":
        image.save(stream, "PNG", compress_level=6)
        return stream.getvalue()
    if max(image.size) > WEBP_MAX_SIDE:
        raise SettingsError(
            f"a picture of {image.width} x {image.height} px is too large for WebP, which ends at "
            f"{WEBP_MAX_SIDE} px; choose the format 'png', or a smaller picture"
        )
    if not features.check("webp"):
        raise SettingsError(
            "this build of Pillow cannot write WebP; choose the format 'png' or reinstall Pillow"
        )
    if quality is None:
        image.save(stream, "WEBP", lossless=True, quality=60, method=_WEBP_METHOD, exact=True)
    else:
        image.save(stream, "WEBP", quality=quality, method=_WEBP_METHOD)
    return stream.getvalue()


def decode(data: bytes) -> Pixels:
    """Return the pixels of an encoded picture: (H, W) uint8 where it is grey, else (H, W, 3) uint8 RGB.

    Raises:
        EvidenceError: the bytes are no PNG or WebP picture, or end too early.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "WEBP")) as image:
            return np.array(image if image.mode == "L" else image.convert("RGB"), np.uint8)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises any of these on broken files
        raise EvidenceError(
            f"{len(data)} bytes are no readable PNG or WebP picture ({error}); make the picture again"
        ) from error


def _checked(pixels: Any) -> Pixels:
    good = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.size > 0
    if not good or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        found = f"{pixels.shape} {pixels.dtype}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise EvidenceError(f"a picture must be an (H, W, 3) RGB or (H, W) grey array of uint8, not {found}")
    result: Pixels = np.ascontiguousarray(pixels)
    return result
