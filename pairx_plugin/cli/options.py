"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from ..errors import SettingsError, StoreError

__all__ = [
    "InputSize",
    "MODELS",
    "ModelId",
    "ModelOptions",
    "parse_box",
    "parse_model_options",
    "parse_pairs",
    "parse_size",
    "usable_folder",
]

MODELS = "Id of a known model, 'timm:NAME', 'torchvision:NAME', 'transformers:ID', or a checkpoint."

ModelId = Annotated[str, typer.Option("--model", "-m", help=MODELS)]

InputSize = Annotated[
    Optional[str], typer.Option(metavar="HxW", help="Size of the network's input in pixels instead of its own.")
]

ModelOptions = Annotated[
    Optional[list[str]],
    typer.Option(
        "--model-option",
        metavar="NAME=VALUE",
        help="Option of the model's loader, such as pretrained=true, trust_remote_code=true or device=cuda; may be "
        "given again.",
    ),
]

_SIZE = re.compile(r"^(\d+)\s*[xX,]\s*(\d+)$")
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}
# Options of a model that are texts, even where they look like numbers, and those that are three numbers.
_TEXTS = ("channel_order", "checkpoint", "config", "default_layer", "model_name", "revision")
_TRIPLES = ("mean", "std")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) of ``440x440``; one number is a square.

    Raises:
        SettingsError: it is neither.
    """
    if text is None:
        return None
    found = _SIZE.match(text.strip())
    if found is None and text.strip().isdecimal():
        return int(text), int(text)
    if found is None:
        raise SettingsError(f"--input-size must be HEIGHTxWIDTH in pixels, such as 440x440, not {text!r}")
    return int(found[1]), int(found[2])


def parse_box(text: str | None, option: str) -> tuple[float, float, float, float] | None:
    """Return (x, y, w, h) of ``158,56,319,332``.

    Raises:
        SettingsError: it is not four finite numbers.
    """
    if text is None or not text.strip():
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise SettingsError(
            f"{option} must be x,y,w,h in pixels of the photograph, such as 158,56,319,332, not {text!r}"
        )
    return numbers[0], numbers[1], numbers[2], numbers[3]


def parse_pairs(
    texts: Sequence[str] | None, option: str, *, as_typed: Collection[str] = frozenset()
) -> dict[str, Any]:
    """Return names and values of ``NAME=VALUE`` texts; true, false, none and whole numbers are read as such.

    Args:
        option: that the texts were given with, for messages.
        as_typed: names whose values stay texts, none apart.

    Raises:
        SettingsError: a text has no ``=``, or a name stands twice.
    """
    chosen: dict[str, Any] = {}
    for text in texts or ():
        name, found, value = (part.strip() for part in text.partition("="))
        if not found or not name:
            raise SettingsError(f"{option} must be NAME=VALUE, not {text!r}")
        if name in chosen:
            raise SettingsError(f"{option} gives {name!r} twice; give it once")
        chosen[name] = _value(value, as_typed=name in as_typed)
    return chosen


def _value(text: str, *, as_typed: bool) -> Any:
    word = text.lower()
    if as_typed:
        return None if word == "none" else text
    return _WORDS[word] if word in _WORDS else int(text) if re.fullmatch(r"-?\d+", text) else text


def parse_model_options(texts: Sequence[str] | None, *, input_size: tuple[int, int] | None) -> dict[str, Any]:
    """Return what :meth:`ModelCatalogue.load` takes; an input size among the pairs is read like ``--input-size``.

    Raises:
        SettingsError: a pair cannot be read, or stands twice.
    """
    chosen = parse_pairs(texts, "--model-option", as_typed=(*_TEXTS, *_TRIPLES, "input_size"))
    for name in _TRIPLES:
        if chosen.get(name) is not None:
            chosen[name] = _triple(chosen[name], name)
    paired = parse_size(chosen.pop("input_size", None))
    if paired and input_size:
        raise SettingsError("the input size is given twice, by --input-size and by --model-option; give it once")
    if paired or input_size:
        chosen["input_size"] = paired or input_size
    return chosen


def usable_folder(folder: Path) -> Path:
    """Return what ``--output`` names, ``~`` resolved, since shells leave it in ``--output=~/here``.

    Nothing is made yet: this says before the work, and not after it, that its results could not be written.

    Raises:
        StoreError: a file stands in the way, or nothing may be written there.
    """
    folder = folder.expanduser()
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if os.path.exists(place))
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = "may not be written to" if there.is_dir() else "is no folder"
        raise StoreError(f"--output {str(folder)!r} cannot be made: {str(there)!r} {why}; choose another folder")
    return folder


def _triple(text: str, name: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(
            f"--model-option {name} must be three numbers, such as {name}=0.485,0.456,0.406, not {text!r}"
        ) from None
    return red, green, blue
