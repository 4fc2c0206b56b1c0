"""What counts as pixels here: (H, W, 3) uint8 RGB arrays, checked or converted from Pillow images.

Alpha is laid over black, the colour that chips have outside of their photograph. Colour profiles are ignored,
as hosts ignore them, so that a ranking and the explanation of it see the same colours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .errors import ChipError, ChipUnreadable

__all__ = ["MIN_SIDE", "ChipWarning", "Pixels", "checked_pixels", "read_only", "rgb_pixels", "upright_pixels"]

Pixels = NDArray[np.uint8]

MIN_SIDE = 8  # below, no network has anything to match

_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_GREY_MODES = ("1", "L", "LA", "La")


@dataclass(frozen=True, kw_only=True)
class ChipWarning:
    """Something about a chip that a reader of the explanation should know.

    Attributes:
        code: stable upper-case identifier.
        message: a full sentence.
        field: what it is about: "image", "bbox", "theta" or "size".
        values: the figures of the sentence by name, for a sentence in another language.
    """

    code: str
    message: str
    field: str
    values: Mapping[str, float] = dataclasses.field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, Any]:
        """Return {"code", "message", "field", "values"}."""
        return {"code": self.code, "message": self.message, "field": self.field, "values": dict(self.values)}


def read_only(array: NDArray[Any]) -> Pixels:
    """Return a C-contiguous copy that nobody can write to."""
    copy = np.array(array, dtype=np.uint8, order="C", copy=True)
    copy.setflags(write=False)
    return copy


def checked_pixels(value: object, *, what: str) -> Pixels:
    """Return a read-only copy of a caller's (H, W, 3) uint8 RGB array.

    Args:
        value: the array, at least 8 x 8.
        what: what it should be, for the message: "chip", "photograph".

    Raises:
        ChipError: another type, shape or dtype; the message says which conversion would do.
    """
    if not isinstance(value, np.ndarray):
        wanted = "a NumPy array (H, W, 3) of uint8 RGB, a Pillow image or a path"
        raise ChipError(f"a {what} must be {wanted}; got {_named(value)}")
    if value.size == 0:
        raise ChipError(
            f"the {what} is empty: shape {value.shape}; (H, W, 3) with H and W from {MIN_SIDE} would do"
        )
    problem = _shape_problem(value.shape) or _dtype_problem(value)
    if problem:
        raise ChipError(f"a {what} must be (H, W, 3) uint8 RGB; got {value.dtype} {value.shape}: {problem}")
    if min(value.shape[:2]) < MIN_SIDE:
        raise ChipError(
            f"the {what} is {value.shape[1]} x {value.shape[0]} pixels; "
            f"at least {MIN_SIDE} x {MIN_SIDE} are needed to match anything, so give a larger one"
        )
    return read_only(value)


def _named(value: object) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if hasattr(value, "permute") and hasattr(value, "cpu"):
        recipe = "(tensor * 255).round().byte().permute(1, 2, 0).cpu().numpy()"
        return f"{name}; for a tensor (3, H, W) in 0..1: {recipe}"
    if isinstance(value, (list, tuple)):
        return f"{name}; for nested lists: numpy.asarray(value, dtype=numpy.uint8)"
    return name


def _shape_problem(shape: tuple[int, ...]) -> str:
    if len(shape) == 4:
        return "it is a batch; pass its items one by one, array[0]"
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        return "it is greyscale; numpy.repeat(array.reshape(H, W, 1), 3, axis=2) makes it RGB"
    if len(shape) != 3:
        return f"it has {len(shape)} dimensions"
    if shape[2] == 3:
        return ""
    if shape[0] in (1, 3, 4):
        return "the channels come first; use array.transpose(1, 2, 0)"
    if shape[2] == 4:
        return "it has an alpha channel; drop it with array[..., :3]"
    return f"it has {shape[2]} channels"


def _dtype_problem(array: NDArray[Any]) -> str:
    if array.dtype == np.uint8:
        return ""
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            n_bad = int((~np.isfinite(array)).sum())
            return f"it holds {n_bad} values that are NaN or infinite; find out where they come from"
        low, high = float(array.min()), float(array.max())
        if 0.0 <= low and high <= 1.0:
            return "it is float in 0..1; use (array * 255).round().astype(numpy.uint8)"
        if 0.0 <= low and high <= 255.0:
            return "it is float in 0..255; use array.round().astype(numpy.uint8)"
        return f"it is float in {low:g}..{high:g}, perhaps normalised for a network; undo that first"
    if array.dtype == np.bool_:
        return "it is a mask; use array.astype(numpy.uint8) * 255"
    if array.dtype == np.uint16:
        return "it has 16 bits; use (array / 257).round().astype(numpy.uint8)"
    if array.dtype.kind in "iu" and 0 <= int(array.min()) and int(array.max()) <= 255:
        return "its values fit; use array.astype(numpy.uint8)"
    return "its values must be whole numbers in 0..255"


def rgb_pixels(image: Image.Image, *, bits: int | None = None) -> tuple[Pixels, tuple[ChipWarning, ...]]:
    """Return the pixels of a decoded Pillow image in any mode, and what was changed on the way.

    Args:
        image: a loaded image; its EXIF turn is not looked at.
        bits: bits of a grey value that the file states, where the mode leaves them open (I;16, I).

    Returns:
        ((H, W, 3) uint8 RGB, read-only; warnings GREYSCALE, DEPTH_REDUCED, RANGE_GUESSED, ALPHA_ON_BLACK,
        COLOUR_CONVERTED).

    Raises:
        ChipUnreadable: a mode that Pillow cannot convert, or values that are not finite.
    """
    if image.mode.startswith("I") or image.mode == "F":
        grey, warning = _eight_bits(image, bits)
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
        return read_only(pixels), (_greyscale(), warning)
    warnings = [_greyscale()] if image.mode in _GREY_MODES else []
    try:
        if image.mode in _ALPHA_MODES or "transparency" in image.info:
            flat, seen_through = _over_black(image.convert("RGBA"))
            warnings += [seen_through] if seen_through else []
        else:
            flat = image.convert("RGB")
    except ValueError as error:
        raise ChipUnreadable(f"mode {image.mode} has no way to RGB; save the image as RGB first") from error
    if image.mode in ("CMYK", "LAB", "HSV"):
        warnings.append(
            ChipWarning(
                code="COLOUR_CONVERTED",
                message=f"The photograph is {image.mode}; its colours in RGB are approximate.",
                field="image",
            )
        )
    return read_only(np.asarray(flat)), tuple(warnings)


def upright_pixels(pixels: Pixels, orientation: object) -> Pixels:
    """Undo an EXIF orientation; values other than 2 to 8 mean upright.

    Source: EXIF 2.3, tag 0x0112.
    """
    if orientation not in range(2, 9):
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return read_only(pixels)


def _greyscale() -> ChipWarning:
    return ChipWarning(code="GREYSCALE", message="The photograph has no colour.", field="image")


def _over_black(image: Image.Image) -> tuple[Image.Image, ChipWarning | None]:
    alpha = image.getchannel("A")
    lowest = alpha.getextrema()[0]
    if lowest == 255:
        return image.convert("RGB"), None
    flat = Image.new("RGB", image.size)
    flat.paste(image, mask=alpha)
    message = "The photograph is transparent in places; these are shown over black."
    return flat, ChipWarning(code="ALPHA_ON_BLACK", message=message, field="image")


def _eight_bits(image: Image.Image, bits: int | None) -> tuple[Pixels, ChipWarning]:
    """Scale grey values of more than 8 bits by their depth, or by their range where no depth is known."""
    values = np.asarray(image).astype(np.float32)
    if not np.isfinite(values).all():
        raise ChipUnreadable("the photograph holds grey values that are NaN or infinite; mask them first")
    bits = bits or (16 if image.mode.startswith("I;16") else None)
    low, high = float(values.min()), float(values.max())
    if image.mode != "F" and bits is not None and bits <= 16:
        low, high, code = 0.0, float(2**bits - 1), "DEPTH_REDUCED"
        message = f"The photograph has {bits} bits a pixel; they are reduced to 8."
    elif 0.0 <= low and image.mode == "F" and high <= 1.0:
        low, high, code = 0.0, 1.0, "DEPTH_REDUCED"
        message = "Grey values in 0..1 are reduced to 8 bits."
    elif 0.0 <= low and high <= 255.0:
        low, high, code = 0.0, 255.0, "DEPTH_REDUCED"
        message = "Grey values in 0..255 are reduced to 8 bits."
    else:
        code = "RANGE_GUESSED"
        message = f"Grey values in {low:g}..{high:g} have no stated depth; they are stretched to 8 bits."
    scaled = (values - low) * (255.0 / (high - low if high > low else 1.0))
    grey: Pixels = np.clip(np.rint(scaled), 0.0, 255.0).astype(np.uint8)
    return grey, ChipWarning(code=code, message=message, field="image")
