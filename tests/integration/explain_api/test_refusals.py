"""What is wrong with a request is named, and never a 5xx."""

from __future__ import annotations

import json

import pytest
from explain_bodies import body, check_failure

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.hosts.ml_service import ServedModels, explain_service  # noqa: E402
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate  # noqa: E402

WRONG = {
    "model": (dict(model_id="nope"), 422, "MODEL_UNSUPPORTED", "model_id"),
    "layer": (dict(layer_key="backbone.blocks.99"), 422, "LAYER_UNKNOWN", "layer_key"),
    "layer of the list": (dict(layer_keys=["x"]), 422, "LAYER_UNKNOWN", "layer_keys"),
    "algorithm": (dict(algorithm="magic"), 422, "EXPLAINER_UNKNOWN", "algorithm"),
    "view": (dict(visualization_type="all"), 422, "BAD_REQUEST", "visualization_type"),
    "lines": (dict(k_lines=100), 422, "BAD_REQUEST", "k_lines"),
    "colours": (dict(k_colors=-1), 422, "BAD_REQUEST", "k_colors"),
    "no images": (dict(image1_uris=[], image2_uris=[]), 422, "BAD_REQUEST", "image1_uris"),
    "two and one": (dict(image1_uris=["query.png"] * 2), 422, "BAD_REQUEST", "image1_uris"),
    "too many": (dict(image2_uris=["first.png"] * 17), 422, "BATCH_TOO_LARGE", "image2_uris"),
    "corners": (dict(bb1=[[1, 2, 3]]), 422, "BAD_REQUEST", "bb1[0]"),
    "beside": (dict(bb2=[[900, 900, 20, 20]]), 422, "BBOX_EMPTY", "bb2[0]"),
    "tiny": (dict(bb2=[[0, 0, 2, 2]]), 422, "CHIP_INVALID", "bb2[0]"),
    "missing": (dict(image2_uris=["none.png"]), 422, "IMAGE_NOT_FOUND", "image2_uris[0]"),
    "broken": (dict(image1_uris=["broken.png"]), 422, "IMAGE_UNREADABLE", "image1_uris[0]"),
    "no picture": (dict(image1_uris=["note.txt"]), 422, "IMAGE_UNREADABLE", "image1_uris[0]"),
    "elsewhere": (dict(image1_uris=["/etc/passwd"]), 403, "IMAGE_FORBIDDEN", "image1_uris[0]"),
    "upwards": (dict(image1_uris=["../../etc/passwd"]), 403, "IMAGE_FORBIDDEN", "image1_uris[0]"),
    "network": (dict(image1_uris=["http://169.254.169.254/x"]), 403, "IMAGE_FORBIDDEN", "image1_uris[0]"),
    "third of three": (
        dict(image2_uris=["first.png", "second.png", "gone.png"], bb2=[]), 422, "IMAGE_NOT_FOUND", "image2_uris[2]",
    ),
}


@pytest.mark.parametrize(("more", "status", "code", "field"), WRONG.values(), ids=WRONG)
def test_fault_in_a_request_names_the_field_and_is_never_a_5xx(client, more, status, code, field):
    check_failure(client.post("/explain/", json=body(**more)), status, code, field)
    check_failure(client.post("/explain/", json=body(strict=True, **more)), 400, code, field)


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "missing": b'{"image1_uris": ["a"]}',
    "NaN": b'{"image1_uris": ["query.png"], "bb1": [[NaN, 0, 1, 1]], "image2_uris": ["first.png"], "bb2": []}',
    "infinite": b'{"image1_uris": ["query.png"], "bb1": [[1e999, 0, 1, 1]], "image2_uris": ["a"], "bb2": []}',
    "long number": b'{"image1_uris": ["a"], "image2_uris": ["a"], "bb2": [], "bb1": [[1' + b"0" * 6000 + b",0,1,1]]}",
    "half a character": b'{"image1_uris": ["\\ud800"], "bb1": [], "image2_uris": ["a"], "bb2": []}',
    "broken escape": b'{"image1_uris": ["a"], "bb1": [], "image2_uris": ["a"], "bb2": [], "model_id": "\\ud8"}',
    "deep": b"[" * 100_000,
    "bytes": bytes(range(256)),
    "types": b'{"image1_uris": "query.png", "bb1": {}, "image2_uris": 5, "bb2": null}',
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_malformed_bodies_are_refused(client, content):
    answer = client.post("/explain/", content=content, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500
    check_failure(answer, answer.status_code, answer.json()["errors"][0]["code"])


def test_value_that_does_not_fit_is_named_as_others_are(client):
    check_failure(client.post("/explain/", json=body(bb2=[[0, 0, 9, "x"]])), 422, "BAD_REQUEST", "bb2[0][3]")
    wrong = client.post("/explain/", json=body(image2_uris=[["first.png"]]))
    check_failure(wrong, 422, "BAD_REQUEST", "image2_uris[0]")


def test_layer_that_cannot_be_matched_in_time_is_refused(make_service, folder, model, monkeypatch):
    monkeypatch.setattr(explain_service, "_MOST_CELLS", 255)
    models = ServedModels({"miewid-msv4.1": lambda: model}, alone=True)
    service = explain_service.ExplainService(models, PhotographGate(GateRules(roots=(folder,))))
    client = TestClient(make_service(service).app, base_url="http://localhost")
    refused = check_failure(client.post("/explain/", json=body()), 422, "LAYER_TOO_FINE", "layer_key")
    assert "256 cells" in refused["message"] and "backbone.blocks.2" in refused["message"]
    assert client.post("/explain/", json=body(layer_key="backbone.blocks.2")).status_code == 200


HOSTILE = ["\ud800", "../../etc", "a" * 10_000, "backbone.blocks.1\0", "<script>", "__class__", ""]


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_names_are_only_names(client, key):
    text = json.dumps(body(layer_key=key, output="records"))
    answer = client.post("/explain/", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == (200 if key == "" else 422)
    for field in ("model_id", "algorithm", "visualization_type"):
        text = json.dumps(body(**{field: key}))
        answer = client.post("/explain/", content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422 and len(answer.content) < 4000


def test_body_that_is_too_large_is_refused(make_service):
    client = TestClient(make_service(max_body=2000).app, base_url="http://localhost")
    check_failure(client.post("/explain/", json=body(model_id="x" * 3000)), 413, "BODY_TOO_LARGE")
    pieces = (b'{"model_id": "', *[b"x" * 1000] * 5, b'"}')
    answer = client.post("/explain/", content=iter(pieces), headers={"Content-Type": "application/json"})
    check_failure(answer, 413, "BODY_TOO_LARGE")


def test_unknown_addresses_and_methods_have_the_one_body(client):
    check_failure(client.get("/nothing"), 404, "NOT_ASSOCIATED")
    refused = client.get("/explain/")
    check_failure(refused, 405, "METHOD_NOT_ALLOWED")
    assert refused.headers["allow"] == "POST"
