"""The page's sentences: the report's and its own, in the language that a reader asked for."""

from __future__ import annotations

from collections.abc import Mapping

from ..report.messages import Messages, read_messages
from .options import LANGUAGES

__all__ = ["Wording", "preferred_language"]


class Wording:
    """Messages by language, each table read once."""

    def __init__(self) -> None:
        own = {tag: read_messages(__package__, "messages", tag) for tag in LANGUAGES}
        self._messages = {tag: Messages(tag, own=(own[tag], own["en"])) for tag in LANGUAGES}

    def __getitem__(self, tag: str) -> Messages:
        return self._messages[tag]

    def for_script(self, tag: str) -> Mapping[str, str]:
        """Return the table for the page's script, English where the language lacks a message."""
        messages = self._messages[tag]
        return {**messages.english, **messages.table}


def preferred_language(wanted: str, accepted: str, otherwise: str) -> str:
    """Return the language to answer in.

    Args:
        wanted: chosen by the reader; counts if there is such a language.
        accepted: the browser's ``Accept-Language``.
        otherwise: the server's own.

    >>> preferred_language("", "pt;q=0.9, fr-CA;q=0.8, de;q=0.9", "en")
    'de'
    """
    if wanted in LANGUAGES:
        return wanted
    weighted = []
    for place, part in enumerate(accepted.split(",")):
        tag, _, rest = part.strip().partition(";")
        quality = rest.strip().removeprefix("q=") if rest.strip().startswith("q=") else "1"
        try:
            weighted.append((-float(quality), place, tag.strip().lower().partition("-")[0]))
        except ValueError:
            continue
    return next((tag for quality, _, tag in sorted(weighted) if tag in LANGUAGES and quality < 0), otherwise)
