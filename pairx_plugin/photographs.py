"""Read photographs as upright 8-bit RGB arrays, whatever the file holds, or say clearly why not."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Union, cast

import numpy as np
from PIL import Image, ImageFile

from .errors import ChipError, ChipNotFound, ChipTooLarge, ChipUnreadable, SettingsError
from .pixels import ChipWarning, Pixels, checked_pixels, rgb_pixels, upright_pixels

__all__ = ["MAX_PIXELS", "Photograph", "PhotographSource", "as_photograph", "read_photograph"]

PhotographSource = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes]]

MAX_PIXELS = 250_000_000

# raster formats; EPS and its like would start other programs on a stranger's file. HEIF is there once a host
# has registered a decoder for it.
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "HEIF")
_NEXT_STEP = "open it in a viewer, or save it anew as JPEG or PNG"

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_DATE_TAGS = (0x9003, 0x9004)  # original, digitised; in the EXIF part
_DATE_CHANGED = 0x0132
_BITS_PER_SAMPLE = 258


@dataclass(frozen=True, kw_only=True, eq=False)
class Photograph:
    """A photograph in memory, upright.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, read-only.
        uri: where it came from; empty if unknown.
        warnings: what was changed in reading it.
        captured: when it was taken by the camera's own clock, ISO 8601 without a zone, or None.
    """

    pixels: Pixels
    uri: str = ""
    warnings: tuple[ChipWarning, ...] = ()
    captured: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True, kw_only=True)
class _CameraData:
    orientation: object = 1  # as EXIF has it, whatever that is
    captured: str | None = None
    doubts: tuple[ChipWarning, ...] = ()


def as_photograph(value: object, *, uri: str = "", max_pixels: int = MAX_PIXELS) -> Photograph:
    """Return a photograph from whatever a caller holds.

    Args:
        value: a Photograph, an (H, W, 3) uint8 RGB array, a Pillow image (turned upright by EXIF), or
            a source for :func:`read_photograph`.
        uri: name for records; for a path the path itself unless given.
        max_pixels: as for :func:`read_photograph`.

    Raises:
        ChipError: the array or the type is unusable.
        ChipNotFound, ChipUnreadable: as for :func:`read_photograph`.
    """
    if isinstance(value, Photograph):
        return value
    if isinstance(value, Image.Image):
        return _from_pillow(value, uri)
    if isinstance(value, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(value, "read"):
        return read_photograph(cast(PhotographSource, value), uri=uri, max_pixels=max_pixels)
    return Photograph(pixels=checked_pixels(value, what="photograph"), uri=uri)


def _from_pillow(image: Image.Image, uri: str) -> Photograph:
    if min(image.size) < 1:
        raise ChipError(f"the Pillow image is empty: {image.size[0]} x {image.size[1]} pixels")
    label = f"'{uri}'" if uri else "the Pillow image"
    try:
        image = image.copy()  # decodes the caller's image, and leaves it as it stands
    except Exception as error:  # as in _decoded
        raise ChipUnreadable(f"{label} is damaged or cut off: {error}; {_NEXT_STEP}") from error
    return _photograph(image, uri, label, _camera_data(image))


def read_photograph(source: PhotographSource, *, uri: str = "", max_pixels: int = MAX_PIXELS) -> Photograph:
    """Read one photograph and turn it upright by its EXIF orientation.

    Args:
        source: path (str or path object), the file's content (bytes), or a binary file, read from its start.
        uri: name for records and messages; the path unless given.
        max_pixels: largest width x height that is decoded.

    Returns:
        The photograph; of an animation or several pages the first one, with a warning.

    Raises:
        ChipNotFound: no such file.
        ChipUnreadable: a folder, empty, truncated, damaged, no image or in no supported format.
        ChipTooLarge: more pixels than `max_pixels`.
        ChipError: a URL, or a source of another type.
        SettingsError: `max_pixels` is not a positive whole number.
    """
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, (int, np.integer)) or max_pixels < 1:
        raise SettingsError(f"max_pixels is {max_pixels!r}; give a whole number from 1, such as {MAX_PIXELS}")
    with _opened(source) as (stream, name):
        uri = uri or name
        return _decoded(stream, uri, f"'{uri}'" if uri else "the image data", int(max_pixels))


@contextlib.contextmanager
def _opened(source: object) -> Iterator[tuple[IO[bytes], str]]:
    """Yield a seekable binary stream and its name; close it if it was opened here."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield io.BytesIO(source), ""
    elif isinstance(source, (str, os.PathLike)):
        path = _checked_path(os.fspath(source))
        try:
            stream = path.open("rb")
        except OSError as error:
            reason = error.strerror
            raise ChipUnreadable(f"'{path}' cannot be opened: {reason}; check its permissions") from error
        with stream:
            yield stream, str(source)
    elif hasattr(source, "read"):
        yield _binary(source), str(getattr(source, "name", ""))
    else:
        kind = type(source).__qualname__
        raise ChipError(f"a photograph is read from a path, bytes or a binary file; got {kind}")


def _checked_path(text: str | bytes) -> Path:
    name = os.fsdecode(text)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
        shown = re.sub(r"//[^/@]*@", "//", name.split("?")[0])  # without password and signature
        raise ChipError(f"'{shown}' is a URL, and none is fetched; download it and give the file's path")
    if not name.strip():
        raise ChipError("the photograph's path is empty; give the path of an image file")
    path = Path(name)
    try:
        is_folder, is_file = path.is_dir(), path.is_file()
        found = is_folder or is_file or path.exists()
    except (OSError, ValueError) as error:
        raise ChipNotFound(f"no photograph at {name[:200]!r}: {error}; check the path") from error
    if not found:
        hint = "; on this system folders are parted by /" if "\\" in name and os.sep == "/" else ""
        raise ChipNotFound(f"no photograph at {name[:200]!r}: the file does not exist; check the path{hint}")
    if not is_file:
        kind = "a folder" if is_folder else "not a regular file"
        raise ChipUnreadable(f"'{name}' is {kind}; give the path of one image file")
    return path


