"""What an explainer is.

An explainer is made once, :meth:`Explainer.prepare` is called once per query, and the session it returns explains
candidates. Whatever serves all candidates of a query is computed in `prepare` and kept in the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ..chips import Chip
from ..evidence import PairEvidence
from ..models.embedding import EmbeddingModel
from ..settings import Settings

__all__ = ["Explainer", "QuerySession"]


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
