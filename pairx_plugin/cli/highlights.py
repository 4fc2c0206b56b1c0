"""Which queries of a run are worth a look first: a match that holds, and one that does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..report.bands import CHANCE_AT_LEAST, SOME_FACTOR
from ..report.messages import Messages
from ..report.reading import Figures, read_record
from ..report.words import Words

if TYPE_CHECKING:
    from ..hosts.local import CandidateSummary, QuerySummary, RunSummary

__all__ = ["Highlight", "find_highlights"]


@dataclass(frozen=True, kw_only=True)
class Highlight:
    """A candidate to look at.

    Attributes:
        kind: ``nice`` or ``doubtful``.
        support: links that fit one pose, as a multiple of chance.
    """

    kind: str
    query: str
    candidate: str
    rank: int
    correct: bool | None
    support: float
    band: str
    reason: str

    def sentence(self) -> str:
        """Say what it is, for a person."""
        names = {True: "the same individual", False: "another individual", None: "an individual without a name"}
        holds = "a nice match" if self.support >= SOME_FACTOR else "the right individual, with little support"
        what = holds if self.kind == "nice" else "a doubtful one"
        return (
            f"{what}: query {self.query}, candidate {self.rank} ({self.candidate}, {names[self.correct]}). "
            f"{self.band}: {self.reason}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def find_highlights(summary: RunSummary) -> list[Highlight]:
    """Return at most one nice and one doubtful candidate of a run.

    Nice: the right individual, ranked first, whose links agree most beyond chance. Doubtful: another individual, ranked
    as high as possible, first of all at rank 1; among equals the one whose links agree most, as it misleads most.
    """
    found = list(_explained(summary))
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


def _explained(summary: RunSummary) -> Iterator[Highlight]:
    for query in summary.queries:
        for candidate in query.candidates:
            if candidate.record_path is not None and candidate.status in ("ready", "partial"):
                record = json.loads((Path(summary.output) / candidate.record_path).read_text(encoding="utf-8"))
                made = _highlight(query, candidate, record)
                if made is not None:
                    yield made


def _highlight(query: QuerySummary, candidate: CandidateSummary, record: dict[str, Any]) -> Highlight | None:
    layers = read_record(record).layers
    if not layers:
        return None
    words = Words(Messages())
    return Highlight(
        kind="nice",
        query=Path(query.image).name,
        candidate=Path(candidate.image).name,
        rank=candidate.rank,
        correct=candidate.correct,
        support=_support(layers[0].figures),
        band=words.say(f"BAND_{words.band(layers[0].figures).name}"),
        reason=" ".join(words.plausibility(layers[0])[:1]),
    )


def _support(figures: Figures | None) -> float:
    if figures is None or figures.n_inliers is None:
        return 0.0
    return figures.n_inliers / max(figures.n_chance or 0, CHANCE_AT_LEAST)
