"""What ``/explain/`` answers: ml-service's keys, sizes and order, records beside them, layers, boxes and turns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from explain_bodies import body, check_failure, picture

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.chips import as_chip  # noqa: E402
from pairx_plugin.hosts.ml_service import ExplainService, ServedModels  # noqa: E402
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate  # noqa: E402
from pairx_plugin.layer_sweep import DecidedPair, measure_layers  # noqa: E402


def test_answer_has_ml_services_keys_in_their_order(client):
    answer = client.post("/explain/", json=body())
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    found = answer.json()
    assert list(found)[:3] == ["response", "images", "count"]
    assert (found["response"], found["count"], found["warnings"]) == ("visualizations", 1, [])
    assert picture(found["images"][0]).shape == (64, 128, 3)


def test_address_without_a_slash_is_answered_and_not_redirected(client):
    assert client.post("/explain", json=body(), follow_redirects=False).status_code == 200


@pytest.mark.parametrize(
    ("view", "size"), [("only_colors", (64, 128)), ("only_lines", (64, 128)), ("lines_and_colors", (128, 128))]
)
def test_views_have_ml_services_sizes(client, view, size):
    found = client.post("/explain/", json=body(visualization_type=view)).json()
    assert picture(found["images"][0]).shape == (*size, 3)


def test_one_query_with_many_candidates_in_their_order(client):
    names = ["first.png", "second.png", "third.png"]
    many = client.post("/explain/", json=body(image2_uris=names, bb2=[])).json()
    assert many["count"] == 3
    for name, text in zip(names, many["images"]):
        alone = client.post("/explain/", json=body(image2_uris=[name], bb2=[])).json()
        assert np.abs(picture(text).astype(int) - picture(alone["images"][0]).astype(int)).max() <= 1


def test_many_queries_with_as_many_candidates(client):
    names = ["first.png", "second.png"]
    found = client.post("/explain/", json=body(image1_uris=names, bb1=[], image2_uris=names[::-1], bb2=[])).json()
    assert found["count"] == 2
    assert not np.array_equal(picture(found["images"][0]), picture(found["images"][1]))


def test_records_on_request(client):
    found = client.post("/explain/", json=body(output="both")).json()
    record = found["explanations"][0]
    assert (record["schema"], record["status"]) == ("pairx.explanation/1", "ready")
    assert (record["model_id"], record["layer_key"]) == ("miewid-msv4.1", "backbone.blocks.1")
    assert [image["uri"] for image in record["images"]] == ["query.png", "first.png"]
    assert record["images"][1]["bbox"] == [8.0, 8.0, 80.0, 80.0] and len(record["matches"]) == 4
    alone = client.post("/explain/", json=body(output="records")).json()
    assert "images" not in alone and alone["count"] == 1  # an empty list would say that the pair is unsupported
    assert alone["explanations"][0]["id"] == record["id"]
    assert alone["explanations"][0]["matches"] == record["matches"]


def test_several_layers_in_a_record(client):
    layers = ["backbone.blocks.2", "backbone.blocks.1"]
    record = client.post("/explain/", json=body(output="records", layer_keys=layers)).json()["explanations"][0]
    assert [record["layer_key"], *(item["layer_key"] for item in record["other_layers"])] == layers


def test_layer_that_is_not_named_is_the_models_own(client):
    asked = body(output="records")
    del asked["layer_key"]
    assert client.post("/explain/", json=asked).json()["explanations"][0]["layer_key"] == "backbone.blocks.1"


def test_layer_auto_is_the_rules_without_a_file_and_says_so(client):
    for names in ({"layer_key": "auto"}, {"layer_keys": ["auto"]}):
        (record,) = client.post("/explain/", json=body(output="records", **names)).json()["explanations"]
        assert record["layer_key"] == "backbone.blocks.1"
        assert record["provenance"]["layer_choice"]["rule"] == "MODEL_DEFAULT"
    refused = client.post("/explain/", json=body(layer_keys=["auto", "backbone.blocks.1"]))
    check_failure(refused, 422, "BAD_REQUEST", "layer_keys")


def test_layer_auto_is_what_confirmed_pairs_showed_for_that_model(make_service, folder, model, make_texture):
    same = [as_chip(make_texture(seed)) for seed in range(5)]
    pairs = [DecidedPair(individual=str(number), query=chip, candidate=chip) for number, chip in enumerate(same)]
    found = measure_layers(model, pairs, ["backbone.blocks.0", "backbone.blocks.2"])
    path = dataclasses.replace(found, layer_key="backbone.blocks.2", reason="it was told to").write(folder / "a.json")
    models = ServedModels({"one": lambda: model, "other": lambda: model})
    gate = PhotographGate(GateRules(roots=(folder,)))
    client = TestClient(
        make_service(ExplainService(models, gate, layer_choices={"one": str(path)})).app, base_url="http://localhost"
    )
    told = {}
    for name in ("one", "other"):
        asked = body(output="records", layer_key="auto", model_id=name, k_lines=20)  # as the pairs were explained
        (record,) = client.post("/explain/", json=asked).json()["explanations"]
        told[name] = record["layer_key"], record["provenance"]["layer_choice"]["rule"]
    assert told == {
        "one": ("backbone.blocks.2", "CONFIRMED_PAIRS"),
        "other": ("backbone.blocks.1", "MODEL_DEFAULT"),
    }


def test_turn_without_a_box_is_answered(client):
    found = client.post("/explain/", json=body(bb1=[], theta1=[0.4], bb2=[], theta2=[-0.4], output="both"))
    assert found.status_code == 200
    assert [image["theta"] for image in found.json()["explanations"][0]["images"]] == [0.4, -0.4]


def test_box_over_the_edge_is_cut_with_a_warning_and_refused_where_strict(client):
    asked = body(bb2=[[-20, 4, 60, 60]])
    assert client.post("/explain/", json=asked).json()["warnings"] == [
        {
            "code": "BBOX_CLAMPED",
            "message": "The box [-20.0, 4.0, 60.0, 60.0] hangs over the photograph and was cut to [0, 4, 40, 60].",
            "field": "bb2[0]",
        }
    ]
    check_failure(client.post("/explain/", json={**asked, "strict": True}), 400, "BAD_REQUEST", "bb2[0]")


def test_record_holds_what_was_cut_off_of_its_box(client):
    (record,) = client.post("/explain/", json=body(bb2=[[-20, 4, 60, 60]], output="records")).json()["explanations"]
    query, candidate = record["images"]
    assert [item["code"] for item in candidate["warnings"]] == ["BBOX_CLAMPED"] and not query["warnings"]
    assert candidate["bbox"] == [0.0, 4.0, 40.0, 60.0]


def test_lists_longer_than_their_images_are_told(client):
    found = client.post("/explain/", json=body(theta1=[0.0, 0.1, 0.2], unknown={"a": 1})).json()
    assert [(item["code"], item["field"]) for item in found["warnings"]] == [("EXTRA_IGNORED", "theta1")]


def test_offer_says_what_there_is(client):
    client.post("/explain/", json=body())
    offer = client.get("/review/v1/explainers").json()
    assert offer["explainers"][0]["explainer_id"] == "pairx"
    assert offer["models"] == [
        {
            "model_id": "miewid-msv4.1",
            "state": "ready",
            "input_size": [64, 64],
            "layer_key": "backbone.blocks.1",
            "layers": [],
        }
    ]
    assert offer["limits"]["pairs"] == 16 and offer["usual_seconds"] > 0
