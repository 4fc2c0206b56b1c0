"""What becomes of each candidate: evidence that grows, failures that stay alone, time and memory that run out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pairx_hooks import Status
from pairx_plugin import EmbeddingModel, Settings
from pairx_plugin.chips import as_chip
from pairx_plugin.errors import ChipError, TimeBudgetSpent, is_out_of_memory
from pairx_plugin.evidence import Doubt, LayerEvidence, Matches, PairEvidence
from pairx_plugin.explainers import pairx
from pairx_plugin.explainers.base import RankedSession, SteppedSession, Stop
from pairx_plugin.explainers.pairx import PairX
from pairx_plugin.outcomes import outcomes
from pairx_plugin.pipeline import explain_chips, explain_steps
from pairx_plugin.relevance.propagation import RelevanceModel

LAYER = "backbone.blocks.1"
NO_CELLS = np.zeros((0, 2), np.int32)
EMPTY = Matches(
    cells_0=NO_CELLS, cells_1=NO_CELLS, distance=np.zeros(0, np.float32), relevance=np.zeros(0, np.float64)
)
MAP, NO_PIXELS = np.zeros((2, 2), np.float32), np.zeros((0, 8, 8), np.float32)
WHOLE = PairEvidence(
    similarity=0.5,
    layers=(
        LayerEvidence(
            layer_key="a", relevance_0=MAP, relevance_1=MAP, matches=EMPTY, pixels_0=NO_PIXELS, pixels_1=NO_PIXELS
        ),
    ),
)
LINES = dataclasses.replace(WHOLE, missing=("pixels",))


def chips(n):
    return [as_chip(np.full((8, 8, 3), value, np.uint8)) for value in range(n)]


class Stepped:
    """Yields lines of all, then colours; `fault` may raise before the colours of a chip of that brightness."""

    def __init__(self, fault=None):
        self.fault, self.batches = fault, []

    def explain(self, candidates):
        raise AssertionError("a stepped session is asked for steps")

    def steps(self, candidates, stop):
        self.batches.append(len(candidates))
        for index in range(len(candidates)):
            if stop.reached():
                return
            yield index, LINES
        for index, chip in enumerate(candidates):
            if stop.reached():
                return
            if self.fault is not None:
                self.fault(int(chip.pixels[0, 0, 0]), candidates)
            yield index, WHOLE


def found(session, candidates, cancelled=None, **settings):
    return list(outcomes(session, candidates, Settings(**settings), cancelled))


def test_lines_of_a_batch_come_before_its_colours():
    order = [(index, outcome.final) for index, outcome in found(Stepped(), chips(3), batch_size=2)]
    assert order == [(0, False), (1, False), (0, True), (1, True), (2, False), (2, True)]


def test_chips_that_could_not_be_had_keep_their_place():
    missing = ChipError("no such photograph")
    mixed = [missing, chips(1)[0], missing]
    finals = [(i, outcome) for i, outcome in found(Stepped(), mixed, batch_size=3) if outcome is not LINES]
    assert finals == [(0, missing), (1, WHOLE), (2, missing)]


def test_failing_batch_is_halved_until_the_bad_one_stands_alone():
    def fault(brightness, candidates):
        if brightness == 2:
            raise ValueError("dark corner")

    session = Stepped(fault)
    finals = {i: outcome for i, outcome in found(session, chips(4), batch_size=4) if outcome.final}
    assert [finals[index].shortfall is None for index in range(4)] == [True, True, False, True]
    assert finals[2].missing == ("pixels",) and "dark corner" in finals[2].shortfall.message
    assert session.batches == [4, 1, 1]  # two were whole before the third failed


def test_memory_that_does_for_half_a_batch_costs_nothing():
    def fault(brightness, candidates):
        if len(candidates) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    session = Stepped(fault)
    finals = [outcome for _, outcome in found(session, chips(4), batch_size=4) if outcome.final]
    assert finals == [WHOLE] * 4 and session.batches == [4, 2, 2]


def test_cancelling_keeps_what_is_there_and_begins_no_other():
    asked = []

    def cancelled():
        asked.append(1)
        return len(asked) > 1  # after the lines of the first

    got = found(Stepped(), chips(3), cancelled)
    assert [index for index, _ in got] == [0, 0]
    assert got[-1][1].missing == ("pixels",) and got[-1][1].shortfall.code == "CANCELLED"
    assert found(Stepped(), chips(3), lambda: True) == []


def test_time_that_is_over_at_once_is_a_failure_that_says_so():
    got = found(Stepped(), chips(2), time_budget=1e-9)
    assert [index for index, _ in got] == [0, 1]
    assert all(isinstance(outcome, TimeBudgetSpent) and outcome.retryable for _, outcome in got)
    assert "time_budget" in str(got[0][1])


def test_session_that_ends_without_a_word_is_an_error():
    class Silent(Stepped):
        def steps(self, candidates, stop):
            yield from ()

    ((_, outcome),) = found(Silent(), chips(1))
    assert isinstance(outcome, TypeError) and "without evidence" in str(outcome)


def test_plain_session_is_asked_once_for_a_batch_and_checked():
    class Plain:
        def explain(self, candidates):
            return [WHOLE] * len(candidates) if len(candidates) > 1 else ["nothing"]

    assert not isinstance(Plain(), SteppedSession)
    assert found(Plain(), chips(2), batch_size=2) == [(0, WHOLE), (1, WHOLE)]
    ((_, outcome),) = found(Plain(), chips(1))
    assert isinstance(outcome, TypeError) and "one PairEvidence" in str(outcome)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory: you tried"), True),
        (type("OutOfMemoryError", (RuntimeError,), {})(), True),
        (RuntimeError("could not create a primitive"), True),  # oneDNN, where the system gives no more memory
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_running_out_of_memory_is_known_in_all_its_words(error, expected):
    assert is_out_of_memory(error) is expected


# ---- PAIR-X


@pytest.fixture(scope="module")
def setting(miewid_network, make_texture):
    wide = make_texture(31, 96)
    query, *candidates = (as_chip(wide[16:80, start : start + 64].copy()) for start in (16, 24, 8))
    return EmbeddingModel(miewid_network, input_size=(64, 64)), query, candidates


def explained(setting, *, steps=False, cancelled=None, **settings):
    model, query, candidates = setting
    chosen = Settings(**{"layers": (LAYER,), "k_lines": 8, "k_colors": 3, **settings})
    ask = explain_steps if steps else explain_chips
    return list(ask(model, query, candidates, PairX(), chosen, cancelled=cancelled))


def same(one, other):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one.layers, other.layers)
        for name in ("relevance_0", "relevance_1", "pixels_0", "pixels_1")
    )


def test_lines_come_first_and_stay_what_they_were(setting):
    steps = explained(setting, steps=True)
    assert [(index, one.status, one.growing) for index, one in steps] == [
        (0, Status.PARTIAL, True),
        (0, Status.READY, False),
        (1, Status.PARTIAL, True),
        (1, Status.READY, False),
    ]
    (_, lines), (_, whole) = steps[:2]
    assert lines.failure is None and lines.to_json()["missing"] == ["pixels"]
    assert len(lines.layers[0].pixels_0) == 0 and len(whole.layers[0].pixels_0) == 3
    assert np.array_equal(lines.layers[0].matches.cells_0, whole.layers[0].matches.cells_0)


def test_cancelling_after_one_colour_keeps_it(setting, monkeypatch):
    done = []
    original = pairx.pixels_of
    monkeypatch.setattr(pairx, "pixels_of", lambda *args: (done.append(1), original(*args))[1])
    monkeypatch.setattr(pairx, "_MATCHES_ON_CPU", 1)
    (partial,) = explained(setting, cancelled=lambda: bool(done))
    assert partial.status is Status.PARTIAL and partial.failure.code == "CANCELLED"
    assert len(partial.layers[0].pixels_0) == len(partial.layers[0].pixels_1) == 1
    (whole, _) = explained(setting)
    assert np.array_equal(partial.layers[0].pixels_0[0], whole.layers[0].pixels_0[0])
    assert partial.explanation_id == whole.explanation_id
    assert partial.picture("both").any()


def test_memory_that_fails_for_colours_leaves_the_lines(setting, monkeypatch):
    def fail(layer, asked, tolerance):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(pairx, "pixels_of", fail)
    for partial in explained(setting):
        assert partial.status is Status.PARTIAL and partial.failure.code == "OUT_OF_MEMORY"
        assert partial.failure.retryable and len(partial.layers[0].lines) == 8


def test_memory_that_does_for_lines_alone_gives_lines(setting, monkeypatch):
    original = RelevanceModel.forward

    def forward(model, images, keys, *, pixels=True, instead_of=None):
        if pixels:
            raise MemoryError
        return original(model, images, keys, pixels=False, instead_of=instead_of)

    monkeypatch.setattr(RelevanceModel, "forward", forward)
    partial = explained(setting)
    assert [one.failure.code for one in partial] == ["OUT_OF_MEMORY"] * 2
    monkeypatch.undo()
    lines = explained(setting, k_colors=0)
    assert all(same(one, other) for one, other in zip(partial, lines))


def test_other_faults_in_the_colours_leave_the_lines_and_are_told(setting, monkeypatch):
    def fail(layer, asked, tolerance):
        raise ValueError("no such cell")

    monkeypatch.setattr(pairx, "pixels_of", fail)
    partial, _ = explained(setting)
    assert partial.status is Status.PARTIAL and partial.failure.code == "INTERNAL"
    assert "no such cell" in partial.failure.message


def test_memory_is_handed_from_candidate_to_candidate_without_a_trace(setting):
    model, query, candidates = setting
    together = explained((model, query, [*candidates, candidates[0]]))
    alone = [explained((model, query, [candidate]))[0] for candidate in candidates]
    assert same(together[0], alone[0]) and same(together[1], alone[1]) and same(together[2], together[0])


def test_batches_are_stepped_too(setting):
    steps = explained(setting, steps=True, batch_size=2)
    assert [(index, one.growing) for index, one in steps] == [(0, True), (1, True), (0, False), (1, False)]


def test_ranking_is_shown_to_sessions_that_look_at_it(setting):
    model, query, candidates = setting
    seen = []

    class Ranked:
        explainer_id, version = "ranked", "1"

        def prepare(self, model, query, settings):
            return self

        def see_ranking(self, candidates):
            seen.append(list(candidates))

        def explain(self, candidates):
            return [WHOLE] * len(candidates)

    assert isinstance(Ranked(), RankedSession) and not isinstance(PairX(), RankedSession)
    list(explain_chips(model, query, [candidates[0], ChipError("gone"), candidates[1]], Ranked(), Settings()))
    assert seen == [candidates]


def test_stop_says_why():
    assert Stop().why() is None and not Stop(lambda: False, 100.0).reached()
    assert Stop(lambda: True).why().code == "CANCELLED"
    spent = Stop(None, 1e-9)
    assert isinstance(spent.why(), Doubt) and spent.why().values == {"seconds": 1e-9}
