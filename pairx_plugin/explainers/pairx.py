"""PAIR-X: matches of an intermediate layer, weighed by relevance, carried back to pixels.

Source: Shrack et al. 2025, arXiv 2503.22881; behaviour of mode ``reference``: WildMeOrg/pairx at 124f2bf
(``src/pairx/core.py``), with `channel_reduction` and `similarity_seed` for what pairx-explains/pairx does otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..chips import Chip
from ..errors import is_out_of_memory
from ..evidence import Doubt, LayerEvidence, Matches, PairEvidence, cell_points
from ..matching import match_cells
from ..models.checks import check_evaluation_mode
from ..models.embedding import EmbeddingModel
from ..models.layers import get_layer, suggest_layer
from ..plausibility import Plausibility, assess
from ..relevance.composites.named import composite_named
from ..relevance.encoded import LayerQuestion, at_layers_together
from ..relevance.network.shadow import weights_signature
from ..relevance.propagation import RelevanceModel
from ..relevance.sides import Cells, Side, pixels_of
from ..settings import Settings
from .base import Stop
from .pairx_doubts import doubts_of, out_of_memory, weights_changed, with_doubts
from .pairx_numbers import cell_relevance, pair_seeds, pixel_seeds, strength

__all__ = ["PairX", "PairXSession"]

Pair = tuple[Side, Side]
"""The query's side and that of a batch of candidates."""

_MATCHES_ON_CPU, _MATCHES_ON_GPU = 5, 8


class PairX:
    """The PAIR-X explainer."""

    explainer_id = "pairx"
    version = "1"

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> PairXSession:
        """Run the query once and keep its activations, see :class:`.base.Explainer`."""
        return PairXSession(model, query, settings)


