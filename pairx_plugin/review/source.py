"""What the review page needs of a host: ranked queries, chips, evidence, and a place for decisions.

A host implements :class:`ReviewSource`; everything else of this room is the same for every host. Methods are called
from several threads at once, :meth:`ReviewSource.explain` from one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Protocol, Union, runtime_checkable

from pairx_hooks import Annotation, Candidate, Explanation, Failure, RankedQuery, Status

from ..chips import Chip
from ..explanation import PairExplanation
from ..report import Note
from .decisions import DecisionLog
from .partners import Partners

if TYPE_CHECKING:
    from .imported import ImportedTask

__all__ = [
    "LEVELS",
    "Cancelled",
    "EvidenceRequest",
    "ExplainerChoice",
    "Found",
    "LayerChoice",
    "Partners",
    "ReviewQuery",
    "ReviewSource",
    "ReviewTask",
    "Step",
    "TaskImporter",
    "TaskQuery",
]

LEVELS = ("fine", "medium", "broad")
Cancelled = Callable[[], bool]


@dataclass(frozen=True, kw_only=True)
class EvidenceRequest:
    """What is asked of one pair.

    Attributes:
        explainer: id of a registered explainer.
        layer_key: of the layer that is matched; empty for the model's own.
        k_lines: how many matches are drawn.
        k_colors: how many matches are carried back to pixels.
        variant: of the explainer, see :class:`ExplainerChoice`; empty for the explainer as it is.
        options: the variant's own settings of the explainer.
        time_budget: seconds that it may take; 0 for no limit.
    """

    explainer: str = "pairx"
    layer_key: str = ""
    k_lines: int = 20
    k_colors: int = 5
    variant: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    time_budget: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LayerChoice:
    """A layer that a reviewer may choose.

    Attributes:
        level: one of :data:`LEVELS`.
        key: of the module in the host's network; empty where the network has no such layer.
        grid: (rows, columns) of its feature map.
    """

    level: str
    key: str = ""
    grid: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class ExplainerChoice:
    """An explainer that a reviewer may choose, or a variant of one.

    Attributes:
        usable: False where it cannot be chosen; `reason` says why.
        variant: another question that the explainer answers, by a code that the page has words for; empty for its
            usual one.
        options: the explainer's settings that make the variant.
    """

    explainer_id: str
    title: str
    summary: str = ""
    usable: bool = True
    reason: str = ""
    variant: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class TaskQuery:
    """One query of a task, without its candidates."""

    query_id: str
    annotation: Annotation
    n_candidates: int
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewTask:
    """Queries that were ranked together and are reviewed together.

    Attributes:
        facts: what the header says besides, such as the filter of the matching set, by its name.
    """

    task_id: str
    title: str
    queries: tuple[TaskQuery, ...]
    created: datetime | None = None
    model_id: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ReviewQuery:
    """One query with its candidates as the host ranked them, and what the host keeps about them.

    Attributes:
        explanations: that the host has kept, by rank.
        notes: the host's doubts, by annotation id.
        links: where the host shows an annotation, by annotation id; http(s) or relative addresses.
        failure: why the query could not be ranked.
    """

    task_id: str
    ranked_query: RankedQuery
    explanations: Mapping[int, Explanation] = field(default_factory=dict)
    notes: Mapping[str, Sequence[Note]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    failure: Failure | None = None

    def candidate(self, rank: int) -> Candidate | None:
        """Return the candidate of a rank, or None."""
        return next((item for item in self.ranked_query.candidates if item.rank == rank), None)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step that has no evidence yet: a stable code such as ``LOADING_MODEL``."""

    code: str
    status: Status = Status.RUNNING


Found = Union[Step, Partners, PairExplanation]


@runtime_checkable
class ReviewSource(Protocol):
    """A host, seen from the review page."""

    @property
    def decisions(self) -> DecisionLog:
        """The log that decisions are appended to."""
        ...

    @property
    def pictures(self) -> Path | None:
        """The folder that the paths of kept pictures start from, if any were kept."""
        ...

    def tasks(self) -> Sequence[ReviewTask]:
        """Return all tasks, newest first."""
        ...

    def task(self, task_id: str) -> ReviewTask | None:
        """Return a task, or None where there is none of that id."""
        ...

    def query(self, task_id: str, query_id: str) -> ReviewQuery | None:
        """Return a query of a task, or None."""
        ...

    def chip(self, annotation: Annotation) -> Chip:
        """Return the chip as it is cut today.

        Raises:
            ChipError: it cannot be cut.
        """
        ...

    def changed(self, query: ReviewQuery, candidate: Candidate) -> str:
        """Return why evidence that was made before no longer holds, or an empty string.

        ``CHIP_CHANGED``: a photograph is not what it was when it was ranked. ``MODEL_CHANGED``: the network that would
        explain is not the one that ranked.
        """
        ...

    def explainers(self) -> Sequence[ExplainerChoice]:
        """Return every explainer, the usual one first."""
        ...

    def layers(self) -> Sequence[LayerChoice]:
        """Return one choice for each of :data:`LEVELS`; empty as long as the network is not loaded."""
        ...

    def explain(
        self, query: ReviewQuery, candidate: Candidate, request: EvidenceRequest, cancelled: Cancelled
    ) -> Iterator[Found]:
        """Explain one pair: steps, then the evidence in part (lines), then the whole.

        A host hands `request` and its ranking on to :func:`.stepwise.explain_in_steps`, which sees to variants, the
        time budget and rivals.

        Args:
            cancelled: asked between steps; where it says True the iterator ends.

        Raises:
            PairXError: what makes the explanation impossible.
        """
        ...


@runtime_checkable
class TaskImporter(Protocol):
    """A source that takes rankings which were made elsewhere."""

    def import_task(self, task: ImportedTask) -> str:
        """Keep a ranking as a task, and return the task's id.

        Raises:
            ChipError: a photograph may not be read, or cannot be.
            HostError: it cannot be kept.
        """
        ...
