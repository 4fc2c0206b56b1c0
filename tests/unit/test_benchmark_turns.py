"""How implementations take turns, how time is kept by stage, and what a candidate costs."""

from __future__ import annotations

import time

import pytest
import torch

from pairx_plugin.benchmark.bench import Run, take_turns
from pairx_plugin.benchmark.clock import Clock, median_stages
from pairx_plugin.benchmark.flatness import _growth, _order, per_candidate


def test_each_implementation_begins_every_other_turn():
    called, told = [], []

    def side(name):
        def run(turn):
            called.append((turn, name))
            return Run(seconds=turn + (0.5 if name == "public" else 0.0))

        return run

    turns = take_turns({"ours": side("ours"), "public": side("public")}, 3, lambda *step: told.append(step))
    assert called == [
        (0, "ours"), (0, "public"), (1, "public"), (1, "ours"), (2, "ours"), (2, "public"),
    ]
    assert [run.seconds for run in turns.runs["public"]] == [0.5, 1.5, 2.5] and turns.failures == {}
    assert told == [(done, 6) for done in range(7)]


def test_implementation_that_fails_is_not_asked_again_and_the_other_goes_on():
    calls = []

    def failing(turn):
        calls.append(turn)
        if turn == 1:
            raise RuntimeError("no room\nat all")
        return Run(seconds=1.0)

    told = []
    turns = take_turns(
        {"ours": lambda turn: Run(seconds=2.0), "public": failing}, 3, lambda done, total: told.append((done, total))
    )
    assert calls == [0, 1] and told[-1] == (6, 6)
    assert len(turns.runs["ours"]) == 3 and len(turns.runs["public"]) == 1
    assert turns.failures == {"public": "RuntimeError: no room\nat all"}


def test_interrupt_is_nobody_s_failure():
    def interrupted(turn):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_turns({"ours": interrupted}, 1, lambda done, total: None)


def test_stages_are_summed_over_their_turns_also_when_they_fail():
    clock = Clock(torch.device("cpu"))
    for _ in range(2):
        with clock.stage("forward"):
            time.sleep(0.01)
    with pytest.raises(ValueError), clock.stage("pixels"):
        time.sleep(0.01)
        raise ValueError
    assert list(clock.seconds) == ["forward", "pixels"]
    assert clock.seconds["forward"] >= 0.02 and clock.seconds["pixels"] >= 0.01
    seconds, result = clock.time(lambda: "done")
    assert result == "done" and seconds >= 0


def test_median_stages_keep_the_order_and_count_a_missing_stage_as_nothing():
    found = median_stages([{"b": 1.0, "a": 5.0}, {"b": 3.0}, {"b": 2.0, "a": 1.0, "c": 9.0}])
    assert list(found.items()) == [("b", 2.0), ("a", 1.0), ("c", 0.0)]


def test_cost_of_one_more_candidate_leaves_the_query_out():
    assert per_candidate([10.0, 11.0, 12.0, 13.0], 1) == 1.0  # ten seconds for the query and the first
    assert per_candidate([9.0, 9.0, 12.0, 12.0, 15.0], 2) == 2.0  # 9 to 15 for the three behind the first batch


def test_cost_within_a_ranking_that_grows_is_told():
    flat = [float(step) for step in range(41)]
    assert _growth(flat) == 1.0
    dearer = [step + step**2 / 80 for step in range(41)]
    assert 1.5 < _growth(dearer) < 2.5


def test_short_rankings_stand_before_and_after_the_longest():
    assert _order([5, 20, 200]) == [5, 5, 5, 5, 20, 200, 20, 5, 5, 5, 5]
    assert _order([2, 3]) == [2, 2, 3, 2, 2]