class PairXSession:
    """One query after its forward pass; see :class:`.base.QuerySession`."""

    def __init__(self, model: EmbeddingModel, query: Chip, settings: Settings) -> None:
        check_evaluation_mode(model.network)
        self._model, self._settings, self._query = model, settings, query
        self._relevance_model = RelevanceModel(
            model.network,
            mode=settings.mode,
            composite=composite_named(settings.composite, model.input_range, mode=settings.mode),
            allow_uncanonized=settings.allow_uncanonized,
        )
        self.layers = settings.layers or (model.default_layer or suggest_layer(model.network, model.input_size).key,)
        for layer in self.layers:
            get_layer(model.network, layer)
        self._query_side, self._memory_ran_out = self._side([query])
        self._last_side: Side | None = None
        self.layer_seconds: dict[str, float] = dict.fromkeys(self.layers, 0.0)  # spent on each alone

    @property
    def provenance(self) -> dict[str, Any]:
        """What records say of how the network was treated."""
        return {"canonization": self._query_side.encoded.canonization.to_json()}

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """Explain candidates in one batch, see :class:`.base.QuerySession`."""
        found = dict(self.steps(candidates, Stop()))
        return [found[index] for index in range(len(candidates))]

    def steps(self, candidates: Sequence[Chip], stop: Stop) -> Iterator[tuple[int, PairEvidence]]:
        """Yield the lines of all candidates of a batch, then each one's colours; see :class:`.base.SteppedSession`."""
        if not candidates or stop.reached():
            return
        clock = _Stages(len(candidates))
        with clock.stage("forward"):
            last, self._last_side = self._last_side, None
            side, memory_ran_out = self._side(candidates, instead_of=last)
            del last
            pair = self._query_beside(side), side
        if stop.reached():
            return
        with clock.stage("relevance"):
            similarity, *maps = self._relevance(pair, len(candidates))
            relevance_0, relevance_1 = (cell_relevance(part, self._settings) for part in maps)
        evidence = []
        for index, chip in enumerate(candidates):
            found = []
            with clock.stage("matching"):
                for layer in self.layers:
                    with self._on(layer):
                        maps_here = relevance_0[layer][index], relevance_1[layer][index]
                        found.append(self._lines(pair, index, layer, *maps_here))
            doubts = doubts_of(self._query, chip, found)
            evidence.append(PairEvidence(similarity=float(similarity[index]), layers=tuple(found), doubts=doubts))
        if not self._settings.k_colors:
            late = self._late_doubts(pair)
            yield from ((index, clock.on(with_doubts(item, late))) for index, item in enumerate(evidence))
            self._last_side = side
            return
        yield from ((index, clock.on(replace(item, missing=("pixels",)))) for index, item in enumerate(evidence))
        shortfall = out_of_memory() if self._memory_ran_out or memory_ran_out else None
        for index, item in enumerate(evidence):
            with clock.stage("pixels"):
                layers, shortfall = self._colours(pair, index, item.layers, maps, stop, shortfall)
            missing = ("pixels",) if shortfall is not None else ()
            item = with_doubts(item, self._late_doubts(pair))
            yield index, clock.on(replace(item, layers=layers, missing=missing, shortfall=shortfall))
        self._last_side = side

    @contextmanager
    def _on(self, layer: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.layer_seconds[layer] += time.perf_counter() - started

    def _side(self, chips: Sequence[Chip], instead_of: Side | None = None) -> tuple[Side, bool]:
        """Return the chips after their forward pass, and whether memory ran out, so that no pixels can be asked for."""
        tensor = self._model.tensor([chip.pixels for chip in chips])
        pixels = self._settings.k_colors > 0
        try:
            return Side(self._relevance_model, tensor, self.layers, pixels=pixels, instead_of=instead_of), False
        except Exception as error:
            if not pixels or len(chips) > 1 or not is_out_of_memory(error):
                raise
        return Side(self._relevance_model, tensor, self.layers, pixels=False), True

    def _query_beside(self, side: Side) -> Side:
        """Return the query's side, encoded anew where the host has changed its weights since."""
        query_side = self._query_side
        if query_side.encoded.weights != side.encoded.weights:
            query_side, ran_out = self._side([self._query])
            self._query_side, self._memory_ran_out = query_side, ran_out or self._memory_ran_out
        return query_side

    def _late_doubts(self, pair: Pair) -> tuple[Doubt, ...]:
        """Return what can be said only when a pair's numbers are there: whether they are all of one network."""
        weights = weights_signature(self._model.network)
        return () if all(side.encoded.weights == weights for side in pair) else (weights_changed(),)

    def _relevance(
        self, pair: Pair, n: int
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the cosines (n,) and both sides' relevance, (n, C, h, w) by layer."""
        query, candidates = (side.encoded for side in pair)
        cosine, seeds_0, seeds_1 = pair_seeds(query.embedding, candidates.embedding, self._settings)
        questions = [
            LayerQuestion(query, seeds_0, [0] * n),
            LayerQuestion(candidates, seeds_1, range(n), is_last=True),
        ]
        maps_0, maps_1 = at_layers_together(questions, self.layers)
        return cosine, maps_0, maps_1

    def _lines(
        self,
        pair: Pair,
        index: int,
        layer: str,
        relevance_0: NDArray[np.float32],
        relevance_1: NDArray[np.float32],
    ) -> LayerEvidence:
        query_side, side = pair
        feature_map_0 = query_side.encoded.feature_maps[layer][0]
        feature_map_1 = side.encoded.feature_maps[layer][index]
        strengths = strength(relevance_0), strength(relevance_1)
        matches = match_cells(feature_map_0, feature_map_1, *strengths)
        return LayerEvidence(
            layer_key=layer,
            relevance_0=relevance_0,
            relevance_1=relevance_1,
            matches=matches,
            pixels_0=np.zeros((0, *query_side.size), np.float32),
            pixels_1=np.zeros((0, *side.size), np.float32),
            plausibility=self._assess(matches, *strengths, pair),
            k_lines=self._settings.k_lines,
        )

    def _colours(
        self,
        pair: Pair,
        index: int,
        layers: Sequence[LayerEvidence],
        maps: Sequence[dict[str, torch.Tensor]],
        stop: Stop,
        shortfall: Doubt | None,
    ) -> tuple[tuple[LayerEvidence, ...], Doubt | None]:
        """Return the layers with as many pixel maps as time and memory allow, and what cut them short."""
        coloured = []
        for layer in layers:
            leading = layer.matches.leading(self._settings.k_colors)
            here = [part[layer.layer_key][index] for part in maps]
            parts: list[tuple[NDArray[np.float32], ...]] = []
            at_once, done = self._matches_at_once, 0
            while done < len(leading) and shortfall is None:
                shortfall = stop.why()
                if shortfall is not None:
                    break
                try:
                    part = slice(done, done + at_once)
                    with self._on(layer.layer_key):
                        parts.append(self._pixels(pair, index, layer.layer_key, leading, part, here))
                    done += at_once
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    at_once, shortfall = at_once // 2, None if at_once > 1 else out_of_memory()
            if parts:
                whole = parts[0] if len(parts) == 1 else tuple(np.concatenate(part) for part in zip(*parts))
                pixels_0, cut_off_0, pixels_1, cut_off_1 = whole
                layer = replace(
                    layer, pixels_0=pixels_0, pixels_1=pixels_1, cut_off_0=cut_off_0, cut_off_1=cut_off_1
                )
            coloured.append(layer)
        return tuple(coloured), shortfall

    def _pixels(
        self, pair: Pair, index: int, layer: str, matches: Matches, which: slice, maps: Sequence[torch.Tensor]
    ) -> tuple[NDArray[np.float32], ...]:
        """Return both sides' pixel maps of some matches, each followed by what was cut off."""
        asked = []
        for images, image, all_cells, relevance in (
            (pair[0], 0, matches.cells_0, maps[0]),
            (pair[1], index, matches.cells_1, maps[1]),
        ):
            cells = all_cells[which]
            seeds = pixel_seeds(relevance, cells) if self._settings.mode == "corrected" else None
            asked.append(Cells(images, [(image, int(row), int(col)) for row, col in cells], seeds))
        (pixels_0, cut_off_0), (pixels_1, cut_off_1) = pixels_of(layer, asked, self._settings.pixel_tolerance)
        return pixels_0, cut_off_0, pixels_1, cut_off_1

    @property
    def _matches_at_once(self) -> int:
        """As many as fill the device; between them the work can be stopped."""
        return _MATCHES_ON_GPU if self._model.device.type == "cuda" else _MATCHES_ON_CPU

    def _assess(
        self,
        matches: Matches,
        relevance_0: NDArray[np.float32],
        relevance_1: NDArray[np.float32],
        pair: Pair,
    ) -> Plausibility:
        size_0, size_1 = (side.size for side in pair)
        steps = [
            (width / relevance.shape[1], height / relevance.shape[0])
            for (height, width), relevance in ((size_0, relevance_0), (size_1, relevance_1))
        ]
        return assess(
            points_0=cell_points(matches.cells_0, relevance_0.shape, size_0),
            points_1=cell_points(matches.cells_1, relevance_1.shape, size_1),
            relevance=matches.relevance,
            relevance_map_0=relevance_0,
            relevance_map_1=relevance_1,
            cells_0=matches.cells_0,
            cells_1=matches.cells_1,
            grid_step=steps,
            k=max(1, self._settings.k_lines),
            seed=self._settings.seed,
        )


class _Stages:
    """Seconds spent by stage on a batch of `n` candidates."""

    def __init__(self, n: int) -> None:
        self._n, self._seconds = n, dict[str, float]()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - started

    def on(self, evidence: PairEvidence) -> PairEvidence:
        """Return the evidence with its share of the seconds so far."""
        return replace(evidence, seconds={stage: spent / self._n for stage, spent in self._seconds.items()})
