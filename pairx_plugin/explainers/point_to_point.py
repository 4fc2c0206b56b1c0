"""Point to point: how much each pair of places adds to the similarity, or takes from it.

With the parts z of both embeddings (see :mod:`.cell_parts`) the cosine is a sum over all pairs of cells, of
<z_0, z_1> / (n_0 n_1 |e_0| |e_1|). Summed over one side it is a map of the other, for and against; one row of it
answers "this point here, where there?".

Source: Zhu, Yang and Chen, "Visual Explanation for Deep Metric Learning", IEEE TIP 2021, arXiv 1909.12977.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ..chips import Chip
from ..errors import SettingsError, UnsupportedArchitecture
from ..evidence import Doubt, LayerEvidence, PairEvidence
from ..models.embedding import EmbeddingModel
from ..relevance.heads import Head, last_feature_map
from ..settings import Settings
from .cell_parts import CellParts, Pooling, find_pooling, take_apart
from .contributions import PAIRS, Contributions
from .maps_only import Clock, map_doubts, same_picture
from .own_options import choice

__all__ = ["PAIRS", "Contributions", "PointToPoint", "PointToPointSession"]

_FEW = 4  # matches that agree with some pose whatever they show
_ROUNDING = 1e-5  # of the similarity: a larger residual is said also where the sum should be exact


class PointToPoint:
    """The point-to-point explainer.

    Option ``point_pairs``, one of :data:`PAIRS`: which pairs become lines, see :meth:`Contributions.matches`.
    """

    explainer_id = "point_to_point"
    version = "1"

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> PointToPointSession:
        """Take the query's embedding apart, see :class:`.base.Explainer`.

        Raises:
            UnsupportedArchitecture: the network does not pool by average or generalised mean with an affine rest.
            SettingsError: a layer was asked for that is not the one that the network pools.
        """
        return PointToPointSession(model, query, settings)

    def partner_map(
        self,
        model: EmbeddingModel,
        query: Chip,
        candidate: Chip,
        point: tuple[float, float],
        *,
        side: int = 0,
        settings: Settings = Settings(),
    ) -> NDArray[np.float32]:
        """Answer "this point here, where there?" once; :meth:`PointToPointSession.partner_map` is for many points."""
        return self.prepare(model, query, settings).partner_map(candidate, point, side=side)


class PointToPointSession:
    """One query, taken apart; see :class:`.base.QuerySession`."""

    def __init__(self, model: EmbeddingModel, query: Chip, settings: Settings) -> None:
        self._rule = choice(settings, "point_pairs", "once", PAIRS)
        self._model, self._query, self._settings = model, query, settings
        self.layer = _layer_of(model, settings)
        self._head = Head(model.network, [self.layer], model.input_size)
        feature_maps, embeddings = self._run([query])
        self._pooling = self._found_pooling(feature_maps[0], embeddings[0])
        self._parts = take_apart(self._head, self.layer, self._pooling, feature_maps[0], embeddings[0])
        self._newest: tuple[str, Contributions] | None = None

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """Explain candidates in one forward pass, see :class:`.base.QuerySession`."""
        if not candidates:
            return []
        clock = Clock()
        found = []
        for chip, contributions in zip(candidates, self._contributions(candidates, clock)):
            with clock.stage("matching"):
                layer = self._layer(contributions)
            found.append((contributions.similarity, layer, self._doubts(chip, contributions, layer)))
        return [
            PairEvidence(
                similarity=similarity, layers=(layer,), seconds=clock.shared(len(candidates)), doubts=doubts
            )
            for similarity, layer, doubts in found
        ]

    def contributions(self, candidate: Chip) -> Contributions:
        """Return what every pair of cells adds to the cosine; that of the newest candidate is kept."""
        newest = self._newest
        if newest is None or newest[0] != candidate.sha256:
            newest = candidate.sha256, self._contributions([candidate], Clock())[0]
            self._newest = newest
        return newest[1]

    def partner_map(self, candidate: Chip, point: tuple[float, float], *, side: int = 0) -> NDArray[np.float32]:
        """Answer "this point here, where there?".

        Args:
            point: (x, y) in shares of the query's chip, or of the candidate's with `side` 1.

        Returns:
            (h, w) float32 of the other side, signed, in units of the cosine: what each of its cells adds to the
            similarity together with the cell that the point lies in.

        Raises:
            SettingsError: the point lies outside of the chip, or the side is neither 0 nor 1.
        """
        return self.contributions(candidate).partner(point, side)

    def _found_pooling(self, feature_map: torch.Tensor, embedding: torch.Tensor) -> Pooling:
        try:
            return find_pooling(self._head, self.layer, feature_map, embedding)
        except UnsupportedArchitecture as refused:
            pooled = last_feature_map(self._model.network, self._model.input_size)
            if self.layer == pooled:
                raise
            raise SettingsError(
                f"point_to_point takes the network's pooling apart, so it stands on the layer that is pooled, "
                f"'{pooled}', and not on '{self.layer}'; leave the layer out"
            ) from refused

    def _run(self, chips: Sequence[Chip]) -> tuple[torch.Tensor, torch.Tensor]:
        heads = self._head.forward(self._model.tensor([chip.pixels for chip in chips]))
        return heads.feature_maps[self.layer], heads.embedding.detach()

    def _contributions(self, candidates: Sequence[Chip], clock: Clock) -> list[Contributions]:
        with clock.stage("forward"):
            feature_maps, embeddings = self._run(candidates)
        with clock.stage("relevance"):
            sides = [
                take_apart(self._head, self.layer, self._pooling, *one) for one in zip(feature_maps, embeddings)
            ]
            return [_contributions(self._parts, side) for side in sides]

    def _layer(self, contributions: Contributions) -> LayerEvidence:
        # No plausibility figures: on grids as coarse as the last one a pose proves little. On the sample data's 7 x 7
        # cells the leading pairs of half of all different individuals of a species fit one pose.
        none = np.zeros((0, *self._model.input_size), np.float32)
        return LayerEvidence(
            layer_key=self.layer,
            relevance_0=contributions.overall(0),
            relevance_1=contributions.overall(1),
            matches=contributions.matches(self._rule),
            pixels_0=none,
            pixels_1=none,
            k_lines=self._settings.k_lines,
        )

    def _doubts(self, chip: Chip, contributions: Contributions, layer: LayerEvidence) -> tuple[Doubt, ...]:
        doubts = same_picture(self._query, chip)
        values = {"layer": layer.layer_key, "matches": len(layer.matches)}
        if len(layer.matches) < _FEW:
            message = f"only {len(layer.matches)} pairs of cells add to the similarity (layer '{layer.layer_key}')"
            doubts.append(Doubt(code="FEW_MATCHES", message=message, values=values))
        residual = contributions.residual
        if self._pooling.power is not None:
            doubts.append(_linearised(float(self._pooling.power.float().mean()), residual))
        elif abs(residual) > _ROUNDING:
            doubts.append(_inexact(residual))
        return (*doubts, *map_doubts([layer]))


def _layer_of(model: EmbeddingModel, settings: Settings) -> str:
    if len(settings.layers) > 1:
        raise SettingsError(
            f"point_to_point stands on one layer, the one that the network pools, and {len(settings.layers)} were "
            f"asked for ({', '.join(settings.layers)}); leave them out"
        )
    return settings.layers[0] if settings.layers else last_feature_map(model.network, model.input_size)


def _contributions(query: CellParts, candidate: CellParts) -> Contributions:
    lengths = float(query.embedding.norm()), float(candidate.embedding.norm())
    scale = lengths[0] * lengths[1]
    return Contributions(
        parts=(query.parts.numpy(), candidate.parts.numpy()),
        lengths=lengths,
        grids=(query.grid, candidate.grid),
        similarity=float(query.embedding @ candidate.embedding) / scale if scale > 0 else 0.0,
    )


def _linearised(power: float, residual: float) -> Doubt:
    message = (
        f"the network pools by a generalised mean (p = {power:.2f}), which is linearised about these two pictures: "
        f"the contributions hold for them as they are, and their sum misses the similarity by {residual:.1e}"
    )
    values = {"power": round(power, 2), "residual": float(f"{residual:.1e}")}
    return Doubt(code="POOLING_LINEARISED", message=message, values=values)


def _inexact(residual: float) -> Doubt:
    message = f"the contributions should add up to the similarity and miss it by {residual:.1e}"
    return Doubt(code="SUM_INEXACT", message=message, values={"residual": float(f"{residual:.1e}")})
