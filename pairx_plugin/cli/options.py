"""Options that several commands share, and how their texts are read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Optional

import typer

from ..errors import SettingsError

__all__ = ["ModelOptions", "parse_box", "parse_model_options", "parse_pairs", "parse_size"]

ModelOptions = Annotated[
    Optional[list[str]],
    typer.Option(
        "--model-option",
        metavar="NAME=VALUE",
        help="Option of the model's loader, such as pretrained=true or device=cuda; may be given again.",
    ),
]

_SIZE = re.compile(r"^(\d+)\s*[xX,]\s*(\d+)$")
_WORDS: dict[str, Any] = {"true": True, "yes": True, "false": False, "no": False, "none": None}


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) of ``440x440``; one number is a square.

    Raises:
        SettingsError: it is neither.
    """
    if text is None:
        return None
    found = _SIZE.match(text.strip())
    if found is None and text.strip().isdigit():
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


def parse_pairs(texts: Sequence[str] | None, option: str) -> dict[str, Any]:
    """Return names and values of ``NAME=VALUE`` texts; true, false, none and whole numbers are read as such.

    Raises:
        SettingsError: a text has no ``=``.
    """
    chosen: dict[str, Any] = {}
    for text in texts or ():
        name, found, value = text.partition("=")
        if not found or not name.strip():
            raise SettingsError(f"{option} must be NAME=VALUE, not {text!r}")
        value = value.strip()
        number = int(value) if re.fullmatch(r"-?\d+", value) else value
        chosen[name.strip()] = _WORDS.get(value.lower(), number)
    return chosen


def parse_model_options(texts: Sequence[str] | None, *, input_size: tuple[int, int] | None) -> dict[str, Any]:
    """Return what :meth:`ModelCatalogue.load` takes; an input size among the pairs is read like ``--input-size``."""
    chosen = parse_pairs(texts, "--model-option")
    if isinstance(chosen.get("input_size"), (str, int)):
        chosen["input_size"] = parse_size(str(chosen["input_size"]))
    if input_size is not None:
        chosen["input_size"] = input_size
    return chosen
