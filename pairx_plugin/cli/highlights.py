"""Which queries of a run are worth a look first: a match that holds, and one that does not."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..report.animal import with_inside
from ..report.bands import CHANCE_AT_LEAST, Band
from ..report.messages import Messages
from ..report.reading import Figures, read_record
from ..report.words import Words

if TYPE_CHECKING:
    from pairx_hooks import Annotation

    from ..hosts.local import CandidateSummary, QuerySummary, RunSummary

__all__ = ["Highlight", "find_highlights"]


@dataclass(frozen=True, kw_only=True)
class Highlight:
    """A candidate to look at.

    Attributes:
        kind: ``nice`` or ``doubtful``.
        support: links that fit one pose, as a multiple of chance.
        level: of the band, 3 for strong to 0 for none; None where nothing was assessed.
        band: the word, what it is about, and whether it was calibrated.
        doubt: the first one about the pair; empty where there is none.
    """

    kind: str
    query: str
    candidate: str
    rank: int
    correct: bool | None
    support: float
    level: int | None
    band: str
    reason: str
    doubt: str = ""

    def sentence(self) -> str:
        """Say what it is, for a person."""
        names = {True: "the same individual", False: "another individual", None: "an individual without a name"}
        supported = self.level is not None and self.level >= (Band.SOME.level or 0)
        holds = "a nice match" if supported else "the right individual, with little support"
        what = holds if self.kind == "nice" else "a doubtful one"
        return (
            f"{what}: query {self.query}, candidate {self.rank} ({self.candidate}, {names[self.correct]}). "
            f"{self.band}: {self.reason}" + (f" Doubt: {self.doubt}" if self.doubt else "")
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def find_highlights(summary: RunSummary, annotations: Mapping[str, Annotation] | None = None) -> list[Highlight]:
    """Return at most one nice and one doubtful candidate of a run.

    Nice: the right individual, ranked first, whose links agree most beyond chance. Doubtful: another individual, ranked
    as high as possible, first of all at rank 1; among equals the one whose links agree most, as it misleads most.

    Args:
        annotations: by their ids; an outline there tells which links end beside the animal.
    """
    found = list(_explained(summary, annotations or {}))
    right = [item for item in found if item.correct and item.rank == 1] or [item for item in found if item.correct]
    wrong = [item for item in found if item.correct is False]
    chosen: list[Highlight] = []
    if right:
        chosen.append(max(right, key=lambda item: item.support))
    if wrong:
        best_rank = min(item.rank for item in wrong)
        worst = max((item for item in wrong if item.rank == best_rank), key=lambda item: item.support)
        chosen.append(Highlight(**{**worst.to_json(), "kind": "doubtful"}))
    return chosen


def _explained(summary: RunSummary, annotations: Mapping[str, Annotation]) -> Iterator[Highlight]:
    for query in summary.queries:
        for candidate in query.candidates:
            if candidate.record_path is not None and candidate.status in ("ready", "partial"):
                record = json.loads((Path(summary.output) / candidate.record_path).read_text(encoding="utf-8"))
                known = [annotations.get(key) for key in (query.annotation_id, candidate.annotation_id)]
                if known[0] is not None and known[1] is not None:
                    record = with_inside(record, known[0], known[1])
                made = _highlight(query, candidate, record)
                if made is not None:
                    yield made


def _highlight(query: QuerySummary, candidate: CandidateSummary, record: Mapping[str, Any]) -> Highlight | None:
    facts = read_record(record)
    if not facts.layers:
        return None
    words, layer = Words(Messages()), facts.layers[0]
    return Highlight(
        kind="nice",
        query=Path(query.image).name,
        candidate=Path(candidate.image).name,
        rank=candidate.rank,
        correct=candidate.correct,
        support=_support(layer.figures),
        level=words.band(layer.figures).level,
        band=words.verdict(layer.figures),
        reason=" ".join(words.plausibility(layer)[:1]),
        doubt=next(iter(words.doubts(facts, (), ())), ""),
    )


def _support(figures: Figures | None) -> float:
    if figures is None or figures.n_inliers is None:
        return 0.0
    return figures.n_inliers / max(figures.n_chance or 0, CHANCE_AT_LEAST)
