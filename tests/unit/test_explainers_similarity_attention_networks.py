"""Similarity attention on tiny cases, and on a MiewID-shaped network: degenerate weights, layers, records, threads."""

from __future__ import annotations

import dataclasses
import json
import threading

import numpy as np
import pytest
import torch

from pairx_plugin import EmbeddingModel, explain_ranking
from pairx_plugin.chips import Chip
from pairx_plugin.errors import LayerNotFound
from pairx_plugin.explainers.similarity_attention import attention_map, side_weights

SIZE = (64, 64)


def test_ties_share_a_rank_and_one_part_is_no_division_by_zero():
    a, b = torch.tensor([0.5, 0.5, 0.5, 0.5]), torch.tensor([0.5, 0.25, 0.75, 0.0])
    weights, same = side_weights(a, b, weight="rank")
    assert weights is same and weights.tolist() == pytest.approx([1.0, 0.5, 0.5, 0.0])
    assert side_weights(torch.ones(1), torch.ones(1), weight="rank")[0].tolist() == [1.0]


def test_attention_map_of_a_tiny_case():
    feature_map = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    gradient = torch.tensor([[[[1.0, 3.0]], [[-1.0, 0.0]]]])
    assert attention_map(feature_map, gradient, signed=True).tolist() == [[[0.5, 4.5]]]
    assert attention_map(-feature_map, gradient).tolist() == [[[0.0, 0.0]]]


def test_paper_weights_degenerate_on_a_wide_embedding_and_ranks_do_not(miewid_network, make_texture):
    pictures = [make_texture(seed) for seed in (1, 2)]
    found = {}
    for weight in ("paper", "rank", "product"):
        (explanation,) = explain_ranking(
            miewid_network, pictures[0], pictures[1:], input_size=SIZE, explainer="similarity_attention",
            options={"attention_weight": weight},
        )
        found[weight] = {doubt.code: doubt.values for doubt in explanation.evidence.doubts}
    assert 0 < found["paper"]["WEIGHTS_DEGENERATE"]["spread"] < 0.1
    assert "WEIGHTS_DEGENERATE" not in found["rank"] and not found["product"]


def test_layers_asked_for_are_used_in_order_and_unknown_ones_refused(miewid_network, make_texture):
    keys = ["backbone.blocks.3", "backbone.blocks.1"]
    arguments = (miewid_network, make_texture(1), [make_texture(2)])
    common = dict(input_size=SIZE, explainer="similarity_attention")
    (explanation,) = explain_ranking(*arguments, layer=keys, **common)
    assert [layer.layer_key for layer in explanation.layers] == keys
    assert [layer.grid_0 for layer in explanation.layers] == [(4, 4), (16, 16)]
    with pytest.raises(LayerNotFound, match="nearest"):
        explain_ranking(*arguments, layer="backbone.blocks.9", **common)


def test_record_and_pictures_of_maps_alone(miewid_network, make_texture):
    (explanation,) = explain_ranking(
        miewid_network, make_texture(1), [make_texture(2)], input_size=SIZE, explainer="similarity_attention"
    )
    record = json.loads(json.dumps(explanation.to_json(), allow_nan=False))
    assert record["algorithm"] == "similarity_attention" and record["num_matches"] == 0
    assert [entry["kind"] for entry in record["maps"]] == ["intermediate"] * 2 and record["plausibility"] is None
    plain, coloured = explanation.picture("clean"), explanation.picture("heatmask")
    height = plain.shape[0]
    assert np.abs(plain.astype(int) - coloured[:height].astype(int)).mean() > 5


def test_hosts_network_keeps_weights_gradients_and_embeddings_on_other_threads(miewid_network, make_texture):
    for parameter in miewid_network.parameters():
        parameter.requires_grad_()
    model = EmbeddingModel(miewid_network, input_size=SIZE)
    pictures = [make_texture(seed) for seed in (1, 2, 3)]
    expected, stop, differing = model.embed(pictures[:1]), threading.Event(), []
    before = model.fingerprint()

    def embed():
        while not stop.is_set():
            differing.extend([] if np.array_equal(model.embed(pictures[:1]), expected) else [1])

    thread = threading.Thread(target=embed)
    thread.start()
    try:
        for explainer in ("similarity_attention", "point_to_point"):
            explain_ranking(model, pictures[0], pictures[1:], explainer=explainer)
    finally:
        stop.set()
        thread.join()
    assert not differing and model.fingerprint() == before
    assert all(parameter.grad is None for parameter in miewid_network.parameters())
    assert not any(module._forward_hooks for module in miewid_network.modules())


def test_names_are_no_part_of_what_identifies_a_chip(make_texture):
    plain = Chip.from_array(make_texture(3))
    named = dataclasses.replace(plain, name="Ada")
    assert named.sha256 == plain.sha256 and (plain.name, named.name) == (None, "Ada")
