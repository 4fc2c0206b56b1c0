"""The service over HTTP: answers, refusals, two requests at once, and what never gets through."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.chips import as_chip  # noqa: E402
from pairx_plugin.explainers.pairx import PairX  # noqa: E402
from pairx_plugin.hosts.ml_service import ApiServer, ExplainService, ServedModels, ServiceConfig  # noqa: E402
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate  # noqa: E402
from pairx_plugin.layer_sweep import DecidedPair, measure_layers  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1", model_id="net")


@pytest.fixture
def folder(tmp_path, make_texture):
    for seed, name in enumerate(("query", "first", "second", "third")):
        Image.fromarray(make_texture(seed, size=96)).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "note.txt").write_text("a note")
    return tmp_path


@pytest.fixture
def make_service(folder, model):
    """Build a service over the folder's photographs: ``make_service(config={}, **server_options)``."""
    made = []

    def make(service=None, *, rules=None, token="", hosts=(), **config):
        gate = PhotographGate(rules or GateRules(roots=(folder,)))
        service = service or ExplainService(ServedModels({"miewid-msv4.1": lambda: model}), gate)
        server = ApiServer(service, ServiceConfig(**config), token=token, hosts=hosts)
        server.service = service
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture
def client(make_service):
    return TestClient(make_service().app, base_url="http://localhost", raise_server_exceptions=False)


def body(**more):
    asked = {
        "image1_uris": ["query.png"],
        "bb1": [[0, 0, 0, 0]],
        "image2_uris": ["first.png"],
        "bb2": [[8, 8, 80, 80]],
        "layer_key": "backbone.blocks.1",
        "k_lines": 4,
        "k_colors": 1,
    }
    return {**asked, **more}


def picture(text: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
        assert image.format == "PNG" and image.mode == "RGB"
        return np.asarray(image)


def check_failure(answer, status, code, field=None):
    found = answer.json()
    assert answer.status_code == status, found
    assert found["success"] is False and found["message"] == found["detail"] and found["message"]
    assert found["errors"][0]["code"] == code
    assert field is None or found["errors"][0]["field"] == field
    assert found["errors"][0]["retryable"] is (status in (429, 502, 503, 504))
    assert re.fullmatch(r"[0-9a-f]{16}", found["request_id"])
    return found


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


def test_lists_longer_than_their_images_are_told(client):
    found = client.post("/explain/", json=body(theta1=[0.0, 0.1, 0.2], unknown={"a": 1})).json()
    assert [(item["code"], item["field"]) for item in found["warnings"]] == [("EXTRA_IGNORED", "theta1")]


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


def test_photograph_within_the_request_needs_no_permission(make_service, folder, make_texture):
    client = TestClient(make_service(rules=GateRules(max_pixels=10_000)).app, base_url="http://localhost")
    stream = io.BytesIO()
    Image.fromarray(make_texture(1, size=96)).save(stream, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    found = client.post("/explain/", json=body(image1_uris=[uri], image2_uris=[uri], output="both"))
    assert found.status_code == 200
    assert found.json()["explanations"][0]["images"][0]["uri"] == "data:image/png;base64,..."
    check_failure(client.post("/explain/", json=body()), 403, "IMAGE_FORBIDDEN")
    stream = io.BytesIO()
    Image.fromarray(make_texture(1, size=128)).save(stream, "PNG")
    large = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    answer = client.post("/explain/", json=body(image1_uris=[uri], image2_uris=[large]))
    check_failure(answer, 413, "IMAGE_TOO_LARGE", "image2_uris[0]")


def test_photograph_that_was_sent_before_is_named_by_many_requests(make_service, make_texture):
    client = TestClient(make_service(rules=GateRules(max_pixels=10_000)).app, base_url="http://localhost")
    uris = []
    for seed in (1, 2):
        stream = io.BytesIO()
        Image.fromarray(make_texture(seed, size=96)).save(stream, "PNG")
        sent = client.post("/explain/photographs/", content=stream.getvalue(), headers={"Content-Type": "image/png"})
        assert sent.status_code == 201 and (sent.json()["width"], sent.json()["height"]) == (96, 96)
        uris.append(sent.json()["uri"])
        again = client.post("/explain/photographs/", content=stream.getvalue())
        assert again.json()["uri"] == uris[-1]
    inline = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    asked = body(image1_uris=[uris[0]], image2_uris=[uris[1]], output="both")
    found, expected = (
        client.post("/explain/", json={**asked, "image2_uris": [uri]}).json() for uri in (uris[1], inline)
    )
    assert found["images"] == expected["images"]
    assert found["explanations"][0]["images"][1]["uri"] == uris[1][:19] + "..."


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "IMAGE_UNREADABLE"),
        (b"--x\r\nnot a photograph", 422, "IMAGE_UNREADABLE"),
        ("large", 413, "IMAGE_TOO_LARGE"),
    ],
    ids=["empty", "form", "large"],
)
def test_what_is_sent_and_is_no_photograph_is_refused(make_service, make_texture, content, status, code):
    client = TestClient(make_service(rules=GateRules(max_pixels=1_000)).app, base_url="http://localhost")
    if content == "large":
        stream = io.BytesIO()
        Image.fromarray(make_texture(1, size=96)).save(stream, "PNG")
        content = stream.getvalue()
    check_failure(client.post("/explain/photographs/", content=content), status, code, "body")


