"""``layers = auto``: which layer it becomes, and what the record says of it."""

from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pytest
import torch

from pairx_plugin import explain_ranking
from pairx_plugin.chips import as_chip
from pairx_plugin.errors import SettingsError, StoreError
from pairx_plugin.explainers.pairx import PairX
from pairx_plugin.layer_choice import LayerFindings, own_layer, settle_layers
from pairx_plugin.layer_sweep import DecidedPair, _chosen, _figures, measure_layers, sweep_layers
from pairx_plugin.models.embedding import EmbeddingModel
from pairx_plugin.models.layers import suggest_layer
from pairx_plugin.settings import Settings

torch.set_num_threads(1)
AUTO = Settings(layers="auto")
LAYERS = ["backbone.blocks.0", "backbone.blocks.1", "backbone.blocks.3"]


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), model_id="small")


@pytest.fixture(scope="module")
def pairs(make_texture):
    """Confirmed pairs of six individuals: each a picture and the same one, shifted by a few pixels."""
    made = []
    for seed in range(6):
        picture = make_texture(seed)
        shifted = np.roll(picture, 4, axis=1)
        made.append(DecidedPair(individual=f"i{seed}", query=as_chip(picture), candidate=as_chip(shifted)))
    return made


@pytest.fixture(scope="module")
def findings(model, pairs):
    return measure_layers(model, pairs, LAYERS)


def test_without_a_file_auto_is_the_layer_that_is_taken_unasked(model, miewid_network):
    key = suggest_layer(miewid_network, (64, 64)).key
    settings, said = settle_layers(model, PairX(), AUTO)
    assert settings.layers == (key,) and settings.layer_choice == ""
    assert said["layer_choice"]["rule"] == "GRID" and said["layer_choice"]["layer"] == key
    own = EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1")
    assert own_layer(own)[:2] == ("backbone.blocks.1", "MODEL_DEFAULT")
    assert settle_layers(own, PairX(), AUTO)[0].layers == ("backbone.blocks.1",)


def test_named_layers_are_left_alone_and_auto_stands_alone(model):
    named = Settings(layers=("x", "y"))
    assert settle_layers(model, PairX(), named) == (named, {})
    with pytest.raises(SettingsError, match="must stand alone, not in auto, x"):
        settle_layers(model, PairX(), Settings(layers=("auto", "x")))


def test_other_explainers_keep_a_layer_of_their_own(model):
    class Other:
        explainer_id, version = "other", "1"

    settings, said = settle_layers(model, Other(), AUTO)
    assert settings.layers == () and said["layer_choice"]["rule"] == "EXPLAINER_DEFAULT"


def test_record_says_which_layer_was_chosen_and_why(miewid_network, make_texture, findings, tmp_path):
    chosen = dataclasses.replace(findings, layer_key="backbone.blocks.0", reason="it was told to")
    path = chosen.write(tmp_path / "mine.layers.json")
    options = {"k_colors": 0, "input_size": (64, 64), "layer": "auto", "layer_choice": path}
    [found] = explain_ranking(miewid_network, make_texture(0), [make_texture(1)], **options)
    record = found.to_json()
    assert record["layer_key"] == "backbone.blocks.0" and record["params"]["layers"] == ["backbone.blocks.0"]
    said = record["provenance"]["layer_choice"]
    assert (said["rule"], said["reason"], said["file_sha256"]) == ("CONFIRMED_PAIRS", "it was told to", chosen.digest)
    assert said["figures"]["score"] == findings.figures("backbone.blocks.0").score
    named = {**options, "layer": "backbone.blocks.0", "layer_choice": ""}
    [same] = explain_ranking(miewid_network, make_texture(0), [make_texture(1)], **named)
    assert same.explanation_id == found.explanation_id  # the evidence is the same, however the layer was found


def test_file_for_something_else_is_refused_and_the_rule_followed(model, findings, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "pairx_plugin")
    path = tmp_path / "x.json"
    for changed, code in (
        ({"model_sha256": "sha256:0"}, "MODEL_DIFFERS"),
        ({"explainer_version": "0"}, "EXPLAINER_DIFFERS"),
        ({"params": {**findings.params, "mode": "corrected"}}, "SETTINGS_DIFFER"),
    ):
        dataclasses.replace(findings, **changed).write(path)
        settings, said = settle_layers(model, PairX(), Settings(layers="auto", layer_choice=path))
        assert said["layer_choice"]["file_refused"] == code and said["layer_choice"]["rule"] == "GRID"
        assert settings.layers == (own_layer(model)[0],)
    assert "MODEL_DIFFERS" in caplog.text
    absent = Settings(layers="auto", layer_choice=tmp_path / "absent")
    assert "cannot be read" in settle_layers(model, PairX(), absent)[1]["layer_choice"]["file_refused"]
    none = Settings(layers="auto", layer_choice="none")
    assert "file_refused" not in settle_layers(model, PairX(), none)[1]["layer_choice"]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("no json", "is not JSON"),
        ('{"schema": "pairx.layer_choice/9"}', "is not of schema"),
        ('{"schema": "pairx.layer_choice/1", "layers": []}', "damaged"),
        ("[]", "is not of schema"),
    ],
)
def test_damaged_file_says_what_to_do(tmp_path, text, match):
    path = tmp_path / "broken.layers.json"
    path.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=match) as caught:
        LayerFindings.from_file(path)
    assert "choose-layer" in str(caught.value)


