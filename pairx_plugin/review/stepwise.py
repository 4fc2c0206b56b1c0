"""Evidence in steps: lines as soon as they are there, colours after."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pairx_hooks import Status

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
    """Explain one pair, first without colours (status ``partial``), then with them.

    The pipeline is asked twice, since colours are the costlier half and lines alone are what a reviewer looks at
    first. Where no colours are wanted there is one step.

    Args:
        cancelled: asked before each step; where it says True the iterator ends.

    Raises:
        PairXError: the query, the model or a layer makes the explanation impossible.
    """
    from ..pipeline import explain_chips  # it brings torch, which importing the page must not

    stages = [settings]
    if settings.k_colors:
        stages.insert(0, dataclasses.replace(settings, k_colors=0))
    for stage in stages:
        if cancelled():
            return
        explanation = next(explain_chips(model, query, [candidate], explainer, stage))
        if explanation.status is not Status.READY:
            yield explanation
            return
        yield explanation if stage is stages[-1] else dataclasses.replace(explanation, status=Status.PARTIAL)
