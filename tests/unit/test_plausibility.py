"""Plausibility figures: what they are on clean, disturbed and random matches, and where they are missing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from pairx_plugin.errors import EvidenceError
from pairx_plugin.homography import fit_homography, transfer_distances
from pairx_plugin.plausibility import Plausibility, assess

GRID, SIZE = 28, 440
STEP = SIZE / GRID


def scene(outliers: float, seed: int, n: int = 300, step: float = STEP) -> dict[str, np.ndarray]:
    """Matches on a grid under a mild homography, rounded to cells; a share of them is sent anywhere."""
    rng = np.random.default_rng(seed)
    turn, scale = rng.uniform(-0.2, 0.2), rng.uniform(0.85, 1.1)
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    shift = rng.uniform(-30, 30, 2)
    pose = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [*(1e-4 * rng.normal(size=2)), 1.0]])
    order = rng.permutation(GRID * GRID)
    points_0 = (np.stack([order % GRID, order // GRID], axis=1) + 0.5) * step
    mapped = np.column_stack([points_0, np.ones(len(points_0))]) @ pose.T
    points_1 = mapped[:, :2] / mapped[:, 2:]
    seen = ((points_1 > 0) & (points_1 < GRID * step)).all(axis=1)
    points_0, points_1 = points_0[seen][:n], (np.floor(points_1[seen][:n] / step) + 0.5) * step
    wrong = rng.random(len(points_0)) < outliers
    cells = rng.permutation(GRID * GRID)[: wrong.sum()]
    points_1[wrong] = (np.stack([cells % GRID, cells // GRID], axis=1) + 0.5) * step
    return {"points_0": points_0, "points_1": points_1, "wrong": wrong}


def figures(points_0: np.ndarray, points_1: np.ndarray, **changes: object) -> Plausibility:
    n = len(points_0)
    cells_0, cells_1 = (
        np.floor(np.reshape(points, (-1, 2))[:, ::-1] / STEP).astype(int) if name not in changes else None
        for name, points in (("cells_0", points_0), ("cells_1", points_1))
    )
    arguments: dict[str, object] = {
        "points_0": points_0,
        "points_1": points_1,
        "relevance": np.linspace(2.0, 1.0, n),
        "relevance_map_0": np.ones((GRID, GRID)),
        "relevance_map_1": np.ones((GRID, GRID)),
        "cells_0": cells_0,
        "cells_1": cells_1,
        "grid_step": (STEP, STEP),
    }
    return assess(**{**arguments, **changes})  # type: ignore[arg-type]


def codes(result: Plausibility) -> list[str]:
    return [reason.code for reason in result.reasons]


def mean_figures(outliers: float, k: int) -> dict[str, float]:
    made = [scene(outliers, seed) for seed in range(6)]
    results = [figures(one["points_0"], one["points_1"], k=k) for one in made]
    return {
        name: float(np.mean([getattr(result, name) for result in results]))
        for name in ("irm_ref", "irm_rob", "inlier_fraction")
    }


def test_known_simulation_is_reproduced() -> None:
    clean, half, fifth, chance = (mean_figures(outliers, k=300) for outliers in (0.0, 0.5, 0.8, 1.0))
    # the reference figure has little range: 5 px are below the grid step, and its mean includes the outliers
    assert 0.11 < clean["irm_ref"] < 0.17
    assert 0.006 < half["irm_ref"] < 0.011
    assert chance["irm_ref"] < 0.005
    assert 0.68 < clean["irm_rob"] < 0.78
    assert chance["irm_rob"] + 0.15 < half["irm_rob"] < clean["irm_rob"] - 0.15
    assert fifth["irm_rob"] < 0.12  # more than half of the matches wrong: a median must fail
    assert clean["inlier_fraction"] == 1.0
    assert abs(half["inlier_fraction"] - 0.5) < 0.05
    assert abs(fifth["inlier_fraction"] - 0.2) < 0.04
    assert chance["inlier_fraction"] < 0.04


@pytest.mark.parametrize("outliers", [0.0, 0.3, 0.5])
def test_inliers_are_the_true_matches(outliers: float) -> None:
    made = scene(outliers, seed=2)
    result = figures(made["points_0"], made["points_1"], k=300)
    inlier = np.array(result.inlier, dtype=bool)
    assert (inlier == ~made["wrong"]).mean() > 0.97
    assert result.n_inliers == int(inlier.sum())
    assert codes(result) == ["POSE_CONSISTENT"]
    values = {"n": result.n_inliers, "of": result.n_tested, "by_chance": result.n_chance}
    assert result.reasons[0].values == values


@pytest.mark.parametrize("seed", range(8))
def test_random_matches_are_not_called_consistent(seed: int) -> None:
    made = scene(1.0, seed)
    result = figures(made["points_0"], made["points_1"])
    assert codes(result) == ["POSE_AS_BY_CHANCE"]
    assert (result.n_tested, result.n_matches) == (20, len(made["points_0"]))
    assert 4 <= (result.n_inliers or 0) <= 7


def test_exact_matches_have_no_residual() -> None:
    made = scene(0.0, seed=1)
    pose = np.array([[0.9, -0.2, 40.0], [0.2, 0.9, 10.0], [1e-4, -1e-4, 1.0]])
    mapped = np.column_stack([made["points_0"], np.ones(len(made["points_0"]))]) @ pose.T
    exact = mapped[:, :2] / mapped[:, 2:]
    fit = fit_homography(made["points_0"], exact, threshold=5.0, symmetric=False)
    assert fit is not None
    np.testing.assert_allclose(fit.matrix / fit.matrix[2, 2], pose, atol=1e-6)
    assert fit.inlier.all()
    assert fit.distances.max() < 1e-6


def test_picture_against_itself_is_perfect() -> None:
    points = scene(0.0, seed=3)["points_0"]
    result = figures(points, points)
    assert result.irm_ref == pytest.approx(1.0, abs=1e-6)
    assert result.irm_rob == pytest.approx(1.0, abs=1e-6)
    assert result.inlier_fraction == 1.0


def test_mirrored_side_is_fitted_as_well() -> None:
    points = scene(0.0, seed=3)["points_0"]
    fit = fit_homography(points, [SIZE, 0] + points * [-1, 1], threshold=1.0, symmetric=True)
    assert fit is not None
    assert fit.inlier.all()


@pytest.mark.parametrize(("outliers", "noise"), [(0.0, 0.5), (0.0, 2.0), (0.3, 1.0), (0.6, 1.0)])
def test_reference_figure_is_that_of_opencv(outliers: float, noise: float) -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python is not installed")
    for seed in range(4):
        rng = np.random.default_rng(seed)
        points_0 = rng.uniform(0, SIZE, (200, 2))
        pose = np.array([[0.95, -0.15, 30.0], [0.1, 1.05, -20.0], [1e-4, 5e-5, 1.0]])
        mapped = np.column_stack([points_0, np.ones(200)]) @ pose.T
        points_1 = mapped[:, :2] / mapped[:, 2:] + rng.normal(0, noise, (200, 2))
        wrong = rng.random(200) < outliers
        points_1[wrong] = rng.uniform(0, SIZE, (wrong.sum(), 2))
        matrix, mask = cv2.findHomography(points_0, points_1, cv2.RANSAC, 5.0)
        residual = np.linalg.norm(cv2.perspectiveTransform(points_0[None], matrix)[0] - points_1, axis=1)
        fit = fit_homography(points_0, points_1, threshold=5.0, symmetric=False)
        assert fit is not None
        assert int(fit.inlier.sum()) >= int(mask.sum()) - 2
        true = transfer_distances(pose[None], points_0, points_1, symmetric=False)[0] <= 5.0
        assert int(fit.inlier.sum()) <= int(true.sum()) + 8
        cells = np.zeros((200, 2), int)
        ours = figures(points_0, points_1, cells_0=cells, cells_1=cells).irm_ref
        assert ours == pytest.approx(1.0 / (1.0 + residual.mean()), rel=0.1)


def test_mean_relevance_is_of_the_top_twenty() -> None:
    points = scene(0.0, seed=4, n=50)["points_0"]
    relevance = np.arange(50.0, 0.0, -1.0)
    assert figures(points, points, relevance=relevance).mc_ref == pytest.approx(40.5)
    assert figures(points[:3], points[:3], relevance=relevance[:3]).mc_ref == pytest.approx(49.0)
    assert figures(points, points, relevance=np.full(50, 1e308)).mc_ref == pytest.approx(1e308)


def test_coverage_is_the_share_of_relevance_on_the_leading_cells() -> None:
    map_0, map_1 = np.zeros((5, 4)), np.zeros((10, 10))  # 10 % are 2 and 10 cells
    map_0[0, 0], map_0[1, 1], map_0[2, 2], map_0[4, 3] = 4.0, 3.0, 2.0, 1.0
    map_1[:3] = 1.0
    points = np.array([[10.0, 10.0], [50.0, 10.0], [10.0, 90.0]])
    result = figures(
        points, points, relevance_map_0=map_0, relevance_map_1=map_1 * 1e300,
        cells_0=[[0, 0], [1, 1], [2, 2]], cells_1=[[0, 0], [9, 9], [2, 2]],
    )
    assert result.match_coverage == pytest.approx(0.5 * (0.7 + 2 / 30))


def test_cell_matched_twice_counts_once() -> None:
    points = np.array([[10.0, 10.0], [50.0, 10.0]])
    cells = [[0, 0], [0, 0]]
    result = figures(points, points, relevance_map_0=np.ones((20, 1)), relevance_map_1=np.ones((20, 1)),
                     cells_0=cells, cells_1=cells)
    assert result.match_coverage == pytest.approx(0.05)


@pytest.mark.parametrize("side", [0, 1])
def test_map_without_relevance_is_a_reason_not_a_nan(side: int) -> None:
    points = scene(0.0, seed=4)["points_0"]
    result = figures(points, points, **{f"relevance_map_{side}": np.zeros((GRID, GRID))})
    assert result.match_coverage is None
    assert result.reasons[0].to_json() == {"code": "RELEVANCE_ZERO", "values": {"side": side}}
    assert result.irm_rob == pytest.approx(1.0, abs=1e-6)


def test_no_matches_at_all() -> None:
    none = np.zeros((0, 2))
    result = figures(none, none, relevance=[], cells_0=[], cells_1=[])
    assert codes(result) == ["NO_MATCHES", "TOO_FEW_MATCHES"]
    assert (result.irm_ref, result.mc_ref, result.irm_rob, result.inlier_fraction) == (None,) * 4
    assert (result.match_coverage, result.inlier, result.n_matches) == (0.0, (), 0)


@pytest.mark.parametrize("n", [1, 3, 4, 7])
def test_few_matches_are_not_tested(n: int) -> None:
    made = scene(0.0, seed=6, n=n)
    result = figures(made["points_0"], made["points_1"])
    assert (result.irm_ref is None) == (n < 4)
    assert (result.irm_rob, result.inlier_fraction, result.n_inliers, result.n_chance) == (None,) * 4
    assert result.inlier == (None,) * n
    assert result.reasons[-1].to_json() == {"code": "TOO_FEW_MATCHES", "values": {"n": n, "needed": 8}}


LINE = np.column_stack([np.arange(12) * 20.0 + 10, np.arange(12) * 10.0 + 5])


@pytest.mark.parametrize(
    ("points_0", "points_1"),
    [
        pytest.param(LINE, LINE, id="collinear"),
        pytest.param(scene(0.0, 1, n=12)["points_0"], LINE, id="collinear on one side"),
        pytest.param(np.full((12, 2), 50.0), np.full((12, 2), 50.0), id="one point"),
        pytest.param(scene(0.0, 1, n=12)["points_0"], np.full((12, 2), 50.0), id="one point on one side"),
        pytest.param(np.vstack([LINE[:11], [[300.0, 5.0]]]), LINE, id="all but one collinear"),
    ],
)
def test_degenerate_geometry_is_a_reason(points_0: np.ndarray, points_1: np.ndarray) -> None:
    result = figures(points_0, points_1)
    assert codes(result) == ["DEGENERATE_GEOMETRY"]
    assert (result.irm_ref, result.irm_rob, result.n_inliers) == (None, None, None)
    assert result.inlier == (None,) * 12


def test_grid_steps_of_both_sides_and_axes_count() -> None:
    made = scene(0.0, seed=7)
    stretched = made["points_1"] * [3.0, 0.5]
    cells = np.zeros((len(stretched), 2), int)
    same = figures(made["points_0"], made["points_1"], cells_1=cells)
    other = figures(made["points_0"], stretched, cells_1=cells,
                    grid_step=((STEP, STEP), (3.0 * STEP, 0.5 * STEP)))
    assert other.irm_rob == pytest.approx(same.irm_rob)
    assert other.inlier == same.inlier


def test_same_seed_same_figures() -> None:
    made = scene(0.7, seed=8)
    results = [figures(made["points_0"], made["points_1"], k=300, seed=5).to_json() for _ in range(2)]
    assert results[0] == results[1]


def test_record_is_plain_json() -> None:
    made = scene(0.5, seed=9)
    record = figures(made["points_0"].astype(np.float32), made["points_1"].astype(np.float32)).to_json()
    again = json.loads(json.dumps(record, allow_nan=False))
    assert again == record
    named = {"irm_ref", "mc_ref", "irm_rob", "inlier_fraction", "match_coverage", "inlier", "reasons"}
    assert set(record) == named | {"n_inliers", "n_chance", "n_tested", "n_matches"}
    assert len(record["inlier"]) == record["n_tested"] == 20


def test_distances_beyond_the_horizon_are_infinite() -> None:
    matrix = np.array([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-0.01, 0.0, 1.0]]])
    points = np.array([[50.0, 0.0], [100.0, 0.0], [150.0, 0.0]])
    distances = transfer_distances(matrix, points, np.zeros((3, 2)), symmetric=False)
    assert distances[0].tolist() == [100.0, np.inf, np.inf]


TWELVE = scene(0.0, 1, n=12)["points_0"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"relevance": np.ones(11)}, "one row for each match", id="lengths"),
        pytest.param({"relevance": np.full(12, np.nan)}, "12 values that are not finite", id="nan"),
        pytest.param({"points_1": np.full((12, 2), np.inf)}, "points_1", id="infinite"),
        pytest.param({"points_1": np.full((12, 2), 1e9)}, "at most 1e+06", id="far away"),
        pytest.param({"points_0": np.ones((12, 3))}, "(n, 2)", id="three columns"),
        pytest.param({"relevance_map_0": -np.ones((28, 28))}, "below 0", id="signed map"),
        pytest.param({"relevance_map_0": np.ones(28)}, "rank 2", id="flat map"),
        pytest.param({"cells_1": np.full((12, 2), GRID)}, "cells_1 must hold", id="cell outside"),
        pytest.param({"cells_0": np.full((12, 2), 0.5)}, "cells_0 must hold whole", id="half a cell"),
        pytest.param({"grid_step": (0.0, 5.0)}, "grid_step", id="no step"),
        pytest.param({"grid_step": 15.7}, "grid_step", id="one step"),
        pytest.param({"k": 0}, "k is 0", id="nothing tested"),
        pytest.param({"relevance": "many"}, "not an array of numbers", id="text"),
    ],
)
def test_arrays_that_do_not_fit_are_named(changes: dict[str, object], says: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        figures(**{"points_0": TWELVE, "points_1": TWELVE, "cells_0": np.zeros((12, 2)),
                   "cells_1": np.zeros((12, 2)), **changes})  # type: ignore[arg-type]
    assert says in str(caught.value)
