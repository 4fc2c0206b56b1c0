"""Messages with places for values, in the part of ICU's syntax that our sentences need.

``{name}``, ``{share, number, percent}``, ``{value, number, ::.000}`` (three decimals), ``{share, number, ::percent
.0}``, ``{when, date}`` and ``{n, plural, one {# link} other {# links}}``. Apostrophes are typographic, so none has to
be quoted. The page's script reads the same messages; see ``static/words.js`` of the review room.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Union

__all__ = ["LANGUAGE_TAGS", "NumberStyle", "format_message", "names_in", "number_style", "plural_form"]

LANGUAGE_TAGS = ("en", "de", "es", "fr", "it")
_NO_BREAK = "\u00a0"
_HEAD = re.compile(r"\s*(\w+)\s*(?:,\s*(number|date|plural)\s*(?:,\s*([^{}]*?)\s*)?)?(?=[{}])")
_CASE = re.compile(r"\s*(\w+)\s*\{")


@dataclass(frozen=True, kw_only=True)
class NumberStyle:
    """How a language writes numbers."""

    decimal: str = "."
    before_percent: str = ""


_STYLES = {
    "en": NumberStyle(),
    "de": NumberStyle(decimal=",", before_percent=_NO_BREAK),
    "es": NumberStyle(decimal=",", before_percent=_NO_BREAK),
    "fr": NumberStyle(decimal=",", before_percent=_NO_BREAK),
    "it": NumberStyle(decimal=","),
}


@dataclass(frozen=True)
class _Place:
    name: str
    kind: str
    style: str
    cases: Mapping[str, list[_Node]]


_Node = Union[str, _Place]


def number_style(tag: str) -> NumberStyle:
    """Return how a language writes numbers; an unknown one as English does."""
    return _STYLES.get(tag, NumberStyle())


def plural_form(tag: str, n: float) -> str:
    """Return ``one`` or ``other``, by Unicode's rules for our languages; French says "one" of 0 as well."""
    return "one" if (0 <= n < 2 if tag == "fr" else n == 1) else "other"


def format_message(message: str, values: Mapping[str, Any], tag: str = "en") -> str:
    """Return a message with its values filled in, as the language `tag` writes them.

    Raises:
        KeyError: a value is missing.
        ValueError: the message is not well formed, or a value is not of its place's kind.

    >>> format_message("{n, plural, one {# link} other {# links}}: {share, number, percent}", {"n": 3, "share": 0.5})
    '3 links: 50%'
    """
    nodes, end = _parse(message, 0)
    if end != len(message):
        raise ValueError(f"the message {message!r:.80} has a '}}' too many")
    return _write(nodes, values, tag, None)


def names_in(message: str) -> set[str]:
    """Return the names of the values that a message needs."""

    def walk(nodes: list[_Node]) -> set[str]:
        found: set[str] = set()
        for node in nodes:
            if isinstance(node, _Place):
                found |= {node.name, *(name for case in node.cases.values() for name in walk(case))}
        return found

    return walk(_parse(message, 0)[0])


def _parse(text: str, at: int) -> tuple[list[_Node], int]:
    """Return the nodes from `at` to the brace that closes them, or to the end."""
    nodes: list[_Node] = []
    start = at
    while at < len(text) and text[at] != "}":
        if text[at] != "{":
            at += 1
            continue
        if start < at:
            nodes.append(text[start:at])
        place, at = _parse_place(text, at + 1)
        nodes.append(place)
        start = at
    if start < at:
        nodes.append(text[start:at])
    return nodes, at


def _parse_place(text: str, at: int) -> tuple[_Place, int]:
    head = _HEAD.match(text, at)
    if head is None:
        raise ValueError(f"the message {text!r:.80} has no name after '{{' at {at}")
    name, kind, style = head.group(1), head.group(2) or "", head.group(3) or ""
    cases: dict[str, list[_Node]] = {}
    at = head.end()
    if kind == "plural":
        at = head.start(3)  # the word before the first brace belongs to the first case
        while case := _CASE.match(text, at):
            cases[case.group(1)], at = _parse(text, case.end())
            at += 1
        if "other" not in cases:
            raise ValueError(f"the plural of '{name}' in {text!r:.80} has no case 'other'")
        at += len(text[at:]) - len(text[at:].lstrip())
    if at >= len(text) or text[at] != "}":
        raise ValueError(f"the message {text!r:.80} lacks a '}}'")
    return _Place(name, kind, style, cases), at + 1


def _write(nodes: list[_Node], values: Mapping[str, Any], tag: str, count: Any) -> str:
    parts = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(node if count is None else node.replace("#", _number(count, "", tag)))
        elif node.kind == "plural":
            n = values[node.name]
            case = node.cases.get(plural_form(tag, n), node.cases["other"])
            parts.append(_write(case, values, tag, n))
        elif node.kind == "number":
            parts.append(_number(values[node.name], node.style, tag))
        elif node.kind == "date":
            parts.append(_date(values[node.name]))
        else:
            parts.append(str(values[node.name]))
    return "".join(parts)


def _number(value: Any, style: str, tag: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r:.40} is no number")
    own = number_style(tag)
    decimals = re.search(r"\.(0+)", style)
    if "percent" in style:
        return _decimal(f"{value * 100:.{len(decimals.group(1)) if decimals else 0}f}", own) + own.before_percent + "%"
    return _decimal(f"{value:.{len(decimals.group(1))}f}" if decimals else f"{value:g}", own)


def _decimal(text: str, own: NumberStyle) -> str:
    return text.replace(".", own.decimal)


def _date(value: Any) -> str:
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r:.40} is no time")
    return f"{value.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"
