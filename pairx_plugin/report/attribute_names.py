"""The reader's words for the names of attributes, which heads give in words of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .messages import Messages

__all__ = ["attribute_name", "with_names"]

_NAMED = ("attribute", "viewpoint_0", "viewpoint_1")  # values of doubts that are names of attributes


def attribute_name(name: str, say: Messages) -> str:
    """Return the reader's word for an attribute; its own name where there is none."""
    return say.known(f"ATTRIBUTE_NAME_{name}", {}, name.replace("_", " "))


def with_names(values: Mapping[str, Any], say: Messages) -> dict[str, Any]:
    """Return a doubt's values with the names of attributes in the reader's language."""
    return {key: attribute_name(str(value), say) if key in _NAMED else value for key, value in values.items()}
