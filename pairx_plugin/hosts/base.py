"""What every host can do, whoever wrote it: rank, fetch a chip, keep explanations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from pairx_hooks import Annotation, Explanation, RankedQuery

from ..chips import Chip

__all__ = ["Host", "Progress"]


class Progress(Protocol):
    """Called as work goes on: `done` of `total` steps of a stage, such as ``embed`` or ``explain``."""

    def __call__(self, stage: str, done: int, total: int) -> None: ...


@runtime_checkable
class Host(Protocol):
    """The three things that the plugin and the tools around it need of a host."""

    def rank(self, query: Annotation) -> RankedQuery:
        """Return the query's candidates, best first, exactly as the host shows them.

        Raises:
            HostError: the query cannot be ranked.
        """
        ...

    def chip(self, annotation: Annotation) -> Chip:
        """Return the chip that the ranking used, with the same pixels.

        Raises:
            ChipError: the chip cannot be cut.
        """
        ...

    def attach(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        """Keep the explanations with the review records of the query; never touch ranks or scores."""
        ...
