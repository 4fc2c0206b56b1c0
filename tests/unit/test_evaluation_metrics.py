"""Metrics of the evaluation against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pairx_plugin.evaluation.attribute_figures import (
    average_precision,
    calibration_error,
    coverage_accuracy,
    truth_of,
)
from pairx_plugin.evaluation.bootstrap import bootstrap, mean_interval
from pairx_plugin.evaluation.conservation import conservation_error, inflation
from pairx_plugin.evaluation.correspondence import errors, grid_ceiling, pck
from pairx_plugin.evaluation.curves import area, insertion_deletion, pixel_ranks, scaled, stretched
from pairx_plugin.evaluation.disturbances import pasted, shifted, with_background
from pairx_plugin.evaluation.fills import FILLS, blurred, fill_blur, fill_grey, fill_mean, fill_road, fill_white
from pairx_plugin.evaluation.local_geometry import local_affine_residuals
from pairx_plugin.evaluation.map_agreement import (
    displacements,
    mass_share,
    match_jaccard,
    resample,
    sample_at,
    spearman,
)
from pairx_plugin.evaluation.measures.faithfulness import cell_mask
from pairx_plugin.evaluation.separation import auc, balanced_matches, couple_wins, match_by_similarity

pytest.importorskip("scipy", reason="needs the extra 'evaluate'")
pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")


def test_auc_counts_couples_in_order_and_ties_half():
    assert auc([3.0, 1.0], [2.0, 1.0]) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert auc([], [1.0]) is None and auc([1.0], []) is None


def test_mean_of_the_wins_of_couples_is_the_auc():
    rng = np.random.default_rng(0)
    positive, negative = rng.integers(0, 6, 40) / 5 + 0.2, rng.integers(0, 6, 30) / 5
    assert couple_wins(positive, negative).mean() == pytest.approx(auc(positive, negative), abs=1e-12)


def test_negatives_are_matched_once_within_stratum_and_tolerance():
    found = match_by_similarity([0.50, 0.51, 0.90], [0.505, 0.905, 0.5], ["a", "a", "b"], ["a", "b", "c"])
    assert found[2] == 1 and len(found) == 2  # one of the first two takes the only fitting pair of its stratum
    assert match_by_similarity([0.5], [0.52], ["a"], ["a"]) == {}


def test_partners_are_taken_from_both_sides():
    positive, negative = [0.5, 0.6, 0.7, 0.8], [0.494, 0.506, 0.594, 0.606, 0.694, 0.706, 0.794, 0.806]
    found, tolerance, area_of_cosine = balanced_matches(positive, negative, ["a"] * 4, ["a"] * 8)
    assert len(found) == 4 and tolerance == 0.01 and area_of_cosine == 0.5


def test_matching_is_tightened_until_the_cosine_tells_nothing():
    # within 0.01 every positive is a little more similar; only ties are left once the tolerance is small enough
    positive = [0.5, 0.6, 0.7, 0.8]
    negative = [0.493, 0.593, 0.7, 0.8]
    found, tolerance, area_of_cosine = balanced_matches(positive, negative, ["a"] * 4, ["a"] * 4)
    assert found == {2: 2, 3: 3} and tolerance < 0.007 and area_of_cosine == 0.5


def test_interval_is_drawn_over_individuals_and_not_over_pairs():
    # ten pairs of one animal tell no more than one of them: the interval must span both animals' values
    values, names = [0.0] * 10 + [1.0] * 10, ["a"] * 10 + ["b"] * 10
    found = mean_interval(values, names, seed=3)
    assert (found.value, found.low, found.high, found.n, found.n_individuals) == (0.5, 0.0, 1.0, 20, 2)
    assert mean_interval(values, names, seed=3) == found
    assert mean_interval([1.0, 3.0], ["a", "a"]).low is None
    assert mean_interval([], []).value is None


def test_interval_is_left_out_where_most_draws_give_no_figure():
    def only_whole(rows):
        return 1.0 if len(set(rows.tolist())) == 6 else None

    assert bootstrap(only_whole, list("abcdef")).low is None


def test_deletion_of_what_counts_falls_at_once_and_insertion_rises_at_once():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[0, 0] = 200  # the only pixel that the score looks at

    def score(pictures):
        return np.array([item[0, 0, 0] / 200 for item in pictures])

    good = np.zeros((4, 4))
    good[0, 0] = 1.0

    def black(picture, seed):
        return lambda missing: np.where(missing[..., None], 0, picture).astype(np.uint8)

    found = insertion_deletion(picture, good, black, score, n_steps=16)
    assert found.deletion.tolist() == [1.0] + [0.0] * 16
    assert found.insertion.tolist() == [0.0] + [1.0] * 16
    assert area(found.shares, found.deletion) == pytest.approx(1 / 32)
    assert area(found.shares, found.insertion) == pytest.approx(31 / 32)
    worst = insertion_deletion(picture, -good, black, score, n_steps=16)
    assert area(worst.shares, worst.deletion) == pytest.approx(31 / 32)


def test_curve_that_hardly_changes_is_not_blown_up():
    assert scaled([0.5, 0.52], 0.52, 0.5) is None
    assert scaled([0.9, 0.5], 0.9, 0.5).tolist() == pytest.approx([1.0, 0.0])


def test_curves_of_sanes_evaluator_reach_from_0_to_1_however_little_they_move():
    assert stretched([0.51, 0.50, 0.52]).tolist() == pytest.approx([0.5, 0.0, 1.0])
    assert stretched([0.5, 0.5]) is None
    picture = np.zeros((2, 2, 3), np.uint8)
    missing = np.array([[True, False], [False, False]])
    for fill, value in ((fill_white, 255), (fill_grey, 127)):
        filled = fill(picture)(missing)
        assert filled.dtype == np.uint8 and (filled[0, 0] == value).all() and (filled[~missing] == 0).all()


def test_pixels_of_a_constant_map_go_at_random_and_each_once():
    ranks = pixel_ranks(np.ones((2, 2)), (6, 6))
    assert sorted(ranks.ravel()) == list(range(36)) and ranks.ravel().tolist() != list(range(36))
    assert pixel_ranks([[1.0, 3.0], [2.0, 0.0]], (2, 2)).tolist() == [[2, 0], [1, 3]]


def test_imputed_pixel_is_the_weighted_mean_of_its_neighbours():
    picture = np.zeros((3, 3, 3), np.uint8)
    picture[0, 1] = picture[1, 0] = 120  # two straight neighbours of the centre
    picture[2, 2] = 60  # a slanting one
    missing = np.zeros((3, 3), bool)
    missing[1, 1] = True
    filled = fill_road(picture, 0)(missing)
    wanted = 120 / 6 * 2 + 60 / 12
    assert filled[1, 1].astype(float) == pytest.approx([wanted] * 3, abs=10)  # the noise is 1 % of 255
    assert (filled[~missing] == picture[~missing]).all()


def test_two_missing_neighbours_are_solved_together():
    picture = np.full((3, 4, 3), 90, np.uint8)
    missing = np.zeros((3, 4), bool)
    missing[1, 1] = missing[1, 2] = True
    assert fill_road(picture, 1)(missing).astype(float) == pytest.approx(90, abs=10)


@pytest.mark.parametrize("name", FILLS)
def test_fills_leave_what_is_there_and_the_callers_array(name):
    picture = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    before = picture.copy()
    fill = FILLS[name](picture, 0)
    nothing, everything = np.zeros((12, 12), bool), np.ones((12, 12), bool)
    assert (fill(nothing) == picture).all() and (fill(everything) != picture).any()
    assert (picture == before).all()


def test_mean_and_blur_fill_what_they_say():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, 20:] = 100
    everything = np.ones((40, 40), bool)
    assert (fill_mean(picture)(everything) == 50).all()
    soft = fill_blur(picture)(everything)
    assert (soft == blurred(picture)).all() and 40 <= soft[20, 20, 0] <= 60 and soft[20, 0, 0] < 15


def test_spearman_knows_ranks_alone_and_refuses_constant_maps():
    assert spearman([[1.0, 2.0], [3.0, 4.0]], [[1.0, 10.0], [100.0, 1000.0]]) == 1.0
    assert spearman([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == -1.0
    assert spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    # by hand: ranks 1 2 3 4 against 2 1 4 3, the squared differences sum to 4, and 1 - 6 x 4 / (4 x 15)
    assert spearman([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0]) == pytest.approx(0.6)


def test_resampling_keeps_the_mean_of_a_line_and_samples_between_centres():
    assert resample([[0.0, 1.0], [2.0, 3.0]], (2, 2)).tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert resample([[0.0], [4.0]], (4, 1)).ravel().tolist() == [0.0, 1.0, 3.0, 4.0]
    values = sample_at([[0.0, 1.0]], [[5.0, 2.0], [10.0, 2.0], [15.0, 2.0], [0.0, 0.0]], (10, 20))
    assert values.tolist() == [0.0, 0.5, 1.0, 0.0]


def test_matches_are_the_same_if_both_ends_are_near():
    first = ([[0, 0], [5, 5]], [[0, 0], [5, 5]])
    second = ([[1, 1], [5, 5]], [[0, 1], [9, 9]])
    assert match_jaccard(first, second, tolerance=1) == pytest.approx(1 / 3)
    assert match_jaccard(first, first) == 1.0 and match_jaccard(first, ([], [])) == 0.0
    assert match_jaccard(([], []), ([], [])) is None
    assert displacements([[0, 0], [1, 1]], [[3, 4], [1, 1]]).tolist() == [5.0, 0.0]


def test_mass_counts_what_is_positive():
    mask = np.zeros((2, 2), bool)
    mask[0] = True
    assert mass_share([[3.0, -5.0], [1.0, 0.0]], mask) == 0.75
    assert mass_share([[-1.0, 0.0], [0.0, 0.0]], mask) is None


def test_conservation_and_inflation_by_hand():
    assert conservation_error([[1.0, -0.5]], 0.4) == pytest.approx(0.25)
    assert conservation_error([[1.0]], 0.0) is None
    assert inflation([[3.0, -1.0]], [[1.0, 1.0]]) == 2.0 and inflation([[1.0]], [[0.0]]) is None


def test_keypoints_and_the_ceiling_of_a_grid():
    ends, true_ends = [[0.0, 0.0], [30.0, 40.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0], [math.nan, math.nan]]
    distances = errors(ends, true_ends)
    assert distances[:2].tolist() == [0.0, 50.0] and math.isnan(distances[2])
    assert pck(distances, (200, 100), 0.05) == 0.5 and pck([math.nan], (10, 10), 0.1) is None
    # cells of 20 px: the centre is at most 14.1 px away, a place in the corner of a cell more than 5 px
    assert grid_ceiling([[10.0, 10.0], [1.0, 1.0]], (5, 5), (100, 100), 0.05) == 0.5
    assert grid_ceiling([[10.0, 10.0], [1.0, 1.0]], (5, 5), (100, 100), 0.15) == 1.0
    assert grid_ceiling([[-5.0, 2.0]], (5, 5), (100, 100), 0.1) is None


def test_neighbours_predict_links_of_a_bent_body_and_not_a_wrong_one():
    rng = np.random.default_rng(0)
    here = rng.uniform(0, 20, (30, 2))
    there = here + np.stack([np.zeros(30), 0.02 * (here[:, 0] - 10) ** 2], axis=1)  # no homography bends so
    good = local_affine_residuals(here, there)
    assert np.median(good) < 0.2
    there[4] += 8.0
    bad = local_affine_residuals(here, there)
    assert bad[4] > 6.0 and np.median(bad) < 0.3
    assert local_affine_residuals(here[:6], there[:6]) is None
    line = np.stack([np.arange(9.0), np.arange(9.0)], axis=1)
    assert np.isinf(local_affine_residuals(line, line)).all()


def test_disturbances_do_what_they_say():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert (shifted(picture, 1)[1:, 1:] == picture[:-1, :-1]).all()
    covered, mask = pasted(np.zeros((100, 100, 3), np.uint8), np.full((100, 100, 3), 9, np.uint8),
                           np.random.default_rng(0))
    assert abs(mask.mean() - 0.2) < 0.01 and (covered[mask] == 9).all() and (covered[~mask] == 0).all()
    animal, other = np.zeros((4, 4), bool), np.full((4, 4, 3), 7, np.uint8)
    animal[0], other[3] = True, 99
    other_animal = np.zeros((4, 4), bool)
    other_animal[3] = True
    changed = with_background(picture, animal, other, other_animal)
    assert (changed[0] == picture[0]).all() and (changed[1:] == 7).all()


def test_mask_of_cells_covers_their_pixels():
    mask = cell_mask(np.array([[0, 1]], np.int32), (2, 2), (4, 6))
    assert mask.sum() == 6 and mask[:2, 3:].all()


def test_attribute_figures_by_hand():
    assert truth_of("mark: Scar", {"scar"}, {"scar", "notch"}) is True
    assert truth_of("notch", {"scar"}, {"scar", "notch"}) is False
    assert truth_of("collar", {"scar"}, {"scar"}) is None
    assert average_precision([0.1, 0.9], [True, False]) == 0.5 and average_precision([0.1], [False]) is None
    assert calibration_error([0.95, 0.95, 0.05], [True, False, False]) == pytest.approx(0.45 * 2 / 3 + 0.05 / 3)
    assert calibration_error([], []) is None
    assert coverage_accuracy([0.9, 0.5], [True, False]) == [(0.9, 0.5, 1.0), (0.5, 1.0, 0.5)]
