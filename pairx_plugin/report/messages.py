"""All sentences of the report by id, so that another language is another table.

A message is a format string; where its words depend on a number it is a table of plural forms, chosen by the value
``n``. :data:`LANGUAGES` holds the tables: a language may leave messages out, which are then English.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union

from ..errors import SettingsError, nearest
from .english import ENGLISH

__all__ = ["LANGUAGES", "Language", "Messages"]

Message = Union[str, Mapping[str, str]]


@dataclass(frozen=True, kw_only=True)
class Language:
    """A table of messages.

    Attributes:
        tag: BCP 47, as in ``<html lang>``.
        direction: ``ltr`` or ``rtl``.
        plural: the name of the plural form of a number, such as ``one`` or ``other``.
    """

    tag: str
    messages: Mapping[str, Message]
    plural: Callable[[float], str]
    direction: str = "ltr"


LANGUAGES: dict[str, Language] = {
    "en": Language(tag="en", messages=ENGLISH, plural=lambda n: "one" if n == 1 else "other"),
}


class Messages:
    """Sentences in one language.

    Args:
        tag: a key of :data:`LANGUAGES`.

    Raises:
        SettingsError: there is no table of that language.
    """

    def __init__(self, tag: str = "en") -> None:
        if tag not in LANGUAGES:
            raise SettingsError(
                f"the report has no language {tag!r}{nearest(tag, LANGUAGES)}; choose from: {', '.join(LANGUAGES)}"
            )
        self.language = LANGUAGES[tag]

    def __contains__(self, message_id: str) -> bool:
        return message_id in self.language.messages or message_id in ENGLISH

    def __call__(self, message_id: str, **values: Any) -> str:
        """Return the sentence of an id with its values filled in.

        Raises:
            KeyError: there is no such message, or a value that it needs was not given.
        """
        own = self.language.messages.get(message_id)
        language = self.language if own is not None else LANGUAGES["en"]
        message: Message = ENGLISH[message_id] if own is None else own
        if not isinstance(message, str):
            message = message.get(language.plural(values["n"])) or message["other"]
        return message.format(**values)

    def known(self, message_id: str, values: Mapping[str, Any], otherwise: str) -> str:
        """Return the sentence of an id that a record brings; `otherwise` where it or one of its values is missing."""
        if message_id not in self:
            return otherwise
        try:
            return self(message_id, **values)
        except (KeyError, IndexError, ValueError, TypeError):
            return otherwise
