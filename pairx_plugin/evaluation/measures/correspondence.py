"""Section 4.5: matches and maps where the true places are known, by warping a picture and on real pairs."""

from __future__ import annotations


import numpy as np
from numpy.typing import NDArray

from ...evidence import Matches, cell_points
from ..bench import Bench, Explained, with_pixels
from ..correspondence import errors, grid_ceiling, pck
from ..disturbances import jittered, pasted, with_background
from ..map_agreement import mass_share, sample_at, spearman
from ..pair_choice import EvaluationPair
from ..subjects import Subject
from ..variants import Variant
from ..warps import WARPS, Move, Warp
from .measured import Measured

__all__ = ["measure_correspondence"]

_SHARES = (("pck_05", 0.05), ("pck_10", 0.10))


def measure_correspondence(bench: Bench, variant: Variant, pair: EvaluationPair) -> Measured:
    """Return keypoint figures under each warp and on the pair itself, masses, and equivariance."""
    query, candidate = bench.pair(pair)
    measured = Measured()
    for name, draw in WARPS.items():
        warp = draw(query.size, bench.rng("warp", name, pair.query_id))
        picture = warp.apply(jittered(query.chip.pixels, bench.rng("jitter", name, pair.query_id)))
        found = bench.explain(variant, query.chip, with_pixels(query.chip, picture), rivals=bench.rivals(pair))
        _keypoints(bench, found, warp.forward, query, query, f"{name}_", measured)
        measured.put(f"{name}_equivariance", _equivariance(found, warp, query.size), "MAP_CONSTANT")
        if name == "similarity":
            _occluder(bench, variant, pair, warp, picture, measured)
            _background(bench, variant, pair, warp, picture, measured)
    found = bench.explain(variant, query.chip, candidate.chip, rivals=bench.rivals(pair))
    _masses(found, query, candidate, measured)
    truth = bench.subject_set.truth
    if truth is None:
        measured.drop(("true_pck_05", "true_pck_10", "true_error", "true_visible"), "PLACES_UNKNOWN")
    else:
        _keypoints(
            bench, found, lambda points: truth.partners(query, candidate, points), query, candidate, "true_", measured
        )
    return measured


def _keypoints(
    bench: Bench, found: Explained, move: Move, query: Subject, candidate: Subject, prefix: str, measured: Measured
) -> None:
    """Judge the leading matches; those whose true end cannot be seen are wrong wherever they end."""
    names = [prefix + name for name in ("pck_05", "pck_10", "error", "visible", "ceiling_05", "ceiling_10")]
    matches = found.leading(bench.plan.top_k)
    if not len(matches):
        measured.drop(names, "NO_MATCHES")
        return
    points_0 = cell_points(matches.cells_0, found.layer.grid_0, query.size).astype(np.float64)
    points_1 = cell_points(matches.cells_1, found.layer.grid_1, candidate.size).astype(np.float64)
    true_ends = np.asarray(move(points_0), np.float64)
    largest = np.array([candidate.size[1], candidate.size[0]])
    inside = np.all((true_ends >= 0) & (true_ends <= largest), axis=1, keepdims=True)
    true_ends = np.where(inside, true_ends, np.nan)
    distances = errors(points_1, true_ends)
    seen = ~np.isnan(distances)
    measured.put(prefix + "visible", float(seen.mean()))
    for name, share in _SHARES:
        right = pck(distances, candidate.size, share)
        measured.put(prefix + name, 0.0 if right is None else right * float(seen.mean()))
        ceiling = grid_ceiling(true_ends, found.layer.grid_1, candidate.size, share)
        measured.put(prefix + name.replace("pck", "ceiling"), ceiling, "NOTHING_VISIBLE")
    step = candidate.size[1] / found.layer.grid_1[1]
    measured.put(prefix + "error", float(distances[seen].mean()) / step if seen.any() else None, "NOTHING_VISIBLE")
    if prefix == "true_":
        limit = 0.10 * max(candidate.size)
        measured.details["right"] = [bool(value <= limit) if ok else None for value, ok in zip(distances, seen)]


