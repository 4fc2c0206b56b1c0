"""Pairs of annotations that the host's reviewers confirmed or rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .annotations import annotations_of

__all__ = ["HostPair", "decided_pairs", "decisions", "in_proportion", "in_turns", "named_pairs"]


@dataclass(frozen=True, kw_only=True)
class HostPair:
    """Two annotations and what is known of them.

    Attributes:
        aids: row ids.
        individual, other: whom the host knows the first and the second one for, or their annotation UUIDs.
        species: of the first one.
        same: confirmed; False where it was rejected.
    """

    aids: tuple[int, int]
    individual: str
    other: str
    species: str
    same: bool


def decided_pairs(ibs: Any) -> list[HostPair]:
    """Return the pairs whose newest review says match or no match, as the host's annotation matches repeat it."""
    evidence = ibs.const.EVIDENCE_DECISION
    kept = [row for row in _reviewed(ibs) if row[2] in (evidence.POSITIVE, evidence.NEGATIVE)]
    return _pairs(ibs, [((row[0], row[1]), row[2] == evidence.POSITIVE) for row in kept])


def decisions(ibs: Any) -> dict[str, int]:
    """Return how many pairs the host's annotation matches hold by what was decided, in the host's own words."""
    words = ibs.const.EVIDENCE_DECISION.INT_TO_CODE
    return dict(Counter(words.get(row[2], "unreviewed") for row in _reviewed(ibs)))


def named_pairs(ibs: Any) -> list[HostPair]:
    """Return pairs of annotations that have one name in the host, each with the next, as confirmed ones."""
    by_name: dict[str, list[int]] = {}
    aids = list(ibs.get_valid_aids())
    for aid, annotation in zip(aids, annotations_of(ibs, aids)):
        if annotation.name is not None:
            by_name.setdefault(annotation.name, []).append(int(aid))
    return _pairs(ibs, [(pair, True) for found in by_name.values() for pair in zip(found, found[1:])])


def in_turns(pairs: Iterable[HostPair], most: int) -> list[HostPair]:
    """Return up to `most` pairs, individuals taking turns, so that few pairs still show many animals.

    >>> pairs = [
    ...     HostPair(aids=(i, 9), individual=name, other="x", species="s", same=True) for i, name in enumerate("aab")
    ... ]
    >>> [pair.aids[0] for pair in in_turns(pairs, 2)]
    [0, 2]
    """
    turns: dict[str, int] = {}
    keyed = []
    for place, pair in enumerate(pairs):
        turn = turns[pair.individual] = turns.get(pair.individual, -1) + 1
        keyed.append((turn, place, pair))
    return [pair for _, _, pair in sorted(keyed, key=lambda item: item[:2])[:most]]


def in_proportion(pairs: Sequence[HostPair], most: int) -> list[HostPair]:
    """Return up to `most` pairs, as large a share of them confirmed as of all, individuals taking turns."""
    if len(pairs) <= most:
        return list(pairs)
    kinds = [[pair for pair in pairs if pair.same is same] for same in (True, False)]
    n_same = round(most * len(kinds[0]) / len(pairs))
    return in_turns(kinds[0], n_same) + in_turns(kinds[1], most - n_same)


def _reviewed(ibs: Any) -> list[tuple[int, int, Any]]:
    """Return the host's annotation matches, (row id, row id, evidence decision), of annotations that are there."""
    rowids = ibs._get_all_annotmatch_rowids()
    if not rowids:
        return []
    columns = (
        ibs.get_annotmatch_aid1(rowids),
        ibs.get_annotmatch_aid2(rowids),
        ibs.get_annotmatch_evidence_decision(rowids),
    )
    valid = set(ibs.get_valid_aids())
    return [row for row in zip(*columns) if row[0] in valid and row[1] in valid]


def _pairs(ibs: Any, found: Sequence[tuple[tuple[int, int], bool]]) -> list[HostPair]:
    firsts, seconds = (annotations_of(ibs, [aids[side] for aids, _ in found]) for side in (0, 1))
    return [
        HostPair(
            aids=(int(aids[0]), int(aids[1])),
            individual=first.name or first.annotation_id,
            other=second.name or second.annotation_id,
            species=first.species or "",
            same=bool(same),
        )
        for (aids, same), first, second in zip(found, firsts, seconds)
    ]
