"""Work side by side: the same results, in order, on threads that leave the host's settings alone."""

from __future__ import annotations

import threading

import pytest
import torch

from pairx_plugin import EmbeddingModel, Settings
from pairx_plugin.chips import as_chip
from pairx_plugin.explainers.pairx import PairX
from pairx_plugin.pipeline import explain_chips
from pairx_plugin.relevance.arithmetic import lanes
from pairx_plugin.relevance.arithmetic.lanes import count_lanes, side_by_side


@pytest.fixture
def cores():
    """Let PyTorch use two cores during one test, as it would on most machines."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_the_tasks_order(cores):
    assert count_lanes() == 2
    assert side_by_side([lambda value=value: value * value for value in range(9)]) == [value**2 for value in range(9)]
    assert side_by_side([]) == []


def test_two_tasks_really_run_at_once(cores):
    meeting = threading.Barrier(2, timeout=20)  # neither passes alone
    assert sorted(side_by_side([meeting.wait, meeting.wait])) == [0, 1]


def test_each_lane_has_its_share_of_the_cores_and_the_caller_keeps_his(cores):
    meeting = threading.Barrier(2, timeout=20)

    def share():
        meeting.wait()
        (torch.ones(64, 64) @ torch.ones(64, 64)).relu_()
        return torch.get_num_threads(), threading.current_thread() is threading.main_thread()

    assert sorted(side_by_side([share, share])) == [(1, False), (1, True)]
    assert torch.get_num_threads() == 2


def test_caller_keeps_his_cores_when_a_task_fails(cores):
    def fail():
        raise ValueError("no such cell")

    with pytest.raises(ValueError, match="no such cell"):
        side_by_side([fail, fail])
    assert torch.get_num_threads() == 2


def test_one_core_means_one_thing_after_another():
    assert torch.get_num_threads() == 1 and count_lanes() == 1
    seen = side_by_side([threading.current_thread, threading.current_thread])
    assert seen == [threading.current_thread()] * 2


def test_first_failure_is_raised_and_nothing_new_is_begun(cores):
    begun = []

    def fail():
        raise ValueError("no such cell")

    with pytest.raises(ValueError, match="no such cell"):
        side_by_side([fail, fail, *(lambda: begun.append(1) for _ in range(50))])
    assert len(begun) < 50


def test_without_an_openmp_runtime_there_is_one_lane(cores, monkeypatch):
    class Nothing:
        lib_controllers = ()

    monkeypatch.setattr(lanes, "_openmp", Nothing)
    assert count_lanes() == 1


@pytest.mark.parametrize("mode", ["plain", "inference"])
def test_explanations_are_what_they_are_without_lanes(miewid_network, make_texture, mode, request):
    wide = make_texture(31, 96)
    query, *candidates = (as_chip(wide[16:80, start : start + 64].copy()) for start in (16, 24, 8))
    model = EmbeddingModel(miewid_network, input_size=(64, 64))
    settings = Settings(layers=("backbone.blocks.1",), k_lines=8, k_colors=4)
    alone = list(explain_chips(model, query, candidates, PairX(), settings))
    request.getfixturevalue("cores")
    with torch.inference_mode(mode == "inference"):
        side_by = list(explain_chips(model, query, candidates, PairX(), settings))
    for one, other in zip(alone, side_by):
        assert one.failure is None and other.failure is None, (one.failure, other.failure)
        (layer,), (also,) = one.layers, other.layers
        assert layer.matches.cells_0.tolist() == also.matches.cells_0.tolist()
        for name in ("relevance_0", "relevance_1", "pixels_0", "pixels_1"):
            expected, found = torch.tensor(getattr(layer, name)), torch.tensor(getattr(also, name))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.max()))
