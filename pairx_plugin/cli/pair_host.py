"""The smallest host: one query and a few candidates that somebody named, explained through the hooks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairx_hooks import Annotation, Candidate, Explanation, RankedQuery, ReviewManager, build_manager

from ..explanation import failure_of
from ..hook_requests import request_of
from ..hosts.host_plugin import HostPlugin
from ..photographs import read_photograph
from ..report import Note, QueryPhotograph, ReportQuery
from ..settings import Settings
from .photographs import query_photograph, small_chip

if TYPE_CHECKING:
    from ..chips import Chip
    from ..models.embedding import EmbeddingModel

__all__ = ["PairHost", "Subject"]

# Path takes one of a URL's two slashes away.
_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A photograph that was named: where it is, and the animal in it."""

    path: Path
    bbox: tuple[float, float, float, float] | None = None
    theta: float = 0.0

    @property
    def image(self) -> str:
        """The path as it was typed, so that a URL is known for one."""
        return str(self.path) if os.path.exists(self.path) else _URL.sub(r"\1://", str(self.path))


class PairHost:
    """Holds a loaded network and cut chips, and asks the plugins to explain.

    Args:
        model: the loaded network.
        settings: of the explanation.
        advance: called once for every candidate that is done.
    """

    def __init__(self, model: EmbeddingModel, settings: Settings, advance: Callable[[], None]) -> None:
        self._model, self._settings, self._advance = model, settings, advance
        self._chips: dict[str, Chip] = {}
        self._photograph: QueryPhotograph | None = None
        self.manager: ReviewManager = build_manager(HostPlugin(self, advance))

    def embedding_model(self, model_id: str) -> Any | None:
        """Return the loaded network if `model_id` is its id."""
        return self._model if model_id == self._model.model_id else None

    def known_chip(self, annotation_id: str) -> Chip | None:
        """Return the chip that was cut before."""
        return self._chips.get(annotation_id)

    def attach(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        """Keep nothing: :meth:`explain` hands everything to its caller."""

    def explain(self, query: Subject, candidates: Sequence[Subject]) -> ReportQuery:
        """Explain candidates in the order given; one that cannot be read or explained says why.

        The score of a candidate is the cosine that the explainer found.

        Raises:
            ChipError: the query cannot be read or cut.
        """
        asked = self._annotation("query", query)
        self._cut(asked, is_query=True)
        named = tuple(
            Candidate(annotation=self._annotation(f"candidate-{rank}", subject), rank=rank)
            for rank, subject in enumerate(candidates, start=1)
        )
        ranked = RankedQuery(
            query_id="query",
            query=asked,
            candidates=named,
            model_id=self._model.model_id,
            score_scale="cosine",
        )
        failed: dict[int, Explanation] = {}
        for candidate in named:
            try:
                self._cut(candidate.annotation)
            except Exception as error:  # whatever a file provokes is this candidate's failure alone
                status, failure = failure_of(error)
                failed[candidate.rank] = Explanation.without_evidence(
                    ranked, candidate, failure, status=status, explainer=self._settings.explainer
                )
                self._advance()
        readable = replace(ranked, candidates=tuple(item for item in named if item.rank not in failed))
        explained = self.manager.explain(readable, request_of(self._settings, top_k=len(named)))
        return self._gathered(ranked, {**{item.rank: item for item in explained}, **failed})

    def _gathered(self, ranked: RankedQuery, found: Mapping[int, Explanation]) -> ReportQuery:
        scored = tuple(replace(item, score=_similarity(found[item.rank])) for item in ranked.candidates)
        small = {key: small_chip(chip) for key, chip in self._chips.items() if key != ranked.query.annotation_id}
        chip = self._chips[ranked.query.annotation_id]
        notes = [Note(code=warning.code, message=warning.message, values=warning.values) for warning in chip.warnings]
        return ReportQuery(
            ranked_query=replace(ranked, candidates=scored),
            explanations=[_scored(found[candidate.rank]) for candidate in ranked.candidates],
            photograph=self._photograph,
            chips=small,
            notes={ranked.query.annotation_id: notes},
        )

    def _annotation(self, annotation_id: str, subject: Subject) -> Annotation:
        return Annotation(
            annotation_id=annotation_id,
            image=subject.image,
            bbox=subject.bbox,
            theta=subject.theta,
            extra={"file_name": subject.path.name},
        )

    def _cut(self, annotation: Annotation, *, is_query: bool = False) -> None:
        from ..chips import cut_chip

        photograph = read_photograph(annotation.image)
        chip = cut_chip(photograph, bbox=annotation.bbox, theta=annotation.theta)
        self._chips[annotation.annotation_id] = chip
        if is_query:
            self._photograph = query_photograph(photograph, chip)


def _similarity(explanation: Explanation) -> float | None:
    value = explanation.record.get("similarity")
    return float(value) if isinstance(value, (int, float)) else None


def _scored(explanation: Explanation) -> Explanation:
    if not explanation.record:
        return explanation
    return replace(explanation, record={**explanation.record, "score": _similarity(explanation)})
