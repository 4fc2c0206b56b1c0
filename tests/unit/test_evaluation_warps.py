"""Known warps: what goes forth comes back, and pictures follow the points."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy", reason="needs the extra 'evaluate'")
from pairx_plugin.evaluation.warps import WARPS  # noqa: E402

SIZE = (96, 128)


@pytest.mark.parametrize("name", WARPS)
def test_points_come_back(name):
    warp = WARPS[name](SIZE, np.random.default_rng(1))
    points = np.random.default_rng(2).uniform((20, 20), (100, 76), (40, 2))
    forth = warp.forward(points)
    assert np.abs(forth - points).max() > 2.0
    assert np.allclose(warp.backward(forth), points, atol=2e-3)


@pytest.mark.parametrize("name", WARPS)
def test_bright_spot_lands_where_the_warp_says(name):
    warp = WARPS[name](SIZE, np.random.default_rng(3))
    picture = np.zeros((*SIZE, 3), np.uint8)
    picture[45:51, 61:67] = 255  # centre (64, 48)
    warped = warp.apply(picture)[..., 0].astype(float)
    rows, cols = np.indices(SIZE) + 0.5
    centre = np.array([(warped * cols).sum(), (warped * rows).sum()]) / warped.sum()
    assert np.linalg.norm(centre - warp.forward(np.array([[64.0, 48.0]]))[0]) < 0.5
    mask = warp.apply_mask(picture[..., 0] > 0)
    assert abs(int(mask.sum()) - (warped > 127).sum()) <= 12


def test_drawn_warps_stay_within_their_limits():
    for seed in range(20):
        moved = WARPS["similarity"](SIZE, np.random.default_rng(seed)).forward(np.array([[64.0, 48.0], [74.0, 48.0]]))
        assert np.allclose(moved[0], (64, 48)) and 7.9 < np.linalg.norm(moved[1] - moved[0]) < 12.6
        corner = WARPS["homography"](SIZE, np.random.default_rng(seed)).forward(np.array([[0.0, 0.0]]))[0]
        assert (np.abs(corner) <= (12.9, 9.7)).all()


def test_points_outside_are_told_apart():
    warp = WARPS["similarity"](SIZE, np.random.default_rng(0))
    assert warp.inside(np.array([[64.0, 48.0]])).all() and not warp.inside(np.array([[1e4, 1e4]])).any()
