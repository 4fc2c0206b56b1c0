"""PAIR-X: matches of an intermediate layer, weighed by relevance, carried back to pixels.

Source: Shrack et al. 2025, arXiv 2503.22881; behaviour of mode ``reference``: WildMeOrg/pairx at 124f2bf
(``src/pairx/core.py``), with `channel_reduction` and `similarity_seed` for what pairx-explains/pairx does otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from ..chips import Chip
from ..evidence import Doubt, LayerEvidence, Matches, PairEvidence, cell_points
from ..matching import match_cells, reduce_channels
from ..models.checks import check_embeddings, check_evaluation_mode
from ..models.embedding import EmbeddingModel
from ..models.layers import get_layer, suggest_layer
from ..plausibility import Plausibility, assess
from ..relevance.propagation import Encoded, RelevanceModel, cosine_seeds
from ..settings import Settings

__all__ = ["PairX", "PairXSession"]


class PairX:
    """The PAIR-X explainer."""

    explainer_id = "pairx"
    version = "1"

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> PairXSession:
        """Run the query once and keep its activations, see :class:`.base.Explainer`."""
        return PairXSession(model, query, settings)


class _Side:
    """Images of one side after their forward pass, and the pixel relevances found on them so far."""

    def __init__(
        self, relevance_model: RelevanceModel, tensor: torch.Tensor, layers: Sequence[str], pixels: bool
    ) -> None:
        self.size = (int(tensor.shape[2]), int(tensor.shape[3]))
        self.encoded: Encoded = relevance_model.forward(tensor, layers, pixels=pixels)
        check_embeddings(self.encoded.embedding, len(tensor))
        self._pixels: dict[str, dict[tuple[int, int, int], tuple[NDArray[np.float32], float]]] = {}

    def pixels(
        self, layer: str, cells: Sequence[tuple[int, int, int]], tolerance: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (k, H, W) pixel relevance of k cells (image, row, col), >= 0, and (k,) what was cut off.

        It depends on the image, the layer and the cell only, so a cell that was asked for before is not computed again.
        """
        known = self._pixels.setdefault(layer, {})
        missing = [cell for cell in dict.fromkeys(cells) if cell not in known]
        if missing:
            relevance, cut_off = self.encoded.at_pixels(
                layer, [cell[1:] for cell in missing], [cell[0] for cell in missing], tolerance=tolerance
            )
            known.update(zip(missing, zip(relevance.sum(1).abs().float().cpu().numpy(), cut_off.tolist())))
        maps = [known[cell][0] for cell in cells]
        stacked = np.stack(maps) if maps else np.zeros((0, *self.size), np.float32)
        return stacked, np.array([known[cell][1] for cell in cells], np.float32)