def test_photograph_that_nobody_sent_and_one_that_nobody_may_send(make_service, client):
    gone = client.post("/explain/", json=body(image1_uris=["upload:" + 64 * "0"]))
    check_failure(gone, 422, "IMAGE_NOT_FOUND", "image1_uris[0]")
    closed = TestClient(make_service(rules=GateRules(inline=False)).app, base_url="http://localhost")
    check_failure(closed.post("/explain/photographs/", content=b"x"), 403, "IMAGE_FORBIDDEN")
    strange = client.post("/explain/", json=body(image1_uris=["upload:../../etc/passwd"]))
    assert strange.status_code in (403, 422) and strange.json()["errors"][0]["field"] == "image1_uris[0]"


def test_body_that_is_too_large_is_refused(make_service):
    client = TestClient(make_service(max_body=2000).app, base_url="http://localhost")
    check_failure(client.post("/explain/", json=body(model_id="x" * 3000)), 413, "BODY_TOO_LARGE")
    pieces = (b'{"model_id": "', *[b"x" * 1000] * 5, b'"}')
    answer = client.post("/explain/", content=iter(pieces), headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 413)


class Held:
    """PAIR-X that waits for a gate before it begins."""

    explainer_id, version = "pairx", "1"

    def __init__(self) -> None:
        self.gate, self.begun = threading.Event(), threading.Event()

    def prepare(self, model, query, settings):
        self.begun.set()
        assert self.gate.wait(20)
        return PairX().prepare(model, query, settings)


@pytest.fixture
def held(make_service, monkeypatch):
    """A service whose explanations wait: ``held(**config)`` gives client and explainer."""

    def make(**config):
        explainer, server = Held(), make_service(**config)
        monkeypatch.setattr(server.service, "_explainer", lambda _: explainer)
        return TestClient(server.app, base_url="http://localhost"), explainer

    return make


def test_service_answers_while_it_computes(held):
    client, explainer = held()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/explain/", json=body())
        assert explainer.begun.wait(20)
        started = time.monotonic()
        assert client.get("/health").json()["requests"] == 1
        check_failure(client.post("/explain/", json=body(k_lines=-1)), 422, "BAD_REQUEST")
        assert time.monotonic() - started < 5
        explainer.gate.set()
        assert first.result(30).status_code == 200


def test_two_requests_at_once_are_both_answered_and_do_not_mix(client):
    names = ["first.png", "second.png", "third.png"]
    alone = {name: client.post("/explain/", json=body(image2_uris=[name])).json()["images"] for name in names}
    with ThreadPoolExecutor(6) as pool:
        asked = names * 2
        found = list(pool.map(lambda name: client.post("/explain/", json=body(image2_uris=[name])).json(), asked))
    assert [item["images"] for item in found] == [alone[name] for name in asked]


def test_full_service_says_when_to_come_again(held):
    client, explainer = held(waiting=1)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(client.post, "/explain/", json=body()) for _ in range(2)]
        deadline = time.monotonic() + 20
        while client.get("/health").json()["requests"] < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        refused = client.post("/explain/", json=body())
        check_failure(refused, 429, "BUSY")
        assert int(refused.headers["retry-after"]) >= 1
        explainer.gate.set()
        assert [item.result(30).status_code for item in running] == [200, 200]
    assert client.post("/explain/", json=body()).status_code == 200


def test_request_that_takes_too_long_ends(held):
    client, explainer = held(time_limit=0.3)
    check_failure(client.post("/explain/", json=body()), 504, "TIMEOUT")
    explainer.gate.set()


def test_out_of_memory_may_be_tried_again(make_service, monkeypatch):
    class Short(Held):
        def prepare(self, model, query, settings):
            raise MemoryError("no room")

    server = make_service()
    monkeypatch.setattr(server.service, "_explainer", lambda _: Short())
    client = TestClient(server.app, base_url="http://localhost")
    refused = client.post("/explain/", json=body())
    check_failure(refused, 503, "OUT_OF_MEMORY")
    assert "retry-after" in refused.headers


def test_mistake_of_an_explainer_is_a_500_that_tells_nothing(make_service, monkeypatch, caplog):
    class Wrong(Held):
        def prepare(self, model, query, settings):
            raise KeyError("/secret/place")

    server = make_service()
    monkeypatch.setattr(server.service, "_explainer", lambda _: Wrong())
    client = TestClient(server.app, base_url="http://localhost", raise_server_exceptions=False)
    answer = client.post("/explain/", json=body())
    check_failure(answer, 500, "INTERNAL")
    assert "/secret" not in answer.text and "/secret/place" in caplog.text


