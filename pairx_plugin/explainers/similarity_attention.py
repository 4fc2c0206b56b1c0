"""Similarity attention: where each picture holds the parts of the embedding in which a pair agrees, or a rival differs.

Source: Zheng et al., "Learning Similarity Attention", arXiv 1911.07381 ("Visual Similarity Attention", IJCAI 2022):
weights over the embedding's parts, channel weights by the mean gradient, rectified sum of channels. Ours are the
weights ``rank`` and ``product``, and the rival taken from the ranking. ``product`` is the default, since with weights
that are never negative the map hardly depends on the partner: note 0008 has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..chips import Chip
from ..errors import PairXError, SettingsError
from ..evidence import Doubt, LayerEvidence, PairEvidence
from ..models.embedding import EmbeddingModel
from ..relevance.heads import Head, Heads, last_feature_map
from ..settings import Settings
from .attention_weights import WEIGHTS, attention_map, rank_correlation, side_weights
from .maps_only import Clock, cosine, map_doubts, map_layer, same_picture
from .own_options import choice, flag

__all__ = ["MODES", "WEIGHTS", "Asked", "SimilarityAttention", "attention_map", "side_weights"]

MODES = ("pair", "negative", "triplet", "quadruplet")

_RIVALS = {"triplet": 1, "quadruplet": 2}
_DEGENERATE = 0.1
"""Below this spread, standard deviation over mean, weights are as good as all alike."""
_PARTNERLESS = 0.95
"""From this rank correlation with the map of equal weights on, a map says as good as nothing of the partner."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request's options say.

    Attributes:
        mode: ``pair``: where the two agree. ``negative``: where they differ. ``triplet``: where query and candidate
            agree and the query differs from the best-ranked other individual. ``quadruplet``: from the best two.
        weight: ``product``: the partner's embedding, so that the scalar is the cosine itself; ``paper``: 1 - |a - b|;
            ``rank``: the same by the rank of the difference, which stays spread out on wide embeddings.
        signed: keep what speaks against, which the paper's rectifier drops; so it is for ``product`` unless said
            otherwise, since a cosine has as much against it as for it, and rectified maps are often empty.
    """

    mode: str = "pair"
    weight: str = "product"
    signed: bool = True

    @classmethod
    def of(cls, settings: Settings) -> Asked:
        """Read the options ``attention_mode``, ``attention_weight`` and ``attention_signed``."""
        mode = choice(settings, "attention_mode", "pair", MODES)
        weight = choice(settings, "attention_weight", "product", WEIGHTS)
        signed = flag(settings, "attention_signed", weight == "product" and mode != "negative")
        if signed and mode == "negative":
            raise SettingsError(
                "option 'attention_signed' is true, and signs speak for and against the similarity: in the mode "
                "'negative' the maps show differences alone; leave it out, or choose the mode 'pair'"
            )
        return cls(mode=mode, weight=weight, signed=signed)


class SimilarityAttention:
    """The similarity attention explainer; options: see :class:`Asked`."""

    explainer_id = "similarity_attention"
    version = "1"

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> SimilarityAttentionSession:
        """Run the query once and keep its graph above the layer, see :class:`.base.Explainer`."""
        return SimilarityAttentionSession(model, query, settings)


class _Rival(NamedTuple):
    """Another individual's chip: its rank, its digest and its embedding (D,) at length one."""

    rank: int
    sha256: str
    unit: torch.Tensor


