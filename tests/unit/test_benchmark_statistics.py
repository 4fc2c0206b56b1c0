"""Medians with their spread, ratios by turn, and the interval of a median."""

from __future__ import annotations

import numpy as np
import pytest

from pairx_plugin.benchmark.statistics import Spread, median_interval, ratios


def test_spread_is_the_median_with_smallest_and_largest():
    spread = Spread.of([3.0, 1.0, 10.0])
    assert (spread.median, spread.least, spread.most) == (3.0, 1.0, 10.0)
    assert spread.to_json() == {"median": 3.0, "least": 1.0, "most": 10.0, "values": [3.0, 1.0, 10.0]}
    assert Spread.of([]) is None


def test_ratios_are_taken_turn_by_turn_so_that_a_slow_turn_cancels():
    ours, public = Spread.of([1.0, 5.0, 2.0]), Spread.of([10.0, 50.0, 20.0])
    assert ratios(public, ours).values == (10.0, 10.0, 10.0)
    assert ratios(public, None) is None and ratios(None, ours) is None


def test_ratios_stop_where_one_side_gave_up():
    assert ratios(Spread.of([8.0]), Spread.of([2.0, 3.0])).values == (4.0,)


@pytest.mark.parametrize(
    ("n", "cut"), [(3, 0), (6, 0), (9, 1), (15, 3), (20, 5), (30, 9)], ids=lambda value: str(value)
)
def test_interval_of_the_median_is_that_of_the_sign_test(n, cut):
    """The cuts are those of Conover, Practical Nonparametric Statistics, table of the sign test at 5 %."""
    values = np.random.default_rng(n).permutation(n).astype(float).tolist()
    assert median_interval(values) == (float(cut), float(n - 1 - cut))


def test_interval_holds_the_true_median_as_often_as_it_says():
    rng = np.random.default_rng(7)
    drawn = rng.exponential(size=(2000, 15))
    held = [low <= np.log(2) <= high for low, high in map(median_interval, drawn.tolist())]
    assert 0.945 <= np.mean(held) <= 0.985  # 96.5 % by the binomial