def test_file_comes_back_as_it_was_written(findings, tmp_path):
    assert LayerFindings.from_file(findings.write(tmp_path / "a.json")) == findings
    json.loads((tmp_path / "a.json").read_text("utf-8"))
    with pytest.raises(StoreError, match="the layer choice '.*' cannot be written"):
        findings.write(tmp_path / "a.json" / "b.json")


def test_settings_that_evidence_depends_on_hold_the_file_by_its_content(findings, tmp_path):
    here, there = (str(findings.write(tmp_path / name)) for name in ("a.json", "b.json"))
    digests = {Settings(layers="auto", layer_choice=path).params()["layer_choice"] for path in (here, there)}
    assert len(digests) == 1 and "layer_choice" not in AUTO.params()


def test_sweep_gives_the_evidence_of_each_layer_alone(model, pairs):
    swept = sweep_layers(model, pairs[0].query, pairs[0].candidate, LAYERS)
    assert [item.evidence.layer_key for item in swept.layers] == LAYERS
    assert set(swept.seconds) == {"forward", "relevance"} and all(item.seconds > 0 for item in swept.layers)
    for item in swept.layers:
        [alone] = explain_ranking(
            model, pairs[0].query, [pairs[0].candidate], layer=item.evidence.layer_key, k_colors=0
        )
        layer = alone.evidence.layer()
        assert (layer.matches.cells_1 == item.evidence.matches.cells_1).all()
        np.testing.assert_allclose(layer.relevance_0, item.evidence.relevance_0, rtol=1e-5, atol=1e-12)
        assert layer.plausibility.n_inliers == item.evidence.plausibility.n_inliers


def test_measured_layers_have_figures_and_the_default_is_among_them(model, findings):
    default = own_layer(model)[0]
    assert [layer.layer_key for layer in findings.layers] == list(dict.fromkeys([*LAYERS, default]))
    assert findings.default_layer == default and findings.figures(default).gain == 0
    assert (findings.n_confirmed, findings.n_rejected, findings.n_individuals) == (6, 0, 6)
    assert findings.layer_key in {layer.layer_key for layer in findings.layers} and findings.reason
    # shifted twins agree on one pose where the grid is fine enough to tell
    assert findings.figures("backbone.blocks.0").confirmed > 0.2


def test_too_few_individuals_are_refused(model, pairs):
    again = [dataclasses.replace(pair, individual="one") for pair in pairs]
    with pytest.raises(SettingsError, match="pairs of 1 individuals are too few.*at least 5"):
        measure_layers(model, again, LAYERS[:1])


def figures_for(confirmed, rejected=(), keys=("a", "b"), grids=((4, 4), (4, 4))):
    """Figures of layers with these excesses, one individual a row; 'a' is the default."""
    tables = {
        same: {f"{same}{row}": [list(values)] for row, values in enumerate(part)}
        for same, part in ((True, confirmed), (False, rejected))
    }
    return _figures(list(keys), "a", dict(zip(keys, grids)), tables, np.zeros(len(keys)))


def test_coarser_layer_is_chosen_only_where_rejected_pairs_speak_for_it_too():
    confirmed, grids = [(0.1, 0.6 + 0.01 * row) for row in range(6)], ((8, 8), (4, 4))
    key, reason = _chosen(figures_for(confirmed, grids=grids), "a", 6, {True: 6, False: 0})
    assert key == "a" and "coarser grids were left out" in reason
    judged = figures_for(confirmed, [(0.0, 0.0)] * 6, grids=grids)
    assert _chosen(judged, "a", 6, {True: 6, False: 6})[0] == "b"


def test_layer_has_to_beat_the_default_by_two_standard_errors():
    counts = {True: 6, False: 0}
    clear = figures_for([(0.1, 0.5 + 0.01 * row) for row in range(6)])
    assert clear[1].gain == pytest.approx(0.425) and clear[1].gain_error == pytest.approx(0.0076, abs=1e-4)
    assert _chosen(clear, "a", 6, counts)[0] == "b"
    noisy = figures_for([(0.1, 0.9), (0.1, 0.0), (0.1, 0.9), (0.1, 0.0), (0.1, 0.0), (0.1, 0.0)])
    key, reason = _chosen(noisy, "a", 6, counts)
    assert key == "a" and "'b' fits best" in reason and "less than 2 standard errors" in reason
    assert _chosen(figures_for([(0.5, 0.1)] * 6), "a", 6, counts)[0] == "a"


def test_rejected_pairs_count_against_a_layer_that_fits_everything():
    confirmed = [(0.4, 0.6 + 0.01 * row) for row in range(6)]
    assert _chosen(figures_for(confirmed), "a", 6, {True: 6, False: 0})[0] == "b"
    fooled = figures_for(confirmed, [(0.0, 0.6)] * 6)
    assert [layer.score for layer in fooled] == pytest.approx([0.4, 0.025])
    assert _chosen(fooled, "a", 6, {True: 6, False: 6})[0] == "a"
    few = figures_for(confirmed, [(0.0, 0.6)] * 4)
    assert few[1].rejected is None and few[1].score == pytest.approx(0.625)


def test_individual_with_many_pairs_counts_once():
    tables = {True: {"many": [[0.0, 1.0]] * 9, **{f"i{n}": [[0.5, 0.0]] for n in range(5)}}, False: {}}
    found = _figures(["a", "b"], "a", dict.fromkeys("ab", (4, 4)), tables, np.zeros(2))
    assert found[1].confirmed == pytest.approx(1 / 6)
