"""Memory of the host's process: freed pieces go back to the system, and zeros take none."""

from __future__ import annotations

import copy
import ctypes
import gc
import mmap
import pickle

import numpy as np
import pytest

from pairx_plugin import EmbeddingModel, Settings, pipeline, resident_memory
from pairx_plugin.benchmark.memory import resident
from pairx_plugin.chips import as_chip
from pairx_plugin.evidence import PairEvidence
from pairx_plugin.pipeline import explain_chips
from pairx_plugin.resident_memory import hand_back, zero_pages

on_glibc = pytest.mark.skipif(
    resident() is None or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the allocator is not glibc's"
)


@on_glibc
def test_what_lies_between_pieces_in_use_goes_back_to_the_system():
    hand_back()
    before = resident()
    pieces = [np.ones(12_000) for _ in range(4_000)]  # 96 kB each, which glibc does not ask the system for one by one
    assert resident() - before > 300e6
    kept = pieces[::40]
    del pieces
    gc.collect()
    hand_back()
    assert resident() - before < 60e6 and all(piece.sum() == 12_000 for piece in kept)


@pytest.mark.parametrize("gone", [AttributeError, OSError, TypeError])
def test_another_allocator_is_left_alone(monkeypatch, gone):
    def missing(name):
        raise gone("no such library")

    monkeypatch.setattr(resident_memory.ctypes, "CDLL", missing)
    resident_memory._trim.cache_clear()
    try:
        hand_back()
    finally:
        resident_memory._trim.cache_clear()


@pytest.mark.skipif(resident() is None, reason="the system does not say what a process holds")
def test_zeros_take_memory_where_they_are_written():
    before = resident()
    zeros = zero_pages((100, 1000, 1000))  # 400 MB
    assert resident() - before < 5e6
    zeros[3] = 1.0
    assert 3e6 < resident() - before < 20e6
    assert zeros.sum() == 1e6 and zeros.dtype == np.float32 and zeros.flags.c_contiguous and zeros.flags.writeable


def test_zeros_are_an_array_like_any_other():
    zeros = zero_pages((2, 3, 4))
    zeros[1, 2, 3] = 5.0
    for other in (copy.deepcopy(zeros), pickle.loads(pickle.dumps(zeros)), zeros.copy()):
        np.testing.assert_array_equal(other, zeros)
        other[0, 0, 0] = 1.0
    assert zeros[0, 0, 0] == 0.0
    assert zero_pages((0, 3, 4)).shape == (0, 3, 4) and zero_pages((2, 0)).shape == (2, 0)


def test_zeros_where_mappings_have_no_kinds(monkeypatch):
    monkeypatch.delattr(mmap, "MAP_PRIVATE", raising=False)
    assert (zero_pages((3, 5)) == np.zeros((3, 5))).all()


class Quick:
    """Finds the same for every candidate, at once."""

    explainer_id, version = "quick", "1"

    def prepare(self, model, query, settings):
        return self

    def explain(self, candidates):
        return [PairEvidence(similarity=0.5, layers=())] * len(candidates)


@pytest.fixture(scope="module")
def setting(miewid_network, make_texture):
    chip = as_chip(make_texture(31, 64))
    return EmbeddingModel(miewid_network, input_size=(64, 64)), chip


@pytest.mark.parametrize("n, times", [(1, 0), (3, 1), (4, 2), (9, 3)])
def test_rankings_hand_back_the_memory_that_they_freed(setting, monkeypatch, n, times):
    model, chip = setting
    calls = []
    monkeypatch.setattr(pipeline, "hand_back", lambda: calls.append(n))
    assert len(list(explain_chips(model, chip, [chip] * n, Quick(), Settings()))) == n
    assert len(calls) == times


def test_ranking_that_is_left_early_hands_back_what_it_freed(setting, monkeypatch):
    model, chip = setting
    calls = []
    monkeypatch.setattr(pipeline, "hand_back", lambda: calls.append(1))
    going = explain_chips(model, chip, [chip] * 3, Quick(), Settings())
    next(going)
    assert not calls
    going.close()
    assert calls == [1]
