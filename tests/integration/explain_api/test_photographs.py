"""Photographs within a request, and those that were sent before it."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from explain_bodies import body, check_failure

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.hosts.photograph_gate import GateRules  # noqa: E402


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