def _equivariance(found: Explained, warp: Warp, size: tuple[int, int]) -> float | None:
    """Return the rank correlation of the first map with the second one read where each of its cells went."""
    values = found.maps[0]
    rows, cols = values.shape
    cells = np.stack([grid.ravel() for grid in np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij")], axis=1)
    points = cell_points(cells, (rows, cols), size).astype(np.float64)
    inside = warp.inside(points)
    if inside.sum() < 3:
        return None
    moved = sample_at(found.maps[1], warp.forward(points[inside]), size)
    return spearman(values.ravel()[inside], moved)


def _occluder(
    bench: Bench, variant: Variant, pair: EvaluationPair, warp: Warp, picture: NDArray[np.uint8], measured: Measured
) -> None:
    """Cover a fifth of the warped picture with another animal: nothing there can be evidence."""
    query, _ = bench.pair(pair)
    other = bench.other(pair)
    if other is None:
        measured.drop(("occluder_mass", "occluder_ends", "occluder_pck_10"), "NO_OTHER_INDIVIDUAL")
        return
    covered, mask = pasted(picture, other.chip.pixels, bench.rng("occluder", pair.query_id))
    found = bench.explain(variant, query.chip, with_pixels(query.chip, covered), rivals=bench.rivals(pair))
    measured.put("occluder_mass", mass_share(found.maps[1], mask), "RELEVANCE_ZERO")
    matches = found.leading(bench.plan.top_k)
    if not len(matches):
        measured.drop(("occluder_ends", "occluder_pck_10"), "NO_MATCHES")
        return
    ends = cell_points(matches.cells_1, found.layer.grid_1, query.size)
    measured.put("occluder_ends", float(mask[ends[:, 1].astype(int), ends[:, 0].astype(int)].mean()))
    measured.put("occluder_pck_10", _right_share(found, matches, warp, query))


def _background(
    bench: Bench, variant: Variant, pair: EvaluationPair, warp: Warp, picture: NDArray[np.uint8], measured: Measured
) -> None:
    """Put the warped animal before another background: an explanation that stays on the animal does not mind."""
    query, _ = bench.pair(pair)
    other = bench.other(pair)
    if query.mask is None or other is None:
        reason = "NO_MASK" if query.mask is None else "NO_OTHER_INDIVIDUAL"
        measured.drop(("background_mass", "background_pck_10"), reason)
        return
    animal = warp.apply_mask(query.mask)
    changed = with_background(picture, animal, other.chip.pixels, other.mask)
    found = bench.explain(variant, query.chip, with_pixels(query.chip, changed), rivals=bench.rivals(pair))
    measured.put("background_mass", mass_share(found.maps[1], ~animal), "RELEVANCE_ZERO")
    matches = found.leading(bench.plan.top_k)
    if not len(matches):
        measured.drop(("background_pck_10",), "NO_MATCHES")
        return
    measured.put("background_pck_10", _right_share(found, matches, warp, query))


def _right_share(found: Explained, matches: Matches, warp: Warp, query: Subject) -> float | None:
    """Return the share of matches that end where the warp took their beginning, within 10 % of the longer side."""
    starts = cell_points(matches.cells_0, found.layer.grid_0, query.size).astype(np.float64)
    ends = cell_points(matches.cells_1, found.layer.grid_1, query.size)
    away = np.nan_to_num(errors(ends, warp.forward(starts)), nan=np.inf)  # a place that cannot be followed is wrong
    return pck(away, query.size, 0.10)


def _masses(found: Explained, query: Subject, candidate: Subject, measured: Measured) -> None:
    sides = [(found.maps[0], query.mask), (found.maps[1], candidate.mask)]
    known = [(values, mask) for values, mask in sides if mask is not None]
    if not known:
        measured.drop(("mass_inside", "mass_lift"), "NO_MASK")
        return
    shares = [mass_share(values, mask) for values, mask in known]
    measured.mean("mass_inside", shares, "RELEVANCE_ZERO")
    lifts = [
        share / float(mask.mean()) if share is not None and mask.any() else None
        for share, (_, mask) in zip(shares, known)
    ]
    measured.mean("mass_lift", lifts, "RELEVANCE_ZERO")