def test_model_that_cannot_be_loaded(make_service, folder, caplog):
    def load():
        raise OSError("/secret/model.bin is not there")

    service = ExplainService(ServedModels({"miewid-msv4.1": load}), PhotographGate(GateRules(roots=(folder,))))
    client = TestClient(make_service(service).app, base_url="http://localhost")
    answer = client.post("/explain/", json=body())
    check_failure(answer, 503, "MODEL_FAILED", "model_id")
    assert "/secret" not in answer.text and "/secret/model.bin" in caplog.text
    assert client.get("/health").json()["status"] == "degraded"


def test_hosts_network_on_another_thread_stays_bit_for_bit(client, model, make_tensor, make_texture):
    batch = make_tensor(make_texture(4), make_texture(5))
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    with torch.no_grad():
        alone = model.network(batch)
    different, stop = [], threading.Event()

    def host() -> None:
        while not stop.is_set():
            with torch.no_grad():
                if not torch.equal(model.network(batch), alone):
                    different.append(1)

    thread = threading.Thread(target=host)
    thread.start()
    for _ in range(3):
        assert client.post("/explain/", json=body()).status_code == 200
    stop.set()
    thread.join()
    assert not different
    after = model.network.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in model.network.parameters())


def test_token_is_asked_for(make_service):
    client = TestClient(make_service(token="t" * 24).app, base_url="http://localhost")
    assert client.get("/health").status_code == 200
    for method, address, asked in (("POST", "/explain/", body()), ("GET", "/openapi.json", None)):

        def ask(method=method, address=address, asked=asked, **more):
            return client.request(method, address, json=asked, **more)

        refused = ask()
        check_failure(refused, 401, "AUTH_REQUIRED")
        assert refused.headers["www-authenticate"] == "Bearer"
        check_failure(ask(headers={"Authorization": "Bearer " + "x" * 24}), 401, "AUTH_REQUIRED")
        assert ask(headers={"Authorization": "Bearer " + "t" * 24}).status_code == 200


def test_pages_of_other_sites_are_refused_and_programs_are_not(make_service):
    client = TestClient(make_service(hosts=("localhost",)).app, base_url="http://localhost")
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ):
        answer = client.post("/explain/", json=body(), headers=headers)
        assert answer.status_code == 403 and answer.json()["errors"][0]["code"] in ("CSRF_FAILED", "HOST_FORBIDDEN")
    assert client.post("/explain/", json=body(), headers={"Origin": "http://localhost"}).status_code == 200


def test_offer_says_what_there_is(client):
    client.post("/explain/", json=body())
    offer = client.get("/review/v1/explainers").json()
    assert offer["explainers"][0]["explainer_id"] == "pairx"
    assert offer["models"] == [
        {"model_id": "miewid-msv4.1", "state": "ready", "input_size": [64, 64], "layer_key": "backbone.blocks.1"}
    ]
    assert offer["limits"]["pairs"] == 16 and offer["usual_seconds"] > 0


def test_unknown_addresses_and_methods_have_the_one_body(client):
    check_failure(client.get("/nothing"), 404, "NOT_ASSOCIATED")
    refused = client.get("/explain/")
    check_failure(refused, 405, "METHOD_NOT_ALLOWED")
    assert refused.headers["allow"] == "POST"


def test_inspection_is_made_once_and_kept(client):
    address = "/api/v3/match-inspection/mr-1/annot-2"
    check_failure(client.post(address), 404, "NOT_ASSOCIATED")
    made = client.post(address, json=body())
    assert made.status_code == 201
    asset = made.json()["asset"]
    assert (asset["width"], asset["height"], asset["labels"]) == (128, 64, ["matchInspectionPairx"])
    assert made.json()["success"] is True and made.json()["explanation"]["schema"] == "pairx.explanation/1"
    kept = client.get(asset["url"])
    assert kept.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(kept.content)) as image:
        assert image.size == (128, 64)
    assert client.post(address).status_code == 200
    assert client.post(address, json=body()).json() == made.json()
    assert client.get(address).json() == made.json()
    again = client.post(address, json=body(bb2=[[0, 0, 90, 90]]))  # another box: the picture is no longer of this pair
    assert again.status_code == 201 and client.get(asset["url"]).content != kept.content


def test_inspection_is_of_one_pair_and_its_ids_are_only_names(client):
    address = "/api/v3/match-inspection/..%5Cx/%3Cb%3E"
    two = body(image2_uris=["first.png", "second.png"], bb2=[])
    check_failure(client.post(address, json=two), 422, "BAD_REQUEST", "image2_uris")
    check_failure(client.post(address, json=body(bb2=[[900, 900, 9, 9]])), 422, "BBOX_EMPTY")
    check_failure(client.get("/api/v3/match-inspection/a/b/picture.png"), 404, "NOT_ASSOCIATED")


def test_inspections_are_let_go_when_there_are_too_many():
    from pairx_plugin.hosts.ml_service.inspections import Inspections, Kept

    store = Inspections(most_bytes=2500)
    for number in range(4):
        store.put(("a", str(number)), Kept(made_of="", picture=b"x" * 1000, width=1, height=1, record={}))
    assert [store.get(("a", str(number))) is not None for number in range(4)] == [False, False, True, True]
