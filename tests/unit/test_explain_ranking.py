"""The public function: what comes back, in which order, and what bad input is answered with."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin import EmbeddingModel, explain_ranking
from pairx_plugin.errors import (
    ChipError,
    ChipNotFound,
    ExplainerNotFound,
    LayerNotFound,
    ModelError,
    SettingsError,
    UnsupportedArchitecture,
)
from pairx_plugin.evidence import LayerEvidence, Matches, PairEvidence
from pairx_hooks import Status

LAYER = "backbone.blocks.1"
SIZE = (64, 64)


@pytest.fixture(scope="module")
def pictures(make_texture):
    """A query and three candidates: itself moved by eight pixels, itself, another."""
    wide = make_texture(31, 96)
    return wide[16:80, 16:80], wide[16:80, 24:88], wide[16:80, 16:80], make_texture(32, 64)


@pytest.fixture(scope="module")
def explanations(miewid_network, pictures):
    query, *candidates = pictures
    return explain_ranking(miewid_network, query, candidates, layer=LAYER, input_size=SIZE, k_lines=12, k_colors=3)


def test_explanations_come_in_the_candidates_order(miewid_network, pictures, explanations):
    query, *candidates = pictures
    with torch.no_grad():
        embeddings = EmbeddingModel(miewid_network, input_size=SIZE).embed([query, *candidates])
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    assert [explanation.status for explanation in explanations] == [Status.READY] * 3
    similarities = [explanation.evidence.similarity for explanation in explanations]
    assert similarities == pytest.approx((units[1:] @ units[0]).tolist(), abs=1e-5)


def test_moved_picture_matches_where_it_moved_to(explanations):
    lines = explanations[0].layers[0].lines
    moved = lines.cells_0 - lines.cells_1
    assert len(lines) == 12
    assert (np.abs(moved - (0, 2)).max(axis=1) <= 1).mean() >= 0.7  # eight pixels are two cells of four


def test_evidence_has_what_was_asked_for(explanations):
    layer = explanations[0].layers[0]
    assert layer.layer_key == LAYER and layer.grid_0 == layer.grid_1 == (16, 16)
    assert layer.pixels_0.shape == layer.pixels_1.shape == (3, *SIZE)
    assert (layer.relevance_0 >= 0).all() and layer.relevance_0.max() > 0
    assert layer.plausibility is not None and layer.plausibility.n_matches == len(layer.matches)
    assert set(explanations[0].provenance["seconds"]) >= {"prepare", "forward", "relevance", "matching", "pixels"}


def test_same_picture_is_said_to_be_the_same(explanations):
    codes = [{doubt.code for doubt in explanation.evidence.doubts} for explanation in explanations]
    assert "SAME_PICTURE" in codes[1] and "SAME_PICTURE" not in codes[0] | codes[2]


def test_record_is_strict_json_with_shares_of_the_chip(explanations):
    record = json.loads(json.dumps(explanations[0].to_json(), allow_nan=False))
    assert record["schema"] == "pairx.explanation/1" and record["status"] == "ready"
    assert record["grid"] == {"0": [16, 16], "1": [16, 16]}
    assert record["num_matches"] == len(explanations[0].layers[0].matches)
    first = record["matches"][0]
    row, col = first["coord0"]
    assert first["kpts0"] == pytest.approx([(col + 0.5) / 16, (row + 0.5) / 16])
    assert [match["rank"] for match in record["matches"]] == list(range(1, 13))
    assert len([entry for entry in record["maps"] if entry["kind"] == "pixel"]) == 6


def test_id_is_of_the_inputs_and_the_settings(miewid_network, pictures, explanations):
    query, candidate, *_ = pictures
    common = dict(layer=LAYER, input_size=SIZE, k_lines=12)
    (again,) = explain_ranking(miewid_network, query, [candidate], k_colors=3, **common)
    (other,) = explain_ranking(miewid_network, query, [candidate], k_colors=2, **common)
    assert again.explanation_id == explanations[0].explanation_id != other.explanation_id


def test_candidates_that_could_not_be_had_have_ids_of_their_own(miewid_network, pictures):
    candidates = [np.zeros((0, 4, 3), np.uint8), "a word"]
    failed = explain_ranking(miewid_network, pictures[0], candidates, layer=LAYER, input_size=SIZE)
    assert [explanation.status for explanation in failed] == [Status.FAILED] * 2
    assert failed[0].explanation_id != failed[1].explanation_id


def test_batches_give_what_single_candidates_give(miewid_network, pictures, explanations):
    query, *candidates = pictures
    batched = explain_ranking(
        miewid_network, query, candidates, layer=LAYER, input_size=SIZE, k_lines=12, k_colors=3, batch_size=3
    )
    for one, other in zip(explanations[::2], batched[::2]):  # the second is the query itself: its relevance is noise
        tolerance = 1e-4 * one.layers[0].relevance_0.max()
        np.testing.assert_allclose(one.layers[0].relevance_0, other.layers[0].relevance_0, rtol=0, atol=tolerance)
        assert one.layers[0].matches.cells_1.tolist() == other.layers[0].matches.cells_1.tolist()


def test_swapping_query_and_candidate_mirrors_the_matches(miewid_network, pictures):
    query, _, _, other = pictures
    (forth,) = explain_ranking(miewid_network, query, [other], layer=LAYER, input_size=SIZE)
    (back,) = explain_ranking(miewid_network, other, [query], layer=LAYER, input_size=SIZE)
    there, here = forth.layers[0].matches, back.layers[0].matches
    pairs = {(*query, *candidate) for query, candidate in zip(there.cells_0.tolist(), there.cells_1.tolist())}
    mirror = {(*candidate, *query) for query, candidate in zip(here.cells_0.tolist(), here.cells_1.tolist())}
    assert pairs == mirror
    np.testing.assert_allclose(forth.layers[0].relevance_0, back.layers[0].relevance_1, rtol=1e-4)


def test_lines_only_and_nothing_at_all(miewid_network, pictures):
    query, candidate, *_ = pictures
    (lines,) = explain_ranking(miewid_network, query, [candidate], layer=LAYER, input_size=SIZE, k_colors=0)
    assert lines.layers[0].pixels_0.shape == (0, *SIZE) and len(lines.layers[0].lines) == 20
    assert explain_ranking(miewid_network, query, [], layer=LAYER, input_size=SIZE) == []


def test_layer_is_suggested_and_several_are_kept_in_order(miewid_network, pictures):
    query, candidate, *_ = pictures
    (suggested,) = explain_ranking(miewid_network, query, [candidate], input_size=SIZE, k_colors=0)
    assert suggested.layers[0].layer_key.startswith("backbone.")
    keys = ["backbone.blocks.2", "backbone.blocks.0"]
    (several,) = explain_ranking(miewid_network, query, [candidate], layer=keys, input_size=SIZE, k_colors=0)
    assert [layer.layer_key for layer in several.layers] == keys
    assert [layer["layer_key"] for layer in several.to_json()["other_layers"]] == keys[1:]


def test_bad_candidate_fails_alone(miewid_network, pictures, tmp_path):
    query, candidate, *_ = pictures
    bad = [np.zeros((4, 4)), tmp_path / "nowhere.jpg", np.full((64, 64, 3), 0.5, np.float32), None]
    finished = []
    explanations = explain_ranking(
        miewid_network,
        query,
        [bad[0], candidate, *bad[1:], candidate],
        layer=LAYER,
        input_size=SIZE,
        k_colors=0,
        batch_size=2,
        on_finished=lambda index, explanation: finished.append((index, explanation.status.value)),
    )
    ready = [explanation.status is Status.READY for explanation in explanations]
    assert ready == [False, True, False, False, False, True]
    assert [index for index, _ in finished] == list(range(6))
    codes = [explanation.failure.code for explanation in explanations if explanation.failure]
    assert codes == ["CHIP_INVALID", "IMAGE_NOT_FOUND", "CHIP_INVALID", "CHIP_INVALID"]
    assert "nowhere.jpg" in explanations[2].failure.message
    for explanation in explanations:
        json.dumps(explanation.to_json(), allow_nan=False)


class NanOnBright(nn.Module):
    """A host's network that breaks on one chip only."""

    def __init__(self, inner):
        super().__init__()
        self.backbone = inner.backbone
        self.inner = inner

    def forward(self, x):
        return self.inner(x) * (2.0 - x.amax((1, 2, 3))).sqrt()[:, None]


