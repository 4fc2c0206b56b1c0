"""Evidence in steps: lines as soon as they are there, colours after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..chips import Chip
from ..explanation import PairExplanation
from ..settings import Settings
from .source import Cancelled

if TYPE_CHECKING:
    from ..explainers.base import Explainer
    from ..models.embedding import EmbeddingModel

__all__ = ["explain_in_steps"]


def explain_in_steps(
    model: EmbeddingModel,
    query: Chip,
    candidate: Chip,
    explainer: Explainer,
    settings: Settings,
    cancelled: Cancelled,
) -> Iterator[PairExplanation]:
    """Explain one pair, and yield whatever is there as soon as it is: lines first, colours after.

    Args:
        cancelled: asked between the parts of the work; where it says True the iterator ends.

    Raises:
        PairXError: the query, the model or a layer makes the explanation impossible.
    """
    from ..pipeline import explain_steps  # it brings torch, which importing the page must not

    steps = explain_steps(model, query, [candidate], explainer, settings, cancelled=cancelled)
    yield from (explanation for _, explanation in steps)
