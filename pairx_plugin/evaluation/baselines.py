"""Null baselines: explanations that know nothing of why two chips are similar, and should do badly.

They are explainers like any other, known to the evaluation alone. KPCA-CAM knows the picture and the network, and
not the partner, so its map is the same for every candidate.

Source: Karmani et al. 2024, arXiv 2410.00267 (KPCA-CAM); section 4 of the evaluation protocol for the list.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..chips import Chip
from ..errors import ModelError
from ..evidence import LayerEvidence, Matches, PairEvidence, cell_points
from ..explainers.base import Explainer
from ..matching import mutual_nearest_neighbours
from ..models.embedding import EmbeddingModel
from ..models.layers import get_layer, suggest_layer
from ..models.token_grids import to_map, token_layout
from ..plausibility import Plausibility, assess
from ..settings import Settings
from .packages import scikit_learn, scipy

__all__ = ["BASELINES", "baseline_named"]

Floats = NDArray[np.float32]
MapOf = Callable[[torch.Tensor, Chip, np.random.Generator], NDArray[np.float64]]

_SMOOTH = 1.0  # cells


def random_map(features: torch.Tensor, chip: Chip, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return smooth noise on the layer's grid."""
    return np.abs(np.asarray(scipy("ndimage").gaussian_filter(rng.normal(size=features.shape[1:]), _SMOOTH)))


