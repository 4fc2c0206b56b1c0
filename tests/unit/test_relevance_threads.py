"""Many threads on one network: each explains what it would alone, and whoever embeds meanwhile notices nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from pairx_plugin import EmbeddingModel, Settings
from pairx_plugin.chips import as_chip
from pairx_plugin.explainers.pairx import PairX
from pairx_plugin.pipeline import explain_chips

LAYER = "backbone.blocks.1"
SETTINGS = Settings(layers=(LAYER,), k_lines=8, k_colors=2)


def together(*jobs):
    """Run jobs at once, and raise what any of them raised."""
    failures, start = [], threading.Barrier(len(jobs))

    def run(job):
        start.wait(timeout=60)
        try:
            job()
        except BaseException as error:  # a thread's exception is a message on standard error alone
            failures.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def arrays(explanation):
    assert explanation.failure is None, explanation.failure
    (layer,) = explanation.layers
    return [layer.matches.cells_0, layer.relevance_0, layer.relevance_1, layer.pixels_0, layer.pixels_1]


@pytest.fixture(scope="module")
def chips(make_texture):
    wide = make_texture(41, 96)
    return [as_chip(wide[16:80, start : start + 64].copy()) for start in (16, 24, 8, 12)]


def test_sixteen_threads_explain_as_one_does(miewid_network, chips):
    model = EmbeddingModel(miewid_network, input_size=(64, 64))
    query, *candidates = chips
    alone = [arrays(one) for one in explain_chips(model, query, candidates, PairX(), SETTINGS)]
    found = {}

    def explain(index):
        found[index] = [arrays(one) for one in explain_chips(model, query, candidates, PairX(), SETTINGS)]

    together(*(lambda index=index: explain(index) for index in range(16)))
    assert len(found) == 16
    for mine in found.values():
        for one, expected in zip(mine, alone):
            assert all(np.array_equal(here, there) for here, there in zip(one, expected))


def test_one_session_serves_several_threads(miewid_network, chips):
    model = EmbeddingModel(miewid_network, input_size=(64, 64))
    query, *candidates = chips
    alone = [arrays(one) for one in explain_chips(model, query, candidates, PairX(), SETTINGS)]
    session, found = PairX().prepare(model, query, SETTINGS), {}

    def explain(index):
        (evidence,) = session.explain([candidates[index % 3]])
        (layer,) = evidence.layers
        found[index] = [layer.matches.cells_0, layer.relevance_0, layer.relevance_1, layer.pixels_0, layer.pixels_1]

    together(*(lambda index=index: explain(index) for index in range(9)))
    for index, mine in found.items():
        assert all(np.array_equal(here, there) for here, there in zip(mine, alone[index % 3]))


def test_embeddings_stay_bit_identical_while_others_explain(miewid_network, chips):
    """Four threads explain and three embed with the host's own network, hooks and all."""
    model = EmbeddingModel(miewid_network, input_size=(64, 64))
    query, *candidates = chips
    images = model.tensor([chip.pixels for chip in chips])
    with torch.no_grad():
        expected = miewid_network(images)
    done, seen, differing = threading.Event(), [], []
    explaining = [1] * 4

    def explain():
        try:
            for _ in range(2):
                assert all(map(arrays, explain_chips(model, query, candidates, PairX(), SETTINGS)))
        finally:
            explaining.pop()
            if not explaining:
                done.set()

    def embed():
        with torch.no_grad():
            while not done.wait(0):
                seen.append(1)
                if not torch.equal(miewid_network(images), expected):
                    differing.append(1)

    together(*[explain] * 4, *[embed] * 3)
    assert len(seen) >= 3 and not differing
    assert all(parameter.grad is None for parameter in miewid_network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in miewid_network.modules())