def test_candidate_on_which_the_network_gives_nan_fails_alone(miewid_network, pictures):
    query, *_ = pictures
    dark = (query // 2).astype(np.uint8)
    bright = np.full_like(query, 255)
    network = NanOnBright(miewid_network).eval()
    explanations = explain_ranking(
        network, dark, [bright, dark // 2], layer=LAYER, input_size=SIZE, k_colors=0, batch_size=2
    )
    assert [explanation.status for explanation in explanations] == [Status.FAILED, Status.READY]
    assert explanations[0].failure.code == "MODEL_INVALID"


@pytest.mark.parametrize(
    "changes, error, says",
    [
        pytest.param({"layer": "backbone.blocks.9"}, LayerNotFound, "nearest", id="layer"),
        pytest.param({"explainer": "pairy"}, ExplainerNotFound, "nearest: 'pairx'", id="explainer"),
        pytest.param({"k_line": 3}, SettingsError, "k_lines", id="setting"),
        pytest.param({"k_lines": -3}, SettingsError, "0 to", id="value"),
        pytest.param({"mode": "correct"}, SettingsError, "nearest: 'corrected'", id="mode"),
        pytest.param({"query": np.zeros((0, 4, 3), np.uint8)}, ChipError, "chip", id="empty query"),
        pytest.param({"query": "nowhere.jpg"}, ChipNotFound, "nowhere.jpg", id="missing query"),
        pytest.param({"model": nn.Flatten().eval()}, UnsupportedArchitecture, "supported", id="architecture"),
        pytest.param({"model": "miewid"}, ModelError, "torch.nn.Module", id="no model"),
        pytest.param({"input_size": (0, 64)}, SettingsError, "size", id="size"),
        pytest.param({"explainer": None}, SettingsError, "id such as 'pairx'", id="no explainer"),
        pytest.param({"candidates": "c.jpg"}, ChipError, r"'c\.jpg'; give \[candidate\]", id="path for a list"),
        pytest.param({"candidates": np.zeros((64, 64, 3), np.uint8)}, ChipError, "64, 64, 3", id="chip for a list"),
        pytest.param({"candidates": None}, ChipError, "not None", id="no candidates"),
    ],
)
def test_what_makes_everything_impossible_is_raised(miewid_network, pictures, changes, error, says):
    query, candidate, *_ = pictures
    arguments = dict(model=miewid_network, query=query, candidates=[candidate], layer=LAYER, input_size=SIZE)
    with pytest.raises(error, match=says):
        explain_ranking(**{**arguments, "k_colors": 0, **changes})


@pytest.mark.skipif(not hasattr(torch, "set_default_device"), reason="PyTorch 2.0 or later")
def test_default_device_of_the_host_is_left_to_the_host(miewid_network, pictures, explanations):
    query, *candidates = pictures
    with torch.device("meta"):
        found = explain_ranking(miewid_network, query, candidates, layer=LAYER, input_size=SIZE)
    assert [item.evidence.similarity for item in found] == [item.evidence.similarity for item in explanations]


def test_network_in_training_mode_is_refused(miewid_network, pictures):
    query, candidate, *_ = pictures
    miewid_network.train()
    try:
        with pytest.raises(ModelError, match="eval"):
            explain_ranking(miewid_network, query, [candidate], layer=LAYER, input_size=SIZE)
    finally:
        miewid_network.eval()


@pytest.mark.filterwarnings("error")
def test_constant_chips_are_explained_without_pretending(miewid_network):
    grey = np.full((64, 64, 3), 128, np.uint8)
    (explanation,) = explain_ranking(miewid_network, grey, [grey // 2], layer=LAYER, input_size=SIZE, k_colors=2)
    assert explanation.status is Status.READY
    json.dumps(explanation.to_json(), allow_nan=False)
    assert explanation.picture("both").dtype == np.uint8


class FewMatches:
    """An explainer of a third party, with as many matches as it is told."""

    explainer_id, version = "few", "3"

    def __init__(self, n):
        self.n = n

    def prepare(self, model, query, settings):
        return self

    def explain(self, candidates):
        cells = np.zeros((self.n, 2), np.int32)
        found = Matches(
            cells_0=cells, cells_1=cells, distance=np.zeros(self.n, np.float32), relevance=np.zeros(self.n)
        )
        maps = dict.fromkeys(("relevance_0", "relevance_1"), np.zeros((4, 4), np.float32))
        pixels = dict.fromkeys(("pixels_0", "pixels_1"), np.zeros((0, 8, 8), np.float32))
        layer = LayerEvidence(layer_key="any", matches=found, **maps, **pixels)
        return [PairEvidence(similarity=0.0, layers=(layer,)) for _ in candidates]


@pytest.mark.parametrize("n", [0, 1, 3])
def test_few_matches_make_records_and_pictures(miewid_network, pictures, n):
    query, candidate, *_ = pictures
    (explanation,) = explain_ranking(miewid_network, query, [candidate], explainer=FewMatches(n), input_size=SIZE)
    record = json.loads(json.dumps(explanation.to_json(), allow_nan=False))
    assert record["algorithm"] == "few" and record["num_matches"] == n
    for view in ("matches", "heatmask", "both", "clean"):
        assert explanation.picture(view).shape[2] == 3


class Broken(FewMatches):
    def explain(self, candidates):
        return [1] * len(candidates)


def test_explainer_that_returns_nonsense_is_named(miewid_network, pictures):
    query, candidate, *_ = pictures
    (explanation,) = explain_ranking(miewid_network, query, [candidate], explainer=Broken(1), input_size=SIZE)
    assert explanation.status is Status.FAILED and "PairEvidence" in explanation.failure.message
