"""What an explainer is.

An explainer is made once, :meth:`Explainer.prepare` is called once per query, and the session it returns explains
candidates. Whatever serves all candidates of a query is computed in `prepare` and kept in the session.

A session needs :meth:`QuerySession.explain` alone. One that also has the method of :class:`SteppedSession` can show a
part of its evidence early and end in time; one that has the method of :class:`RankedSession` is shown the whole ranking
first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, runtime_checkable

from ..chips import Chip
from ..evidence import Doubt, PairEvidence
from ..models.embedding import EmbeddingModel
from ..settings import Settings

__all__ = ["Explainer", "QuerySession", "RankedSession", "SteppedSession", "Stop"]


class Stop:
    """Tells an explainer when to end before it is done.

    Args:
        cancelled: tells whether nobody waits any more; asked often, on the explaining thread.
        seconds: how long the work may take from now on; 0 for no limit.
    """

    def __init__(self, cancelled: Callable[[], bool] | None = None, seconds: float = 0.0) -> None:
        self._cancelled, self.seconds = cancelled, seconds
        self._deadline = time.monotonic() + seconds if seconds else None

    def reached(self) -> bool:
        """Return whether to end now, with what is there."""
        return self.why() is not None

    def why(self) -> Doubt | None:
        """Return why to end now: code ``CANCELLED`` or ``TIME_BUDGET``; None to go on."""
        if self._cancelled is not None and self._cancelled():
            return Doubt(code="CANCELLED", message="the explanation was cancelled before all of it was there")
        if self._deadline is not None and time.monotonic() >= self._deadline:
            message = (
                f"the time budget of {self.seconds:g} s was spent before all of it was there; raise `time_budget`, or "
                f"ask for fewer colours"
            )
            return Doubt(code="TIME_BUDGET", message=message, values={"seconds": self.seconds})
        return None


@runtime_checkable
class QuerySession(Protocol):
    """One query, ready to be compared."""

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """Explain why the model finds each candidate similar to the query.

        Args:
            candidates: chips of any sizes; at most `Settings.batch_size` at once.

        Returns:
            Evidence in the candidates' order. Raise for what makes all of them impossible; the caller tries them one by
            one then, so that one bad candidate spoils no other.
        """
        ...


@runtime_checkable
class SteppedSession(QuerySession, Protocol):
    """A session whose evidence grows: what is quick comes first."""

    def steps(self, candidates: Sequence[Chip], stop: Stop) -> Iterator[tuple[int, PairEvidence]]:
        """Explain candidates, and yield each one's evidence whenever there is more of it.

        Args:
            candidates: as in :meth:`QuerySession.explain`.
            stop: asked between the parts of the work. Once reached, yield what is there and end.

        Yields:
            The candidate's index and all of its evidence so far. What `PairEvidence.missing` names is still to come,
            unless `PairEvidence.shortfall` says why it is not.
        """
        ...


@runtime_checkable
class RankedSession(QuerySession, Protocol):
    """A session that looks at the whole ranking first, to compare a candidate with its rivals."""

    def see_ranking(self, candidates: Sequence[Chip]) -> None:
        """Take note of all candidates whose chips could be loaded, in rank order; called once, before the first."""
        ...


@runtime_checkable
class Explainer(Protocol):
    """A method that explains why a model finds two chips similar.

    Attributes:
        explainer_id: what a request names.
        version: changes when the same input gives other evidence.
    """

    explainer_id: str
    version: str

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> QuerySession:
        """Do what serves every candidate of one query.

        Args:
            model: the host's network with its preprocessing; it must not be changed in any way.
            query: the query's chip.
            settings: what to compute. Unknown `settings.options` of other explainers are to be ignored.

        Raises:
            LayerNotFound, ModelError, UnsupportedArchitecture: the model cannot be explained so.
        """
        ...
