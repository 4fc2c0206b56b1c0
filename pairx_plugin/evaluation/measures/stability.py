"""Section 4.6: changes that do not matter must not matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...evidence import Matches, cell_points
from ..bench import Bench, Explained, with_pixels
from ..disturbances import as_jpeg, noisy, shifted
from ..map_agreement import match_jaccard, sample_at, spearman
from ..pair_choice import EvaluationPair
from ..variants import Variant
from .measured import Measured

__all__ = ["measure_stability"]

Floats = NDArray[np.floating]
_SHIFT = 2  # pixels


def measure_stability(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return rank correlation of the maps and overlap of the matches under each change."""
    query, candidate = bench.pair(pair)
    rivals = bench.rivals(pair)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=rivals)
    measured = Measured()
    noise = bench.rng("noise", pair.pair_id)
    size = candidate.size
    changed = {
        "noise": noisy(candidate.chip.pixels, noise),
        "jpeg": as_jpeg(candidate.chip.pixels),
        "shift": shifted(candidate.chip.pixels, _SHIFT),
    }
    for name, picture in changed.items():
        again = bench.explain(variant, query.chip, with_pixels(candidate.chip, picture), rivals=rivals)
        maps = (again.maps[0], _unshifted(again.maps[1], size) if name == "shift" else again.maps[1])
        _compare(bench, name, found, maps, again.leading(bench.plan.top_k), measured)
        _same_attribute(name, found, [again], measured)
    _reseeded(bench, variant, pair, found, measured)
    _turned(bench, variant, pair, found, measured)
    return measured


def _reseeded(bench: Bench, variant: Variant, pair: EvaluationPair, found: Explained, measured: Measured) -> None:
    """Compare with the same pair's evidence from every further seed of the plan."""
    query, candidate = bench.pair(pair)
    rivals, further = bench.rivals(pair), range(1, bench.plan.n_seeds + 1)
    again = [
        bench.explain(variant, query.chip, candidate.chip, rivals=rivals, seed=variant.settings.seed + more)
        for more in further
    ]
    each = [Measured() for _ in again]
    for one, other in zip(each, again):
        _compare(bench, "seed", found, other.maps, other.leading(bench.plan.top_k), one)
    for name, reason in (("seed_rho", "MAP_CONSTANT"), ("seed_jaccard", "NO_MATCHES")):
        measured.mean(name, [one.figures.get(name) for one in each], reason)
    _same_attribute("seed", found, again, measured)


def _turned(bench: Bench, variant: Variant, pair: EvaluationPair, found: Explained, measured: Measured) -> None:
    """Compare with the sides exchanged, and with both pictures mirrored."""
    query, candidate = bench.pair(pair)
    rivals = bench.rivals(pair)
    swapped = bench.explain(variant, candidate.chip, query.chip, rivals=rivals)
    matches = swapped.leading(bench.plan.top_k)
    _compare(bench, "swap", found, swapped.maps[::-1], _exchanged(matches), measured)
    _same_attribute("swap", found, [swapped], measured)
    flipped = bench.explain(
        variant,
        with_pixels(query.chip, query.chip.pixels[:, ::-1]),
        with_pixels(candidate.chip, candidate.chip.pixels[:, ::-1]),
        rivals=[with_pixels(chip, chip.pixels[:, ::-1]) for chip in rivals],
    )
    mirrored = (flipped.maps[0][:, ::-1], flipped.maps[1][:, ::-1])
    grids = flipped.layer.grid_0[1], flipped.layer.grid_1[1]
    _compare(bench, "flip", found, mirrored, _mirrored(flipped.leading(bench.plan.top_k), *grids), measured)
    _same_attribute("flip", found, [flipped], measured)


def _compare(
    bench: Bench, name: str, found: Explained, maps: tuple[Floats, ...], matches: Matches, measured: Measured
) -> None:
    rhos = [spearman(a, b) for a, b in zip(found.maps, maps) if a.shape == b.shape]
    measured.mean(f"{name}_rho", rhos, "MAP_CONSTANT")
    first = found.leading(bench.plan.top_k)
    shared = match_jaccard((first.cells_0, first.cells_1), (matches.cells_0, matches.cells_1))
    measured.put(f"{name}_jaccard", shared, "NO_MATCHES")


def _same_attribute(name: str, found: Explained, again: Sequence[Explained], measured: Measured) -> None:
    """Count how often the first attribute stays the first; nothing is said of explainers that named none."""
    first, *others = (_top_attribute(item) for item in (found, *again))
    if first is not None:
        measured.mean(f"{name}_attribute", [float(other == first) for other in others])


def _top_attribute(found: Explained) -> str | None:
    named = found.evidence.attributes
    return named[0].name if named else None


def _unshifted(values: NDArray[np.float32], size: tuple[int, int]) -> Floats:
    """Read a map of the moved picture where each cell of the still one went."""
    rows, cols = values.shape
    cells = np.stack([grid.ravel() for grid in np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")], axis=1)
    places = cell_points(cells, (rows, cols), size).astype(np.float64) + _SHIFT
    return sample_at(values, places, size).reshape(rows, cols)


def _exchanged(matches: Matches) -> Matches:
    return _with_cells(matches, matches.cells_1, matches.cells_0)


def _mirrored(matches: Matches, cols_0: int, cols_1: int) -> Matches:
    ends = [
        np.stack([cells[:, 0], cols - 1 - cells[:, 1]], axis=1)
        for cells, cols in ((matches.cells_0, cols_0), (matches.cells_1, cols_1))
    ]
    return _with_cells(matches, *ends)


def _with_cells(matches: Matches, cells_0: NDArray[np.int32], cells_1: NDArray[np.int32]) -> Matches:
    return Matches(cells_0=cells_0, cells_1=cells_1, distance=matches.distance, relevance=matches.relevance)
