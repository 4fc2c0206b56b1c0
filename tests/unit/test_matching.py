from __future__ import annotations

import numpy as np
import pytest
import torch

from pairx_plugin import matching
from pairx_plugin.errors import EvidenceError
from pairx_plugin.matching import match_cells, mutual_nearest_neighbours, reduce_channels


def as_sets(here, there):
    return set(zip(here.tolist(), there.tolist()))


def test_only_mutual_neighbours_are_paired():
    points_0 = torch.tensor([[0.0], [10.0], [11.0]], dtype=torch.float64)
    points_1 = torch.tensor([[0.5], [10.9]], dtype=torch.float64)
    here, there, distance = mutual_nearest_neighbours(points_0, points_1)
    assert as_sets(here, there) == {(0, 0), (2, 1)}
    assert distance.tolist() == pytest.approx([0.5, 0.1])


def test_identical_descriptors_pair_with_themselves():
    descriptors = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    here, there, distance = mutual_nearest_neighbours(descriptors, descriptors)
    assert here.tolist() == there.tolist() == list(range(50))
    assert distance.tolist() == [0.0] * 50


def test_of_equals_the_first_is_taken():
    here, there, _ = mutual_nearest_neighbours(torch.ones(4, 3), torch.ones(5, 3))
    assert as_sets(here, there) == {(0, 0)}


@pytest.mark.parametrize("n_0, n_1, n_different", [(225, 361, 1), (187, 139, 2), (441, 127, 5)])
def test_of_equals_the_first_is_taken_wherever_it_lies(n_0, n_1, n_different):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(n_different)
    different = rng.normal(size=(n_different, 112)).astype(np.float32) * 10
    sides = [different[rng.integers(0, n_different, n)] for n in (n_0, n_1)]  # as of pictures with empty parts
    here, there, _ = mutual_nearest_neighbours(*map(torch.from_numpy, sides))
    theirs = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(*sides)
    assert as_sets(here, there) == {(match.queryIdx, match.trainIdx) for match in theirs}
    assert here.tolist() == sorted(here.tolist()) and len(here) == n_different


def test_zeros_of_either_sign_are_equal():
    sides = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [5.0, 5.0]]), torch.tensor([[0.0, -0.0], [-0.0, 1.0], [0.0, 1.0]])
    here, there, distance = mutual_nearest_neighbours(*sides)
    assert (here.tolist()[0], there.tolist()[0], distance.tolist()[0]) == (0, 1, 0.0)


@pytest.mark.parametrize("chunk_bytes", [8 * 30, 8 * 30 * 7, 2**26], ids=["row by row", "seven rows", "at once"])
def test_chunks_change_nothing(chunk_bytes, monkeypatch):
    generator = torch.Generator().manual_seed(1)
    descriptors_0, descriptors_1 = torch.randn(41, 4, generator=generator), torch.randn(30, 4, generator=generator)
    distances = torch.cdist(descriptors_0.double(), descriptors_1.double())
    expected = {
        (row, int(distances[row].argmin()))
        for row in range(41)
        if int(distances[:, distances[row].argmin()].argmin()) == row
    }
    monkeypatch.setattr(matching, "_CHUNK_BYTES", chunk_bytes)
    here, there, distance = mutual_nearest_neighbours(descriptors_0, descriptors_1)
    assert as_sets(here, there) == expected
    torch.testing.assert_close(distance, distances[here, there])


def test_matches_are_opencv_s_with_cross_check():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(3)
    maps = [rng.normal(size=(16, 12, 14)).astype(np.float32) for _ in range(2)]
    theirs = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(*(m.reshape(16, -1).T.copy() for m in maps))
    ones = np.ones((12, 14), np.float32)
    ours = match_cells(*(torch.from_numpy(m) for m in maps), ones, ones)
    found = {(r0 * 14 + c0, r1 * 14 + c1) for (r0, c0), (r1, c1) in zip(ours.cells_0.tolist(), ours.cells_1.tolist())}
    assert found == {(match.queryIdx, match.trainIdx) for match in theirs}
    by_cell = {match.queryIdx: match.distance for match in theirs}
    expected = [by_cell[row * 14 + col] for row, col in ours.cells_0.tolist()]
    np.testing.assert_allclose(ours.distance, expected, rtol=1e-5)


def test_matches_are_ordered_by_the_product_of_relevances():
    features = torch.eye(4).reshape(4, 2, 2)
    relevance_0 = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    relevance_1 = np.array([[9.0, 1.0], [1.0, 1.0]], np.float32)
    matches = match_cells(features, features, relevance_0, relevance_1)
    assert matches.relevance.tolist() == [9.0, 4.0, 3.0, 2.0]
    assert matches.cells_0.tolist() == matches.cells_1.tolist() == [[0, 0], [1, 1], [1, 0], [0, 1]]


def test_products_beyond_float32_stay_finite():
    features = torch.eye(4).reshape(4, 2, 2)
    huge = np.full((2, 2), 1e30, np.float32)
    assert match_cells(features, features, huge, huge).relevance.tolist() == pytest.approx([1e60] * 4)


def test_feature_maps_of_different_sizes_match():
    features_0 = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(2))
    features_1 = torch.cat([features_0, torch.full((5, 2, 4), 50.0)], dim=1)
    matches = match_cells(features_0, features_1, np.ones((3, 4), np.float32), np.ones((5, 4), np.float32))
    assert matches.cells_0.tolist() == matches.cells_1.tolist()
    assert len(matches) == 12


def test_features_that_are_not_finite_are_refused():
    features = torch.zeros(2, 2, 2)
    features[0, 0, 0] = float("nan")
    with pytest.raises(EvidenceError, match="not finite"):
        match_cells(torch.zeros(2, 2, 2), features, np.ones((2, 2), np.float32), np.ones((2, 2), np.float32))


def test_channel_reductions_differ_by_where_the_sign_goes():
    relevance = torch.tensor([[[[1.0]], [[-3.0]]]])
    assert reduce_channels(relevance, "sum_abs").item() == 4.0
    assert reduce_channels(relevance, "abs_sum").item() == 2.0
    with pytest.raises(EvidenceError, match="mean"):
        reduce_channels(relevance, "mean")
