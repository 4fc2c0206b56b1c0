"""Evidence and photographs from a seed, as a script says: what the host of the review page's tests shows."""

from __future__ import annotations

import numpy as np
from PIL import Image

from pairx_plugin.evidence import Doubt, LayerEvidence, Matches, PairEvidence, cell_points
from pairx_plugin.explainers.maps_only import map_layer
from pairx_plugin.plausibility import assess
from pairx_plugin.review import EvidenceRequest, Partners

__all__ = ["GRID", "left_half", "scripted_evidence", "scripted_partners", "scripted_photograph"]

GRID, INPUT = (14, 14), (112, 112)


def scripted_evidence(rank: int, request: EvidenceRequest, k_colors: int, how: str) -> PairEvidence:
    """Links that fit one pose for odd ranks and none for even ones; maps are blobs at both ends."""
    if how == "maps":
        return PairEvidence(similarity=0.8, layers=(_maps(request),))
    rng = np.random.default_rng(rank)
    n = 3 if how == "few" else 24
    cells_0 = np.stack(np.unravel_index(rng.permutation(100)[:n], (10, 10)), axis=1).astype(np.int32) + 2
    shift = np.array([rank % 2, -1]) if rank % 2 else rng.integers(-2, 3, (n, 2))
    cells_1 = np.clip(cells_0 + shift, 0, 13).astype(np.int32)
    relevance = np.sort(rng.uniform(0.01, 1.0, n))[::-1].copy()
    matches = Matches(
        cells_0=cells_0, cells_1=cells_1, distance=rng.uniform(1, 9, n).astype(np.float32), relevance=relevance
    )
    grids = [np.full(GRID, 0.01, np.float32) for _ in range(2)]
    for grid, cells in zip(grids, (cells_0, cells_1)):
        np.add.at(grid, (cells[:, 0], cells[:, 1]), relevance.astype(np.float32))
    points = [cell_points(cells, GRID, INPUT) for cells in (cells_0, cells_1)]
    figures = assess(
        points_0=points[0],
        points_1=points[1],
        relevance=relevance,
        relevance_map_0=grids[0],
        relevance_map_1=grids[1],
        cells_0=cells_0,
        cells_1=cells_1,
        grid_step=(8.0, 8.0),
        k=request.k_lines,
    )
    none = np.zeros((0, *INPUT), np.float32)
    maps = [np.stack([_blob(point) for point in side[:k_colors]]) if k_colors else none for side in points]
    if how == "signed" and k_colors:
        maps = [side - 0.8 * np.roll(side, 30, axis=2) for side in maps]
    layer = LayerEvidence(
        layer_key=request.layer_key or "blocks.3",
        relevance_0=grids[0],
        relevance_1=grids[1],
        matches=matches,
        pixels_0=maps[0],
        pixels_1=maps[1],
        plausibility=figures,
        k_lines=request.k_lines,
    )
    doubt = Doubt(code="FEW_MATCHES", message="few", values={"layer": "blocks.3", "matches": n})
    return PairEvidence(similarity=0.8, layers=(layer,), doubts=(doubt,) if how == "doubtful" else ())


def scripted_partners() -> Partners:
    """Every cell adds most together with the one to its right, and takes most from the one below it."""
    rows, cols = GRID
    table = np.full((rows * cols, rows * cols), 1e-4, np.float32)
    for cell in range(rows * cols):
        row, col = divmod(cell, cols)
        table[cell, row * cols + min(cols - 1, col + 1)] += 0.01
        table[cell, min(rows - 1, row + 1) * cols + col] -= 0.02
    return Partners(table=table, grids=(GRID, GRID))


def left_half(seed: int) -> list[float]:
    height, width = scripted_photograph(seed).shape[:2]
    return [0, 0, width / 2, 0, width / 2, height, 0, height]


def _maps(request: EvidenceRequest) -> LayerEvidence:
    """The upper half of both speaks for the similarity, the lower against it; there are no links."""
    halves = np.repeat(np.array([[1.0], [-0.5]], np.float32), 2, axis=1)
    return map_layer(request.layer_key or "blocks.3", (halves, halves), INPUT)


def _blob(point: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0 : INPUT[0], 0 : INPUT[1]]
    return np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 200.0).astype(np.float32)


def scripted_photograph(seed: int) -> np.ndarray:
    """A soft procedural picture of its own proportions."""
    rng = np.random.default_rng(seed)
    width, height = (360, 240) if seed % 2 else (300, 280)
    coarse, fine = (
        Image.fromarray(rng.integers(*extent, (*cells, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
        for extent, cells in (((60, 200), (7, 9)), ((0, 256), (40, 50)))
    )
    return np.array(Image.blend(coarse, fine, 0.25))
