"""Explains pairs that are cut already, and draws each as ml-service does."""

from __future__ import annotations

import dataclasses
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ...chips import Chip
from ...errors import PairXError
from ...explanation import PairExplanation, failure_of
from ...pixels import Pixels
from ...rendering.reference_look import reference_picture
from ...settings import Settings
from .cutting import Cut

if TYPE_CHECKING:
    from ...explainers.base import Explainer
    from ...models.embedding import EmbeddingModel

__all__ = ["CutPair", "Explained", "explain_pairs", "ml_service_picture"]

logger = logging.getLogger(__name__)

_SHORT = "OUT_OF_MEMORY"


@dataclass(frozen=True, kw_only=True, eq=False)
class CutPair:
    """A query and a candidate; where one could not be cut out, the error that says why."""

    query: Cut | PairXError
    candidate: Cut | PairXError


@dataclass(frozen=True, kw_only=True, eq=False)
class Explained:
    """What came of a pair.

    Attributes:
        explanation: the pair's; without evidence where it failed.
        picture: (H, W, 3) uint8 RGB; None where it failed, or none was asked for.
        warnings: what a caller should know, as JSON.
    """

    explanation: PairExplanation
    picture: Pixels | None = None
    warnings: tuple[dict[str, Any], ...] = ()


def explain_pairs(
    model: EmbeddingModel,
    pairs: Sequence[CutPair],
    explainer: Explainer,
    settings: Settings,
    *,
    view: str | None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Explained]:
    """Explain pairs in order; those that follow each other with the same query share what serves it.

    Args:
        pairs: of which none has an error.
        view: ``only_colors``, ``only_lines`` or ``lines_and_colors``; None for no picture.
        cancelled: asked before each pair; where it says True the iterator ends.
    """
    for _, group in groupby(pairs, key=lambda pair: id(pair.query)):
        together = list(group)
        if cancelled():
            return
        found = _explanations(model, together, explainer, settings, cancelled)
        for pair, explanation in zip(together, found):
            warnings: tuple[dict[str, Any], ...] = ()
            if _short_of_memory(explanation):
                explanation, warnings = _with_less(model, pair, explanation, explainer, settings, cancelled)
            yield Explained(
                explanation=explanation,
                picture=_picture(explanation, pair, view) if view and explanation.evidence is not None else None,
                warnings=warnings,
            )
            if cancelled():
                return


def ml_service_picture(explanation: PairExplanation, shown: tuple[Pixels, Pixels], view: str) -> Pixels:
    """Return ml-service's picture: each side as large as the network's input, query left.

    Args:
        explanation: with evidence.
        shown: what to draw on, both of the network's input size.
        view: ``only_lines`` and ``only_colors`` are one row, ``lines_and_colors`` both.
    """
    layer = explanation.layers[0]
    both = reference_picture(*shown, layer)
    lines, colours = np.split(both, 2)
    if not len(layer.matches) and not len(layer.pixels_0):
        colours = lines  # an explainer without matches has its colours at the layer
    return {"only_lines": lines, "only_colors": colours}.get(view, np.concatenate([lines, colours]))


def _explanations(
    model: EmbeddingModel,
    pairs: Sequence[CutPair],
    explainer: Explainer,
    settings: Settings,
    cancelled: Callable[[], bool],
) -> Iterator[PairExplanation]:
    """Explain the candidates of one query; what makes all of them impossible is told of each."""
    from ...pipeline import explain_chips  # it brings torch

    query, candidates = _chip(pairs[0].query), [_chip(pair.candidate) for pair in pairs]
    n_done = 0
    try:
        for explanation in explain_chips(model, query, candidates, explainer, settings, cancelled=cancelled):
            yield explanation
            n_done += 1
    except Exception as error:  # whatever an explainer raises is an answer, not the end of the service
        if not isinstance(error, PairXError):
            logger.exception("an explanation failed")
        status, failure = failure_of(error)
        for chip in candidates[n_done:]:
            yield PairExplanation(
                status=status,
                explainer=explainer.explainer_id,
                query=query,
                candidate=chip,
                failure=failure,
                settings=settings,
            )


def _with_less(
    model: EmbeddingModel,
    pair: CutPair,
    first: PairExplanation,
    explainer: Explainer,
    settings: Settings,
    cancelled: Callable[[], bool],
) -> tuple[PairExplanation, tuple[dict[str, Any], ...]]:
    """Explain one pair again with what was held let go, then with ever fewer colours until memory suffices."""

    def again(k_colors: int, before: PairExplanation) -> PairExplanation:
        gc.collect()  # tensors in cycles with their graph go, and their memory with them
        smaller = dataclasses.replace(settings, k_colors=k_colors, batch_size=1)
        return next(_explanations(model, [pair], explainer, smaller, cancelled), before)

    colours = settings.k_colors
    explanation = again(colours, first)
    while _short_of_memory(explanation) and colours > 1 and not cancelled():
        colours //= 2
        explanation = again(colours, explanation)
    if _short_of_memory(explanation) or colours == settings.k_colors:
        return explanation, ()
    message = f"Memory was short: {colours} of {settings.k_colors} matches were carried back to pixels."
    logger.warning("%s", message)
    return explanation, ({"code": "FEWER_COLOURS", "message": message, "field": "k_colors"},)


def _short_of_memory(explanation: PairExplanation) -> bool:
    failure = explanation.failure
    return explanation.evidence is None and failure is not None and failure.code == _SHORT


def _picture(explanation: PairExplanation, pair: CutPair, view: str) -> Pixels:
    assert isinstance(pair.query, Cut) and isinstance(pair.candidate, Cut)
    return ml_service_picture(explanation, (pair.query.shown, pair.candidate.shown), view)


def _chip(part: Cut | PairXError) -> Chip:
    assert isinstance(part, Cut)  # pairs with an error are left out before
    return part.chip