class SimilarityAttentionSession:
    """One query after its forward pass; see :class:`.base.QuerySession`."""

    def __init__(self, model: EmbeddingModel, query: Chip, settings: Settings) -> None:
        self._asked = Asked.of(settings)
        self._model, self._query = model, query
        self.layers = settings.layers or (last_feature_map(model.network, model.input_size),)
        self._head = Head(model.network, self.layers, model.input_size)
        self._query_side = self._run([query])
        self._ranking: tuple[Chip, ...] = ()
        self._rivals: dict[str, torch.Tensor | None] = {}
        self._alone: dict[str, NDArray[np.float32]] | None = None

    def see_ranking(self, candidates: Sequence[Chip]) -> None:
        """Take note of all chips of the ranking, in order: rivals come from it."""
        self._ranking = tuple(candidates)

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """Explain candidates in one forward pass, see :class:`.base.QuerySession`."""
        if not candidates:
            return []
        clock = Clock()
        with clock.stage("forward"):
            side = self._run(candidates)
        with clock.stage("rivals"):
            rivals = [self._rivals_of(chip) for chip in candidates]
        with clock.stage("relevance"):
            weights = [self._weights(side.unit[index], found) for index, found in enumerate(rivals)]
            maps_1 = self._maps(side, torch.stack([pair[1] for pair in weights]))
            maps_0 = [self._maps(self._query_side, pair[0][None]) for pair in weights]
        size = self._model.input_size
        evidence = []
        for index, chip in enumerate(candidates):
            layers = tuple(
                map_layer(key, (maps_0[index][key][0], maps_1[key][index]), size) for key in self.layers
            )
            evidence.append(
                PairEvidence(
                    similarity=cosine(self._query_side.unit[0], side.unit[index]),
                    layers=layers,
                    seconds=clock.shared(len(candidates)),
                    doubts=self._doubts(chip, layers, rivals[index], weights[index]),
                    other_chips=tuple(rival.sha256 for rival in rivals[index]),
                )
            )
        return evidence

    def _run(self, chips: Sequence[Chip]) -> Heads:
        return self._head.forward(self._model.tensor([chip.pixels for chip in chips]))

    def _weights(
        self, candidate: torch.Tensor, rivals: Sequence[_Rival]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        others = [rival.unit for rival in rivals]
        mode = self._asked.mode if self._asked.mode == "negative" else "pair"  # without rivals a triplet is a pair
        return side_weights(self._query_side.unit[0], candidate, others, weight=self._asked.weight, mode=mode)

    def _partnerless(self, layer: LayerEvidence) -> list[Doubt]:
        """Return a doubt where the query's map is nearly the one that it has without any partner."""
        if self._alone is None:
            self._alone = self._maps(self._query_side, torch.ones_like(self._query_side.unit))
        correlation = rank_correlation(layer.relevance_0, self._alone[layer.layer_key][0])
        if correlation < _PARTNERLESS:
            return []
        message = (
            f"the query's map is nearly the one without any partner (rank correlation {correlation:.3f} at layer "
            f"'{layer.layer_key}'): it says where the picture is active at all; attention_weight product is not so"
        )
        values = {"layer": layer.layer_key, "correlation": round(correlation, 4)}
        return [Doubt(code="PARTNER_HARDLY_COUNTS", message=message, values=values)]

    def _maps(self, side: Heads, weights: torch.Tensor) -> dict[str, NDArray[np.float32]]:
        gradients = side.gradients(weights)
        return {
            key: attention_map(side.feature_maps[key], gradients[key], signed=self._asked.signed).cpu().numpy()
            for key in self.layers
        }

    def _rivals_of(self, candidate: Chip) -> list[_Rival]:
        """Return the best-ranked other individuals, as many as the mode wants and there are."""
        wanted, found = _RIVALS.get(self._asked.mode, 0), list[_Rival]()
        taken = {candidate.name}
        for rank, chip in enumerate(self._ranking, start=1):
            if len(found) == wanted or candidate.name is None:
                break
            if chip.name is None or chip.name in taken or chip.sha256 == self._query.sha256:
                continue
            embedding = self._rival(chip)
            if embedding is not None:
                taken.add(chip.name)
                found.append(_Rival(rank, chip.sha256, embedding))
        return found

    def _rival(self, chip: Chip) -> torch.Tensor | None:
        """Return a chip's embedding at length one, computed once; None where the network gives none."""
        if chip.sha256 not in self._rivals:
            try:
                self._rivals[chip.sha256] = self._run([chip]).unit[0]
            except PairXError:  # its own explanation will say so; the next individual is a rival as good
                self._rivals[chip.sha256] = None
        return self._rivals[chip.sha256]

    def _doubts(
        self,
        chip: Chip,
        layers: Sequence[LayerEvidence],
        rivals: Sequence[_Rival],
        weights: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[Doubt, ...]:
        doubts = same_picture(self._query, chip)
        wanted = _RIVALS.get(self._asked.mode, 0)
        if self._asked.mode == "negative":
            doubts.append(_differences())
        if len(rivals) < wanted:
            doubts.append(_no_rival(self._asked.mode, len(rivals), chip, bool(self._ranking)))
        doubts += [_contrast(rival.rank) for rival in rivals]
        if self._asked.weight != "product":
            degenerate = _degenerate(weights[0], self._asked.weight)
            doubts += degenerate or [doubt for layer in layers for doubt in self._partnerless(layer)]
        return (*doubts, *map_doubts(layers))


def _degenerate(weights: torch.Tensor, weight: str) -> list[Doubt]:
    mean = float(weights.mean())
    spread = float(weights.std(unbiased=False)) / mean if mean > 0 else 0.0
    if mean <= 0 or spread >= _DEGENERATE:
        return []
    message = (
        f"the weights '{weight}' hardly differ (standard deviation {spread:.3f} of their mean), so that the map says "
        f"where the picture is active at all, whatever the partner; attention_weight product is not so"
    )
    return [Doubt(code="WEIGHTS_DEGENERATE", message=message, values={"weight": weight, "spread": round(spread, 4)})]


def _no_rival(mode: str, found: int, chip: Chip, ranked: bool) -> Doubt:
    values = {"mode": mode, "found": found, "wanted": _RIVALS[mode]}
    if found:
        message = f"only one rival was found for the mode '{mode}'; the maps are those of a triplet"
        return Doubt(code="ONE_RIVAL", message=message, values=values)
    why = (
        "the explainer was not shown the ranking"
        if not ranked
        else "the candidate's own name is not known"
        if chip.name is None
        else "no other individual with a known name stands among the candidates"
    )
    message = f"no rival was found for the mode '{mode}', because {why}; the maps are those of the pair alone"
    return Doubt(code="NO_RIVAL", message=message, values=values)


def _contrast(rank: int) -> Doubt:
    message = (
        f"the maps contrast the candidate with candidate {rank} of those that could be had, another individual; with "
        f"another rival they would differ"
    )
    return Doubt(code="CONTRASTED", message=message, values={"rank": rank})


def _differences() -> Doubt:
    message = "the maps show what makes the two pictures differ, not what they share"
    return Doubt(code="SHOWS_DIFFERENCES", message=message)