def _binary(source: object) -> IO[bytes]:
    if isinstance(source, io.TextIOBase):
        raise ChipError("the photograph's file is open as text; open it with mode 'rb'")
    stream = cast(IO[bytes], source)
    try:
        if not stream.seekable():
            return io.BytesIO(stream.read())
        stream.seek(0)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ChipUnreadable(f"the photograph's file cannot be read: {error}; use mode 'rb'") from error
    return stream


def _decoded(stream: IO[bytes], uri: str, label: str, max_pixels: int) -> Photograph:
    image = _identified(stream, label)
    width, height = image.size
    if width * height > max_pixels:
        raise ChipTooLarge(
            f"{label} has {width} x {height} pixels, more than max_pixels = {max_pixels}; "
            "make it smaller, or raise max_pixels if the file is to be trusted"
        )
    try:
        camera = _camera_data(image)  # before the rest, as Pillow closes a TIFF when it has loaded it
        n_frames = 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))
        bits = _bits(image)
        image.load()
    except Exception as error:  # decoders raise whatever the bytes provoke, from EOFError to MemoryError
        reason = f"{image.format}: {error}"
        raise ChipUnreadable(f"{label} is damaged or cut off ({reason}); {_NEXT_STEP}") from error
    return _photograph(image, uri, label, camera, bits, _frame_warnings(n_frames))


def _identified(stream: IO[bytes], label: str) -> Image.Image:
    """Open without decoding.

    Not by ``Image.open``, whose limit on pixels is global to the process: ours is an argument.
    """
    Image.init()
    prefix = stream.read(16)
    if not prefix:
        raise ChipUnreadable(f"{label} is empty (0 bytes); copy or download it again")
    cause: Exception | None = None
    for name in _FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accept = Image.OPEN[name]
        try:
            accepted = True if accept is None else accept(prefix.ljust(16, b"\0"))
            if isinstance(accepted, str):  # the format, but not decodable in this installation
                cause = ChipUnreadable(accepted)
            elif accepted:
                stream.seek(0)
                return factory(stream, "")
        except Exception as error:  # as in _decoded
            cause = error
    if cause is not None:
        raise ChipUnreadable(f"{label} is damaged or cut off: {cause}; {_NEXT_STEP}") from cause
    raise ChipUnreadable(f"{label} is no image in a supported format{_guess(prefix)}; {_NEXT_STEP}")


def _guess(prefix: bytes) -> str:
    if prefix[4:8] == b"ftyp":
        return " but HEIC or a film"
    if prefix.lstrip()[:1] == b"<":
        return " but a web page or XML, perhaps a failed download"
    return ""


def _bits(image: Image.Image) -> int | None:
    """Return the bits of a grey value as the file states them."""
    if image.format in ("PNG", "PPM"):
        return 16  # Pillow spreads a PPM's own range over 16 bits
    stated = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE)
    return int(stated[0]) if stated else None


def _frame_warnings(n_frames: int) -> tuple[ChipWarning, ...]:
    warnings = []
    if n_frames > 1:
        message = f"The file holds {n_frames} pictures; the first is used."
        warnings.append(ChipWarning(code="FIRST_OF_SEVERAL", message=message, field="image", values={"n": n_frames}))
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        message = "Pillow was told to accept cut-off files (LOAD_TRUNCATED_IMAGES); parts may be missing."
        warnings.append(ChipWarning(code="TRUNCATION_UNCHECKED", message=message, field="image"))
    return tuple(warnings)


def _camera_data(image: Image.Image) -> _CameraData:
    try:
        exif = image.getexif()
        details = exif.get_ifd(_EXIF_IFD)
        dates = [*(details.get(tag) for tag in _DATE_TAGS), exif.get(_DATE_CHANGED)]
        # Pillow turns a TIFF by itself when it loads it, and nothing else
        orientation = 1 if image.format == "TIFF" else exif.get(_ORIENTATION, 1)
    except Exception as error:  # as in _decoded: EXIF is a file format within the file
        message = f"The camera's data (EXIF) cannot be read ({error}); the photograph may stand turned."
        return _CameraData(doubts=(ChipWarning(code="EXIF_UNREADABLE", message=message, field="image"),))
    return _CameraData(orientation=orientation, captured=next(filter(None, map(_iso, dates)), None))


def _iso(date: object) -> str | None:
    try:
        return datetime.strptime(str(date).strip("\x00 "), "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None


def _photograph(
    image: Image.Image,
    uri: str,
    label: str,
    camera: _CameraData,
    bits: int | None = None,
    warnings: tuple[ChipWarning, ...] = (),
) -> Photograph:
    """Return a decoded image as a photograph: 8-bit RGB, turned upright."""
    try:
        pixels, changes = rgb_pixels(image, bits=bits)
        pixels = upright_pixels(pixels, camera.orientation)
    except ChipError:
        raise
    except Exception as error:  # as in _decoded; out of memory, above all
        raise ChipUnreadable(f"{label} cannot be converted to RGB: {error}; {_NEXT_STEP}") from error
    warnings = (*warnings, *camera.doubts, *changes)
    return Photograph(pixels=pixels, uri=uri, warnings=warnings, captured=camera.captured)
