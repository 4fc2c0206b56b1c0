"""Pairs of annotations that the host's reviewers confirmed or rejected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .annotations import annotations_of

__all__ = ["HostPair", "decided_pairs", "in_turns", "named_pairs"]


@dataclass(frozen=True, kw_only=True)
class HostPair:
    """Two annotations and what is known of them.

    Attributes:
        aids: row ids.
        individual: whom the host knows the first one for, or its annotation UUID.
        species: of the first one.
        same: confirmed; False where it was rejected.
    """

    aids: tuple[int, int]
    individual: str
    species: str
    same: bool


def decided_pairs(ibs: Any) -> list[HostPair]:
    """Return the pairs whose newest review says match or no match, as the host's annotation matches repeat it."""
    rowids = ibs._get_all_annotmatch_rowids()
    if not rowids:
        return []
    evidence = ibs.const.EVIDENCE_DECISION
    columns = (
        ibs.get_annotmatch_aid1(rowids),
        ibs.get_annotmatch_aid2(rowids),
        ibs.get_annotmatch_evidence_decision(rowids),
    )
    kept = [row for row in zip(*columns) if row[2] in (evidence.POSITIVE, evidence.NEGATIVE)]
    valid = set(ibs.get_valid_aids())
    there = [row for row in kept if row[0] in valid and row[1] in valid]
    return _pairs(ibs, [((row[0], row[1]), row[2] == evidence.POSITIVE) for row in there])


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

    >>> pairs = [HostPair(aids=(i, 9), individual=name, species="s", same=True) for i, name in enumerate("aab")]
    >>> [pair.aids[0] for pair in in_turns(pairs, 2)]
    [0, 2]
    """
    turns: dict[str, int] = {}
    keyed = []
    for place, pair in enumerate(pairs):
        turn = turns[pair.individual] = turns.get(pair.individual, -1) + 1
        keyed.append((turn, place, pair))
    return [pair for _, _, pair in sorted(keyed, key=lambda item: item[:2])[:most]]


def _pairs(ibs: Any, found: Sequence[tuple[tuple[int, int], bool]]) -> list[HostPair]:
    firsts = annotations_of(ibs, [aids[0] for aids, _ in found])
    return [
        HostPair(
            aids=(int(aids[0]), int(aids[1])),
            individual=annotation.name or annotation.annotation_id,
            species=annotation.species or "",
            same=bool(same),
        )
        for (aids, same), annotation in zip(found, firsts)
    ]
