"""All sentences of the report by id, so that another language is another file.

``languages/en.json`` and its like hold one table each: message id to message, in the syntax of
:mod:`.message_format`. A language may leave messages out, which are then English.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from ..errors import SettingsError, nearest
from .message_format import LANGUAGE_TAGS, format_message

__all__ = ["LANGUAGE_TAGS", "Messages", "read_messages"]


def read_messages(package: str, folder: str, tag: str) -> dict[str, str]:
    """Read the table of one language that a package brings."""
    file = resources.files(package).joinpath(folder).joinpath(f"{tag}.json")
    table: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return table


class Messages:
    """Sentences in one language.

    Args:
        tag: BCP 47, one of :data:`LANGUAGE_TAGS`.
        own: further messages of that language by id, and the same in English, for a page with sentences of its own.

    Raises:
        SettingsError: there is no table of that language.
    """

    direction = "ltr"

    def __init__(self, tag: str = "en", own: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})) -> None:
        if tag not in LANGUAGE_TAGS:
            raise SettingsError(
                f"there is no language {tag!r}{nearest(tag, LANGUAGE_TAGS)}; choose from: {', '.join(LANGUAGE_TAGS)}"
            )
        self.tag = tag
        self.table = {**read_messages(__package__, "languages", tag), **own[0]}
        self.english = self.table if tag == "en" else {**read_messages(__package__, "languages", "en"), **own[1]}

    def __contains__(self, message_id: str) -> bool:
        return message_id in self.table or message_id in self.english

    def __call__(self, message_id: str, **values: Any) -> str:
        """Return the sentence of an id with its values filled in.

        Raises:
            KeyError: there is no such message, or a value that it needs was not given.
        """
        own = self.table.get(message_id)
        if own is not None:
            return format_message(own, values, self.tag)
        return format_message(self.english[message_id], values, "en")

    def known(self, message_id: str, values: Mapping[str, Any], otherwise: str) -> str:
        """Return the sentence of an id that a record brings; `otherwise` where it or one of its values is missing."""
        if message_id not in self:
            return otherwise
        try:
            return self(message_id, **values)
        except (KeyError, ValueError, TypeError):
            return otherwise
