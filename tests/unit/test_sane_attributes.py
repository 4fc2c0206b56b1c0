"""Attributes: heads and their files, what is named and what is not, guards and alarms, and the record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.chips import Chip
from pairx_plugin.errors import EvidenceError, ModelError, SettingsError
from pairx_plugin.evidence import AttributeEvidence
from pairx_plugin.explainers.base import Stop
from pairx_plugin.explainers.sane import Sane
from pairx_plugin.explainers.sane.attribute_head import (
    HEAD_FILE,
    AttributeHead,
    AttributeLabel,
    Reading,
    read_head,
)
from pairx_plugin.explainers.sane.finding_heads import find_head
from pairx_plugin.explainers.sane.ranking import name_attributes, overlap
from pairx_plugin.models.embedding import EmbeddingModel
from pairx_plugin.pipeline import explain_ranking
from pairx_plugin.settings import Settings

LABELS = (
    AttributeLabel(name="scar", group="mark", threshold=0.6, concept=0.8),
    AttributeLabel(name="notch", group="mark", threshold=0.6, concept=0.2),
    AttributeLabel(name="stripes", group="pattern", threshold=None, informativeness=0.0),
    AttributeLabel(name="left", group="viewpoint", threshold=0.6),
    AttributeLabel(name="right", group="viewpoint", threshold=0.6),
    AttributeLabel(name="grass", group="nuisance", threshold=0.6),
)


def head_of(labels: tuple[AttributeLabel, ...] = LABELS, **changes: Any) -> AttributeHead:
    values: dict[str, Any] = {
        "model_sha256": "sha256:0",
        "layer": "bn",
        "labels": labels,
        "weights": np.zeros((len(labels), 4), np.float32),
        "bias": np.zeros(len(labels), np.float32),
        "ranking": (0.5, 0.3, 0.2),
    }
    return AttributeHead(**{**values, **changes})


def reading(*probabilities: float, at: tuple[int, int] = (1, 1)) -> Reading:
    """Every attribute shows in one cell of a 4 x 4 map."""
    maps = np.zeros((len(probabilities), 4, 4), np.float32)
    maps[:, at[0], at[1]] = 1.0
    return Reading(probability=np.array(probabilities), maps=maps)


def saliency(at: tuple[int, int] = (1, 1), sign: float = 1.0) -> np.ndarray:
    values = np.zeros((4, 4), np.float32)
    values[at] = sign
    return values


SURE = (0.9, 0.1, 0.99, 0.9, 0.1, 0.1)


def test_shared_attribute_is_ranked_by_the_three_terms() -> None:
    both = reading(0.9, 0.95, 0.99, 0.9, 0.1, 0.1)
    named = name_attributes(head_of(), (both, both), (saliency(), saliency((3, 3))))
    assert [item.name for item in named.attributes] == ["scar", "notch"] and not named.abstained
    scar = named.attributes[0]
    assert (scar.kind, scar.side, scar.group) == ("same", None, "mark")
    assert scar.confidence == pytest.approx(0.9) and scar.prior == pytest.approx(0.8)
    assert scar.overlap == pytest.approx(0.5)  # whole in the query, none in the candidate
    assert scar.score == pytest.approx(0.5 * 0.9 + 0.3 * 0.5 + 0.2 * 0.8)
    assert scar.peak(0) == (0.375, 0.375)


def test_confidence_of_a_pair_is_the_smaller_one_and_below_the_threshold_nothing_is_named() -> None:
    named = name_attributes(head_of(), (reading(*SURE), reading(0.59, *SURE[1:])), (saliency(), saliency()))
    assert named.abstained and [item.kind for item in named.attributes] == []


def test_what_a_whole_species_shares_and_what_was_never_right_is_not_named() -> None:
    named = name_attributes(head_of(), (reading(*SURE), reading(*SURE)), (saliency(), saliency()))
    assert "stripes" not in [item.name for item in named.attributes]


def test_attribute_of_one_side_says_why_they_differ() -> None:
    lacking = (0.05, *SURE[1:])
    named = name_attributes(head_of(), (reading(*lacking), reading(*SURE)), (saliency(), saliency(sign=-1.0)))
    (found,) = named.attributes
    assert (found.name, found.kind, found.side) == ("scar", "different", 1) and named.abstained
    assert found.confidence == pytest.approx(0.9 * 0.95)
    assert found.overlap == pytest.approx(1.0)  # it lies where the candidate speaks against the similarity


def test_at_most_three_are_named() -> None:
    labels = tuple(AttributeLabel(name=f"mark_{n}", group="mark", threshold=0.5) for n in range(6))
    sure = reading(*[0.6 + 0.05 * n for n in range(6)])
    named = name_attributes(head_of(labels), (sure, sure), (saliency(), saliency()))
    assert [item.name for item in named.attributes] == ["mark_5", "mark_4", "mark_3"]


def test_viewpoints_that_differ_are_doubted() -> None:
    other = (*SURE[:3], 0.1, 0.8, 0.1)
    named = name_attributes(head_of(), (reading(*SURE), reading(*other)), (None, None))
    (doubt,) = named.doubts
    assert doubt.code == "VIEWPOINTS_DIFFER" and doubt.values == {"viewpoint_0": "left", "viewpoint_1": "right"}
    unsure = (*SURE[:3], 0.1, 0.4, 0.1)
    assert name_attributes(head_of(), (reading(*SURE), reading(*unsure)), (None, None)).doubts == ()


def test_nuisance_at_the_places_that_count_raises_an_alarm() -> None:
    grassy = (*SURE[:5], 0.9)
    sides = reading(*grassy), reading(*grassy)
    (doubt,) = name_attributes(head_of(), sides, (saliency(), saliency())).doubts
    assert doubt.code == "NUISANCE_COUNTS" and doubt.values["attribute"] == "grass"
    assert name_attributes(head_of(), sides, (saliency(), saliency((3, 3)))).doubts == ()


def test_overlap_is_a_cosine_of_positive_parts_at_any_sizes() -> None:
    rng = np.random.default_rng(0)
    attribute, counts = rng.normal(size=(5, 5)).astype(np.float32), rng.normal(size=(5, 5)).astype(np.float32)
    a, b = np.maximum(attribute - attribute.mean(), 0).ravel(), np.maximum(counts, 0).ravel()
    assert overlap(attribute, counts) == pytest.approx(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), abs=1e-5)
    assert overlap(attribute, np.zeros((7, 3), np.float32)) == 0.0
    assert overlap(np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)) == 0.0  # it shows nowhere in particular
    assert 0.9 < overlap(np.kron(attribute, np.ones((4, 4), np.float32)), attribute) <= 1.0


def test_head_reads_the_spatial_mean_of_its_maps() -> None:
    head = head_of(
        (AttributeLabel(name="scar", group="mark", calibration=(2.0, -1.0)),),
        weights=np.array([[1.0, -1.0, 0.5, 0.0]], np.float32),
        bias=np.array([0.25], np.float32),
    )
    features = torch.arange(4 * 6.0).view(4, 2, 3)
    read = head.read(features)
    score = float((head.weights @ features.mean((1, 2)).numpy())[0] + 0.25)
    assert read.maps.shape == (1, 2, 3) and float(read.maps.mean()) == pytest.approx(score)
    assert float(read.probability[0]) == pytest.approx(1 / (1 + np.exp(-(2 * score - 1))))
    with pytest.raises(ModelError, match="reads 4 channels"):
        head.read(torch.zeros(5, 2, 3))


def test_head_survives_its_file(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(len(LABELS), 4)).astype(np.float32)
    head = head_of(weights=weights, provenance={"made": "today"})
    head.write(tmp_path / "head.json")
    again = read_head(tmp_path / "head.json")
    assert again.labels == head.labels and again.digest == head.digest and again.ranking == head.ranking
    assert np.allclose(again.weights, weights, rtol=1e-6) and again.provenance == {"made": "today"}
    assert replace(again, layer="other").digest != head.digest and list(tmp_path.iterdir()) == [tmp_path / "head.json"]


@pytest.mark.parametrize(
    "content, error, words",
    [
        (None, SettingsError, "train-attributes"),
        ("no json", ModelError, "not JSON"),
        ("[]", ModelError, "no attribute head"),
        ('{"schema": "pairx.attribute-head/9"}', ModelError, "train the head again"),
        ('{"schema": "pairx.attribute-head/1", "labels": 3}', ModelError, "no attribute head"),
    ],
    ids=["missing", "text", "list", "schema", "damaged"],
)
def test_file_that_is_no_head_is_refused(
    tmp_path: Path, content: str | None, error: type[Exception], words: str
) -> None:
    if content is not None:
        (tmp_path / "head.json").write_text(content)
    with pytest.raises(error, match=words):
        read_head(tmp_path / "head.json")


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"weights": np.zeros((2, 4), np.float32)}, r"\(6, C\)"),
        ({"bias": np.full(6, np.nan, np.float32)}, "not finite"),
        ({"ranking": (0.5, 0.5, 0.5)}, "1 in sum"),
        ({"labels": (*LABELS[:5], replace(LABELS[5], group="mood"))}, "no group 'mood'"),
    ],
    ids=["shape", "nan", "ranking", "group"],
)
def test_head_whose_parts_do_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        head_of(**{"labels": LABELS, **changes})


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"kind": "similar"}, "kind 'same'"),
        ({"kind": "different"}, "side 0 or 1"),
        ({"side": 0}, "kind 'same'"),
        ({"confidence": 1.2}, "confidence of attribute 'scar'"),
        ({"score": float("nan")}, "finite"),
        ({"map_0": np.zeros(3, np.float32)}, "maps of attribute"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_attribute_evidence_checks_itself(changes: dict[str, Any], words: str) -> None:
    terms = {"confidence": 0.5, "overlap": 0.5, "prior": 0.5, "score": 0.5}
    with pytest.raises(EvidenceError, match=words):
        AttributeEvidence(**{"name": "scar", "group": "mark", "kind": "same", **terms, **changes})


@pytest.fixture
def tiny(tiny_network: nn.Module, tmp_path: Path) -> tuple[EmbeddingModel, AttributeHead]:
    """A network of four channels and a head that fires on its first one; the head lies beside its checkpoint."""
    model = EmbeddingModel(tiny_network, input_size=(24, 24), model_id=str(tmp_path / "network.pt"))
    (tmp_path / "network.pt").write_bytes(b"")
    label = AttributeLabel(name="scar", group="mark", threshold=0.5, calibration=(1.0, 30.0))
    head = head_of(
        (label,),
        weights=np.array([[1.0, 0.0, 0.0, 0.0]], np.float32),
        bias=np.zeros(1, np.float32),
        model_sha256=model.fingerprint(),
    )
    head.write(tmp_path / HEAD_FILE)
    return model, head


def test_head_beside_the_checkpoint_is_found(tiny: tuple[EmbeddingModel, AttributeHead], tmp_path: Path) -> None:
    model, head = tiny
    found, doubts = find_head(model, "")
    assert found is not None and found.digest == head.digest and doubts == ()
    assert find_head(model, "without") == (None, ())
    model.model_id = str(tmp_path)  # a checkpoint may be named by its folder
    assert find_head(model, "")[0] is not None


def test_head_of_another_network_is_left_out_or_refused(
    tiny: tuple[EmbeddingModel, AttributeHead], tmp_path: Path
) -> None:
    model, head = tiny
    replace(head, model_sha256="sha256:other").write(tmp_path / HEAD_FILE)
    found, doubts = find_head(model, "")
    assert found is None and [doubt.code for doubt in doubts] == ["HEAD_OF_ANOTHER_MODEL"]
    with pytest.raises(SettingsError, match="fitted on the network sha256:other"):
        find_head(model, str(tmp_path / HEAD_FILE))
    (tmp_path / HEAD_FILE).write_text("damaged")
    assert [doubt.code for doubt in find_head(model, "")[1]] == ["NO_ATTRIBUTE_HEAD"]


def test_attributes_come_first_and_saliency_after(
    tiny: tuple[EmbeddingModel, AttributeHead], make_texture: Any
) -> None:
    model, head = tiny
    chips = [Chip.from_array(make_texture(seed, 24)) for seed in (1, 2)]
    explainer = Sane()
    session = explainer.prepare(model, chips[0], Settings(options={"sane_cells": 4}))
    assert explainer.version == f"1, head {head.digest[:16]}"
    (_, first), (_, last) = list(session.steps(chips[1:], Stop()))
    assert first.missing == ("saliency",) and not first.final and not first.layers[0].relevance_0.any()
    assert last.missing == () and last.layers[0].relevance_0.any()
    assert [item.name for item in first.attributes] == [item.name for item in last.attributes] == ["scar"]
    assert first.attributes[0].overlap == 0.0 and last.attributes[0].map_0.shape == (12, 12)


def test_time_that_runs_out_keeps_the_attributes(
    tiny: tuple[EmbeddingModel, AttributeHead], make_texture: Any
) -> None:
    chips = [Chip.from_array(make_texture(seed, 24)) for seed in (1, 2)]
    (found,) = explain_ranking(tiny[0], chips[0], chips[1:], explainer="sane", time_budget=1e-3)
    assert found.status.value in ("partial", "failed")
    assert found.failure is not None and found.failure.code == "TIME_BUDGET"


def test_record_holds_the_terms_and_no_bare_label(
    tiny: tuple[EmbeddingModel, AttributeHead], make_texture: Any
) -> None:
    chips = [Chip.from_array(make_texture(seed, 24)) for seed in (1, 2)]
    (found,) = explain_ranking(tiny[0], chips[0], chips[1:], explainer="sane", options={"sane_cells": 4})
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    (attribute,) = record["attributes"]
    assert record["abstained"] is False
    assert set(attribute) == {
        "name", "group", "kind", "side", "confidence", "overlap", "prior", "score", "peak0", "peak1",
    }
    assert attribute["name"] == "scar" and 0.0 <= attribute["overlap"] <= 1.0
    assert all(0.0 < share < 1.0 for share in attribute["peak0"] + attribute["peak1"])