def centre_map(features: torch.Tensor, chip: Chip, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a Gaussian about the centre, its spread a quarter of each side."""
    rows, cols = (np.linspace(-2.0, 2.0, n) if n > 1 else np.zeros(1) for n in features.shape[1:])
    return np.exp(-(rows[:, None] ** 2 + cols[None] ** 2) / 2.0)


def edge_map(features: torch.Tensor, chip: Chip, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the strength of the picture's edges, averaged over the cells of the layer's grid."""
    ndimage = scipy("ndimage")
    grey = ndimage.gaussian_filter(chip.pixels.mean(axis=2), 1.0)
    strength = np.hypot(ndimage.sobel(grey, axis=0), ndimage.sobel(grey, axis=1))
    rows, cols = (np.linspace(0, side, n + 1).astype(int) for side, n in zip(grey.shape, features.shape[1:]))
    summed = np.add.reduceat(np.add.reduceat(strength, rows[:-1], axis=0), cols[:-1], axis=1)
    return np.asarray(summed, np.float64)


def kpca_map(features: torch.Tensor, chip: Chip, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the first kernel principal component of the layer's activations, cell by cell, negative parts cut."""
    cells = features.flatten(1).T.double().cpu().numpy()
    cells = cells - cells.mean(axis=0)
    spread = float(cells.std()) or 1.0
    gamma = 1.0 / (cells.shape[1] * spread**2)
    kernel = scikit_learn("decomposition").KernelPCA(n_components=1, kernel="rbf", gamma=gamma)
    component = kernel.fit_transform(cells)[:, 0].reshape(features.shape[1:])
    # the sign of a component is arbitrary: the side of the stronger activations is taken
    strength = np.linalg.norm(features.flatten(1).double().cpu().numpy(), axis=0).reshape(component.shape)
    sign = 1.0 if float((component * (strength - strength.mean())).sum()) >= 0 else -1.0
    return np.maximum(sign * component, 0.0)


class NullExplainer:
    """An explainer that gives a map without looking at the pair.

    Args:
        explainer_id: what the evaluation calls it.
        map_of: from (C, h, w) activations and the chip to a map.
        by_pair: whether chance draws anew for every pair.
        matched: give mutual matches of the layer, in the map's order.
    """

    version = "1"

    def __init__(self, explainer_id: str, map_of: MapOf, *, by_pair: bool = False, matched: bool = False) -> None:
        self.explainer_id, self.map_of, self.by_pair, self.matched = explainer_id, map_of, by_pair, matched

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> NullSession:
        """Run the query once, see :class:`..explainers.base.Explainer`."""
        return NullSession(self, model, query, settings)


class NullSession:
    """One query; see :class:`..explainers.base.QuerySession`."""

    def __init__(self, null: NullExplainer, model: EmbeddingModel, query: Chip, settings: Settings) -> None:
        self._null, self._model, self._query, self._settings = null, model, query, settings
        own = model.default_layer or suggest_layer(model.network, model.input_size).key
        self._layers = settings.layers or (own,)
        self._query_side = _activations(model, query, self._layers)

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """Return a map of each side for every candidate."""
        return [self._pair(chip) for chip in candidates]

    def _pair(self, candidate: Chip) -> PairEvidence:
        side = _activations(self._model, candidate, self._layers)
        a, b = self._query_side.embedding, side.embedding
        cosine = float(a @ b / max(float(a.norm() * b.norm()), 1e-12))
        layers = tuple(
            self._layer(layer, candidate, self._query_side.features[layer], side.features[layer])
            for layer in self._layers
        )
        return PairEvidence(similarity=cosine, layers=layers)

    def _layer(
        self, layer: str, candidate: Chip, features_0: torch.Tensor, features_1: torch.Tensor
    ) -> LayerEvidence:
        maps = tuple(
            self._null.map_of(features, chip, self._rng(chip, candidate, layer)).astype(np.float32)
            for features, chip in ((features_0, self._query), (features_1, candidate))
        )
        matches = _mutual(features_0, features_1, *maps) if self._null.matched else _no_matches()
        empty = [np.zeros((0, *size), np.float32) for size in (_size(self._query), _size(candidate))]
        return LayerEvidence(
            layer_key=layer,
            relevance_0=maps[0],
            relevance_1=maps[1],
            matches=matches,
            pixels_0=empty[0],
            pixels_1=empty[1],
            plausibility=self._assessed(matches, maps, candidate) if self._null.matched else None,
            k_lines=self._settings.k_lines,
        )

    def _rng(self, chip: Chip, candidate: Chip, layer: str) -> np.random.Generator:
        parts = [chip.sha256, layer, str(self._settings.seed)]
        parts += [self._query.sha256, candidate.sha256] if self._null.by_pair else []
        return np.random.default_rng(list(hashlib.sha256(" ".join(parts).encode()).digest()))

    def _assessed(self, matches: Matches, maps: tuple[Floats, ...], candidate: Chip) -> Plausibility:
        sizes = _size(self._query), _size(candidate)
        grids = [(int(values.shape[0]), int(values.shape[1])) for values in maps]
        return assess(
            points_0=cell_points(matches.cells_0, grids[0], sizes[0]),
            points_1=cell_points(matches.cells_1, grids[1], sizes[1]),
            relevance=matches.relevance,
            relevance_map_0=maps[0],
            relevance_map_1=maps[1],
            cells_0=matches.cells_0,
            cells_1=matches.cells_1,
            grid_step=[(size[1] / grid[1], size[0] / grid[0]) for size, grid in zip(sizes, grids)],
            k=max(1, self._settings.k_lines),
            seed=self._settings.seed,
        )


class _Side:
    def __init__(self, embedding: torch.Tensor, features: Mapping[str, torch.Tensor]) -> None:
        self.embedding, self.features = embedding, features


def _activations(model: EmbeddingModel, chip: Chip, layers: Sequence[str]) -> _Side:
    found: dict[str, torch.Tensor] = {}

    def keep(key: str) -> Callable[..., None]:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            found[key] = output.detach()

        return hook

    handles = [get_layer(model.network, layer).register_forward_hook(keep(layer)) for layer in layers]
    try:
        with torch.no_grad():
            embedding = model.network(model.tensor([chip.pixels]))[0].double().cpu()
    finally:
        for handle in handles:
            handle.remove()
    return _Side(embedding, {key: _as_grid(model, value, key) for key, value in found.items()})


def _as_grid(model: EmbeddingModel, output: torch.Tensor, layer: str) -> torch.Tensor:
    """Return (C, h, w); tokens of a transformer that nobody knows, (N, T, C), are taken for a square grid in rows."""
    layout = token_layout(model.network)
    grid = layout.grid(tuple(output.shape), model.input_size) if layout is not None and layout.holds(layer) else None
    if grid is not None:
        return to_map(output, grid)[0]
    if output.ndim == 4:
        return output[0]
    side = math.isqrt(output.shape[1]) if output.ndim == 3 else 0
    if side < 2:
        raise ModelError(f"layer '{layer}' gives {tuple(output.shape)}, which is no feature map and no grid of tokens")
    return output[0, output.shape[1] - side * side :].T.reshape(-1, side, side)


def _mutual(features_0: torch.Tensor, features_1: torch.Tensor, map_0: Floats, map_1: Floats) -> Matches:
    here, there, distance = mutual_nearest_neighbours(features_0.flatten(1).T, features_1.flatten(1).T)
    rows_0, rows_1 = here.cpu().numpy(), there.cpu().numpy()
    relevance = map_0.ravel()[rows_0].astype(np.float64) * map_1.ravel()[rows_1].astype(np.float64)
    order = np.argsort(-relevance, kind="stable")
    cells = [
        np.stack(np.unravel_index(rows[order], values.shape), axis=1).astype(np.int32)
        for rows, values in ((rows_0, map_0), (rows_1, map_1))
    ]
    return Matches(
        cells_0=cells[0],
        cells_1=cells[1],
        distance=distance.cpu().numpy()[order].astype(np.float32),
        relevance=relevance[order],
    )


def _no_matches() -> Matches:
    cells = np.zeros((0, 2), np.int32)
    return Matches(cells_0=cells, cells_1=cells, distance=np.zeros(0, np.float32), relevance=np.zeros(0))


def _size(chip: Chip) -> tuple[int, int]:
    return chip.height, chip.width


BASELINES: Mapping[str, Callable[[], Explainer]] = {
    "null_random": lambda: NullExplainer("null_random", random_map, by_pair=True),
    "null_centre": lambda: NullExplainer("null_centre", centre_map),
    "null_edges": lambda: NullExplainer("null_edges", edge_map),
    "null_kpca_cam": lambda: NullExplainer("null_kpca_cam", kpca_map),
    "null_matches": lambda: NullExplainer("null_matches", random_map, by_pair=True, matched=True),
}


def baseline_named(explainer_id: str) -> Explainer | None:
    """Return a new baseline of that id, or None."""
    return BASELINES[explainer_id]() if explainer_id in BASELINES else None
