"""A host's side of the hooks: what every host gives to plugins, and what it takes from them after the ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pairx_hooks import Annotation, Explanation, OwnFailure, RankedQuery, hookimpl

if TYPE_CHECKING:
    from ..chips import Chip

__all__ = ["HostPlugin", "HostRecords"]


class HostRecords(Protocol):
    """What the plugin needs of the host."""

    def embedding_model(self, model_id: str) -> Any | None:
        """Return the loaded network if `model_id` is its id."""
        ...

    def known_chip(self, annotation_id: str) -> Chip | None:
        """Return the ranked chip of one of the host's annotations, None for a stranger's."""
        ...

    def attach(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        """Keep explanations with the review records."""
        ...


def _nobody_counts() -> None:
    """Nobody watches."""


class HostPlugin:
    """Gives plugins the loaded network and the ranked chips, and keeps what they explain.

    Args:
        records: the host.
        advance: called once for every candidate that is done.
    """

    def __init__(self, records: HostRecords, advance: Callable[[], None] = _nobody_counts) -> None:
        self._records, self._advance = records, advance

    @hookimpl
    def provide_embedding_model(self, model_id: str) -> Any | None:
        """Return the network that ranked, the loaded one itself."""
        return self._records.embedding_model(model_id)

    @hookimpl
    def load_chip(self, annotation: Annotation) -> Chip | None:
        """Return the chip that was ranked, whatever else the annotation says by now; None for a stranger's.

        Raises:
            OwnFailure: it is one of the host's, and cannot be cut any more; what others would cut was not ranked.
        """
        try:
            return self._records.known_chip(annotation.annotation_id)
        except Exception as error:
            raise OwnFailure.of(error) from error

    @hookimpl
    def attach_explanations(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        """Keep explanations with the review records."""
        self._records.attach(ranked_query, explanations)

    @hookimpl
    def explanation_finished(self) -> None:
        """Count a candidate that is done."""
        self._advance()

    @hookimpl
    def explanation_failed(self) -> None:
        """Count a candidate that failed; it is done as well."""
        self._advance()