class PairXSession:
    """One query after its forward pass; see :class:`.base.QuerySession`."""

    def __init__(self, model: EmbeddingModel, query: Chip, settings: Settings) -> None:
        check_evaluation_mode(model.network)
        self._model, self._settings, self._query = model, settings, query
        self._relevance_model = RelevanceModel(model.network, mode=settings.mode)
        self.layers = settings.layers or (model.default_layer or suggest_layer(model.network, model.input_size).key,)
        for layer in self.layers:
            get_layer(model.network, layer)
        self._query_side = self._side([query])

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """Explain candidates in one batch, see :class:`.base.QuerySession`."""
        if not candidates:
            return []
        clock = _Stages()
        with clock.stage("forward"):
            side = self._side(candidates)
        with clock.stage("relevance"):
            similarity, relevance_0, relevance_1 = self._relevance(side, len(candidates))
            side.encoded.forget_above(self.layers)
        evidence = []
        for index, chip in enumerate(candidates):
            layers = tuple(
                self._layer(side, index, layer, relevance_0[layer][index], relevance_1[layer][index], clock)
                for layer in self.layers
            )
            evidence.append((float(similarity[index]), layers, self._doubts(chip, layers)))
        seconds = {stage: spent / len(candidates) for stage, spent in clock.seconds.items()}
        return [
            PairEvidence(similarity=cosine, layers=layers, seconds=seconds, doubts=doubts)
            for cosine, layers, doubts in evidence
        ]

    def _side(self, chips: Sequence[Chip]) -> _Side:
        tensor = self._model.tensor([chip.pixels for chip in chips])
        return _Side(self._relevance_model, tensor, self.layers, pixels=self._settings.k_colors > 0)

    def _relevance(
        self, side: _Side, n: int
    ) -> tuple[torch.Tensor, dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
        """Return the cosines (n,) and both sides' relevance maps, (n, h, w) by layer."""
        query, candidates = self._query_side.encoded, side.encoded
        cosine, seeds_0 = cosine_seeds(query.embedding, candidates.embedding)
        _, seeds_1 = cosine_seeds(candidates.embedding, query.embedding)
        if self._settings.similarity_seed == "cosine":
            seeds_0, seeds_1 = seeds_0 * cosine[:, None], seeds_1 * cosine[:, None]
        dtype = query.embedding.dtype
        maps_0 = query.at_layers(seeds_0.to(dtype), [0] * n, self.layers)
        maps_1 = candidates.at_layers(seeds_1.to(dtype), range(n), self.layers)
        return cosine, self._reduced(maps_0), self._reduced(maps_1)

    def _reduced(self, maps: dict[str, torch.Tensor]) -> dict[str, NDArray[np.float32]]:
        reduction = self._settings.channel_reduction
        return {key: reduce_channels(value, reduction).float().cpu().numpy() for key, value in maps.items()}

    def _layer(
        self,
        side: _Side,
        index: int,
        layer: str,
        relevance_0: NDArray[np.float32],
        relevance_1: NDArray[np.float32],
        clock: _Stages,
    ) -> LayerEvidence:
        feature_map_0 = self._query_side.encoded.feature_maps[layer][0]
        with clock.stage("matching"):
            matches = match_cells(feature_map_0, side.encoded.feature_maps[layer][index], relevance_0, relevance_1)
            plausibility = self._assess(matches, relevance_0, relevance_1, side.size)
        with clock.stage("pixels"):
            leading = matches.leading(self._settings.k_colors)
            tolerance = self._settings.pixel_tolerance
            cells_0 = [(0, int(row), int(col)) for row, col in leading.cells_0]
            cells_1 = [(index, int(row), int(col)) for row, col in leading.cells_1]
            pixels_0, cut_off_0 = self._query_side.pixels(layer, cells_0, tolerance)
            pixels_1, cut_off_1 = side.pixels(layer, cells_1, tolerance)
        return LayerEvidence(
            layer_key=layer,
            relevance_0=relevance_0,
            relevance_1=relevance_1,
            matches=matches,
            pixels_0=pixels_0,
            pixels_1=pixels_1,
            cut_off_0=cut_off_0,
            cut_off_1=cut_off_1,
            plausibility=plausibility,
            k_lines=self._settings.k_lines,
        )

    def _assess(
        self,
        matches: Matches,
        relevance_0: NDArray[np.float32],
        relevance_1: NDArray[np.float32],
        size: tuple[int, int],
    ) -> Plausibility:
        steps = [
            (width / relevance.shape[1], height / relevance.shape[0])
            for (height, width), relevance in ((self._query_side.size, relevance_0), (size, relevance_1))
        ]
        return assess(
            points_0=cell_points(matches.cells_0, relevance_0.shape, self._query_side.size),
            points_1=cell_points(matches.cells_1, relevance_1.shape, size),
            relevance=matches.relevance,
            relevance_map_0=relevance_0,
            relevance_map_1=relevance_1,
            cells_0=matches.cells_0,
            cells_1=matches.cells_1,
            grid_step=steps,
            k=max(1, self._settings.k_lines),
            seed=self._settings.seed,
        )

    def _doubts(self, chip: Chip, layers: Sequence[LayerEvidence]) -> tuple[Doubt, ...]:
        doubts = []
        if chip.sha256 == self._query.sha256:
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


def _layer_doubt(code: str, sentence: str, layer: LayerEvidence) -> Doubt:
    values = {"layer": layer.layer_key, "matches": len(layer.matches)}
    return Doubt(code=code, message=f"{sentence} (layer '{layer.layer_key}')", values=values)


class _Stages:
    """Seconds spent by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started
