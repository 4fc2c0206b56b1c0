"""A host that updates its weights while a query's candidates are explained."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from pairx_plugin import EmbeddingModel, Settings
from pairx_plugin.chips import as_chip
from pairx_plugin.explainers.base import Stop
from pairx_plugin.explainers.pairx import PairX
from pairx_plugin.pipeline import explain_chips

LAYER = "backbone.blocks.1"


def settings(k_colors=2, **more):
    return Settings(layers=(LAYER,), k_lines=8, k_colors=k_colors, **more)


def by_parameter(parameter, change):
    parameter.add_(change)


def behind_autograd(parameter, change):
    parameter.data.add_(change)


@pytest.fixture
def network(miewid_network):
    return copy.deepcopy(miewid_network)


@pytest.fixture(scope="module")
def chips(make_texture):
    wide = make_texture(51, 96)
    return [as_chip(wide[16:80, start : start + 64].copy()) for start in (16, 24, 8)]


def update(network, how):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.backbone.blocks[2].parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            how(parameter, 0.3 * parameter.detach().std(unbiased=False) * noise)


@pytest.mark.parametrize("mode", ["reference", "corrected"])
@pytest.mark.parametrize("how", [by_parameter, behind_autograd])
def test_a_query_is_of_the_weights_that_its_candidate_is_of(how, mode, network, chips):
    model = EmbeddingModel(network, input_size=(64, 64))
    query, *candidates = chips
    explanations = explain_chips(model, query, candidates, PairX(), settings(mode=mode))
    before = next(explanations).evidence
    update(network, how)
    after = next(explanations).evidence
    (fresh,) = [one.evidence for one in explain_chips(model, query, candidates[1:], PairX(), settings(mode=mode))]
    assert abs(fresh.similarity - before.similarity) > 1e-2
    assert after.similarity == pytest.approx(fresh.similarity, abs=1e-6) and after.doubts == before.doubts == ()
    for found, expected in zip(after.layers, fresh.layers):
        assert np.array_equal(found.matches.cells_0, expected.matches.cells_0)
        np.testing.assert_allclose(found.relevance_0, expected.relevance_0, rtol=1e-4)
        np.testing.assert_allclose(found.pixels_0, expected.pixels_0, atol=1e-5 * expected.pixels_0.max())


@pytest.mark.parametrize("n_colours", [0, 2])
def test_numbers_of_two_networks_are_said_to_be_so(n_colours, network, chips):
    model = EmbeddingModel(network, input_size=(64, 64))
    session = PairX().prepare(model, chips[0], settings(n_colours))
    asked = []

    def cancelled():
        asked.append(1)
        if len(asked) == 2:  # the candidate has been through the network, and relevance has not
            update(network, by_parameter)
        return False

    *_, (_, evidence) = session.steps(chips[1:2], Stop(cancelled))
    assert [doubt.code for doubt in evidence.doubts] == ["WEIGHTS_CHANGED"]
    assert evidence.final and evidence.layers[0].relevance_0.max() > 0
    *_, (_, again) = session.steps(chips[1:2], Stop())
    assert again.doubts == ()
