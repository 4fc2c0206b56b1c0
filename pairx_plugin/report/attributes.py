"""Named attributes of a record in words: what both photographs show or one alone, where, and every term of a score."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .attribute_names import attribute_name
from .reading import Place
from .words import Words

__all__ = ["AttributeRow", "AttributesView", "attributes_view"]

_TERMS = ("confidence", "overlap", "prior", "score")


@dataclass(frozen=True, kw_only=True)
class AttributeRow:
    """One attribute: what it is, of which group, where, and its terms as text."""

    name: str
    group: str
    where: str
    confidence: str
    overlap: str
    prior: str
    score: str


@dataclass(frozen=True, kw_only=True)
class AttributesView:
    """What there is to say of attributes; `sentences` hold what is not named and why."""

    sentences: list[str]
    same: list[AttributeRow]
    different: list[AttributeRow]


def attributes_view(record: Mapping[str, Any], words: Words) -> AttributesView | None:
    """Return the attributes of a record in words; None where its explainer names none.

    What does not fit is passed over, as for every part of a record.
    """
    listed = record.get("attributes")
    known = [item for item in listed if _fits(item)] if isinstance(listed, (list, tuple)) else []
    abstained = record.get("abstained") is True
    if not known and not abstained:
        return None
    say = words.say
    return AttributesView(
        sentences=[say("ATTRIBUTES_ABSTAINED")] if abstained else [],
        same=[_row(item, words) for item in known if item.get("kind") == "same"],
        different=[_row(item, words) for item in known if item.get("kind") == "different"],
    )


def _fits(item: Any) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("name"), str) and item.get("kind") in ("same", "different")


def _row(item: Mapping[str, Any], words: Words) -> AttributeRow:
    group = str(item.get("group") or "")
    terms = {term: words.number("NUMBER_SHORT", _number(item.get(term))) for term in _TERMS}
    return AttributeRow(
        name=attribute_name(item["name"], words.say),
        group=words.say.known(f"ATTRIBUTE_GROUP_{group}", {}, group),
        where=_where(item, words),
        **terms,
    )


def _where(item: Mapping[str, Any], words: Words) -> str:
    places = [words.place(_place(item.get(key))) for key in ("peak0", "peak1")]
    if item["kind"] == "same":
        return words.say("ATTRIBUTE_SAME", place_0=places[0], place_1=places[1])
    side = 1 if item.get("side") == 1 else 0
    return words.say(f"ATTRIBUTE_ONLY_{side}", place=places[side])


def _place(value: Any) -> Place | None:
    numbers = [_number(part) for part in value] if isinstance(value, (list, tuple)) else []
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return None
    return numbers[0], numbers[1]


def _number(value: Any) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None
