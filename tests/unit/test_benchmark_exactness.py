"""How two implementations' evidence is compared."""

from __future__ import annotations

import numpy as np
import pytest

from pairx_plugin.benchmark.exactness import Found, compare
from pairx_plugin.evidence import LayerEvidence, Matches

MATCHES = [(0, 0, 1, 1), (1, 0, 0, 1), (1, 1, 0, 0)]


def found(matches=MATCHES, *, relevance=1.0, n_pixels=2, change=0.0):
    """Evidence with one pixel map per match; the map of column c, row r is 10 c + r + 1 everywhere."""
    maps = [
        [np.full((4, 4), 10.0 * match[2 * side] + match[2 * side + 1] + 1, np.float32) for match in matches[:n_pixels]]
        for side in (0, 1)
    ]
    if change:
        maps[1][0][2, 3] += change
    grid = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    return Found(relevances=(grid * relevance, grid), matches=matches, pixels=(maps[0], maps[1]))


def test_equal_evidence_does_not_differ():
    exact = compare([(found(), found()), (found(), found())])
    assert (exact.relevance, exact.pixels) == (0.0, 0.0)
    assert (exact.n_pixels, exact.n_pixels_there, exact.n_agreeing, exact.n_lines) == (8, 8, 6, 6)
    assert exact.is_met


def test_largest_difference_is_a_share_of_the_other_s_maximum():
    exact = compare([(found(), found()), (found(relevance=1.01), found())])
    assert exact.relevance == pytest.approx(0.01, rel=1e-3)  # 0.04 of 4
    exact = compare([(found(change=0.6), found())])
    assert exact.pixels == pytest.approx(0.6 / 12)  # the map of cell (1, 1) has 12 everywhere
    assert not exact.is_met


def test_matches_in_another_order_agree_and_maps_are_compared_by_cell():
    exact = compare([(found(MATCHES[::-1], n_pixels=3), found(n_pixels=3))])
    assert (exact.n_agreeing, exact.n_lines, exact.pixels, exact.n_pixels) == (3, 3, 0.0, 6)


def test_maps_of_matches_that_one_side_lacks_are_counted_and_not_compared():
    exact = compare([(found([(1, 1, 0, 0)]), found())])
    assert (exact.n_agreeing, exact.n_lines, exact.n_pixels, exact.n_pixels_there) == (1, 3, 0, 4)
    assert exact.pixels is None and exact.to_json()["pixels"] is None


@pytest.mark.parametrize(
    "broken",
    [
        np.full((2, 2), np.nan, np.float32),
        np.ones((3, 3), np.float32),
    ],
    ids=["not finite", "another shape"],
)
def test_maps_that_do_not_fit_are_no_agreement(broken):
    good = found()
    exact = compare([(Found(relevances=(broken, broken), matches=good.matches, pixels=good.pixels), good)])
    assert exact.relevance == float("inf") and not exact.is_met
    assert exact.to_json()["relevance"] is None and exact.to_json()["is_met"] is False


def test_two_empty_maps_agree():
    zeros = np.zeros((2, 2), np.float32)
    empty = Found(relevances=(zeros, zeros), matches=[], pixels=([], []))
    assert compare([(empty, empty)]).relevance == 0.0


def test_nothing_to_compare_is_none():
    assert compare([]) is None


def test_our_evidence_reads_like_the_public_code_s():
    cells_0, cells_1 = np.array([[0, 1], [1, 1]], np.int32), np.array([[1, 0], [0, 0]], np.int32)
    relevance = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    pixels = np.arange(32, dtype=np.float32).reshape(2, 4, 4)
    layer = LayerEvidence(
        layer_key="x",
        relevance_0=relevance,
        relevance_1=relevance,
        matches=Matches(
            cells_0=cells_0, cells_1=cells_1, distance=np.zeros(2, np.float32), relevance=np.array([2.0, 1.0])
        ),
        pixels_0=pixels,
        pixels_1=pixels,
        k_lines=2,
    )
    public = {
        "intermediate_relevances": (relevance[None], relevance[None]),
        "matches": [[{"coord0": (1, 0), "coord1": (0, 1)}, {"coord0": (1, 1), "coord1": (0, 0)}]],
        "pixel_relevances": tuple([[part[None] for part in pixels]] * 2),
    }
    exact = compare([(Found.of_layer(layer), Found.of_public(public, 0))])
    assert (exact.relevance, exact.pixels, exact.n_pixels, exact.n_agreeing) == (0.0, 0.0, 4, 2)
