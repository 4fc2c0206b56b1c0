"""Section 4.2: what becomes of the similarity when the pixels that an explanation names come or go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...chips import Chip
from ...pixels import Pixels
from ..bench import Bench, Explained
from ..curves import area, insertion_deletion, scaled, stretched
from ..fills import FILLS, OWN_EXTREMES, blurred
from ..pair_choice import EvaluationPair
from ..variants import Variant
from .measured import Measured

__all__ = ["cell_mask", "measure_faithfulness"]


def measure_faithfulness(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return insertion and deletion areas for each fill, averaged over both sides, and pair necessity."""
    query, candidate = bench.pair(pair)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=bench.rivals(pair))
    measured = Measured()
    for fill in bench.plan.fills:
        _areas(bench, found, query.chip, candidate.chip, fill, measured)
    _necessity(bench, found, query.chip, candidate.chip, measured, pair.pair_id)
    return measured


def _areas(bench: Bench, found: Explained, query: Chip, candidate: Chip, fill: str, measured: Measured) -> None:
    suffix = "" if fill == "blur" else f"_{fill}"
    names = [f"insertion{suffix}", f"deletion{suffix}", f"insertion_less_deletion{suffix}"]
    areas: list[tuple[float, float]] = []
    shown = []
    for chip, partner, values in ((query, candidate, found.maps[0]), (candidate, query, found.maps[1])):
        def score(pictures: Sequence[Pixels], partner: Chip = partner) -> NDArray[np.float64]:
            return bench.scores(pictures, partner)

        curves = insertion_deletion(
            chip.pixels, values, FILLS[fill], score, n_steps=bench.plan.n_steps, seed=bench.plan.seed
        )
        inserted, deleted = (
            stretched(curve) if fill in OWN_EXTREMES else scaled(curve, curves.whole, curves.bare)
            for curve in (curves.insertion, curves.deletion)
        )
        if inserted is None or deleted is None:
            continue  # the fill alone is nearly as similar, so there is nothing to take away
        areas.append((area(curves.shares, inserted), area(curves.shares, deleted)))
        shown.append((inserted, deleted))
    reason = "SIMILARITY_HARDLY_CHANGES"
    measured.mean(names[0], [item[0] for item in areas], reason)
    measured.mean(names[1], [item[1] for item in areas], reason)
    measured.mean(names[2], [item[0] - item[1] for item in areas], reason)
    if shown and fill == "blur":
        measured.details["curves"] = {
            name: np.mean([item[index] for item in shown], axis=0).round(4).tolist()
            for index, name in enumerate(("insertion", "deletion"))
        }


def _necessity(
    bench: Bench, found: Explained, query: Chip, candidate: Chip, measured: Measured, pair_id: str
) -> None:
    """Blur both ends of the leading matches, and of as many random mutual ones, and compare what each costs."""
    matches, k = found.layer.matches, bench.plan.necessity_k
    if len(matches) < 2 * k:
        measured.drop(("pair_necessity",), "NO_MATCHES" if not len(matches) else "TOO_FEW_MATCHES")
        return
    rng = bench.rng("necessity", pair_id)
    chosen = [np.arange(k), *(rng.choice(len(matches), k, replace=False) for _ in range(bench.plan.n_draws))]
    sides = []
    for chip, cells, grid in (
        (query, matches.cells_0, found.layer.grid_0),
        (candidate, matches.cells_1, found.layer.grid_1),
    ):
        soft = blurred(chip.pixels)
        masks = [cell_mask(cells[rows], grid, (chip.height, chip.width)) for rows in chosen]
        sides.append(bench.embed([np.where(mask[..., None], soft, chip.pixels) for mask in masks]))
    whole = float(bench.embedding(query) @ bench.embedding(candidate))
    lost = whole - (sides[0] * sides[1]).sum(axis=1)
    measured.put("pair_necessity", float(lost[0] - lost[1:].mean()))


def cell_mask(cells: NDArray[np.int32], grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W) True on the pixels of feature-map cells (n, 2)."""
    coarse = np.zeros(grid, dtype=bool)
    coarse[cells[:, 0], cells[:, 1]] = True
    rows = np.minimum((np.arange(size[0]) + 0.5) * grid[0] / size[0], grid[0] - 1).astype(int)
    cols = np.minimum((np.arange(size[1]) + 0.5) * grid[1] / size[1], grid[1] - 1).astype(int)
    return coarse[np.ix_(rows, cols)]
