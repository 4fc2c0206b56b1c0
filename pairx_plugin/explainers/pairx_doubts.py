"""What readers of a PAIR-X explanation should be told beside its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..chips import Chip
from ..evidence import Doubt, LayerEvidence, PairEvidence

__all__ = ["doubts_of", "out_of_memory", "weights_changed", "with_doubts"]


def doubts_of(query: Chip, candidate: Chip, layers: Sequence[LayerEvidence]) -> tuple[Doubt, ...]:
    """Return what makes a pair's matches worth less than they look."""
    doubts = []
    if candidate.sha256 == query.sha256:
        doubts.append(
            Doubt(code="SAME_PICTURE", message="query and candidate are the same picture, so everything matches")
        )
    for layer in layers:
        if not len(layer.matches):
            doubts.append(_layer_doubt("NO_MATCHES", "no cells are each other's nearest", layer))
        elif len(layer.matches) < 4:
            doubts.append(_layer_doubt("FEW_MATCHES", "fewer than four matches agree with any pose", layer))
        if not layer.relevance_0.any() or not layer.relevance_1.any():
            doubts.append(_layer_doubt("RELEVANCE_ZERO", "no relevance reaches the layer", layer))
    return tuple(doubts)


def weights_changed() -> Doubt:
    """Return the doubt about numbers of which some are of other weights than the rest."""
    message = (
        "the network's weights changed while this pair was explained, so that its numbers are of no one network; "
        "explain it again when they stay as they are"
    )
    return Doubt(code="WEIGHTS_CHANGED", message=message)


def out_of_memory() -> Doubt:
    """Return why colours are missing where memory ran out."""
    return Doubt(code="OUT_OF_MEMORY", message="memory ran out before all colours were there; ask for fewer of them")


def with_doubts(evidence: PairEvidence, doubts: Sequence[Doubt]) -> PairEvidence:
    """Return the evidence with further doubts."""
    return replace(evidence, doubts=(*evidence.doubts, *doubts)) if doubts else evidence


def _layer_doubt(code: str, sentence: str, layer: LayerEvidence) -> Doubt:
    values = {"layer": layer.layer_key, "matches": len(layer.matches)}
    return Doubt(code=code, message=f"{sentence} (layer '{layer.layer_key}')", values=values)
