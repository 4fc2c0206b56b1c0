"""Wildbook's client, played by a stand-in that does what the public code was read to do.

What was read: WildMeOrg/Wildbook, ``ia/MatchInspectionPairxEnricher.java`` and ``ia/MatchResult.java`` at 2fba64d,
``RestClient.java`` at 00df449. One pair a call, to the configured address plus ``/explain/``, with the content type
``application/json`` and no other header of its own. Its boxes are whole numbers, moved to the photograph where they
began before it; a box without width or height is not sent at all. Only status 200 counts: any other is an error with
the status in its text, and a redirect would lose the body. Of the answer it takes the first of ``images``, decoded by a
strict decoder; without one the candidate counts as unsupported.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import string
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")
from pairx_plugin.hosts.ml_service import ApiServer, ExplainService, ServedModels, ServiceConfig  # noqa: E402
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402


class HttpError(Exception):
    """What the client raises for any status but 200."""


class WildbookClient:
    def __init__(self, api_endpoint: str) -> None:
        self.endpoint = urlsplit(api_endpoint + "/explain/")

    def inspection(self, query: str, prospect: str, box_1, box_2, theta_1=0.0, theta_2=0.0):
        """Return the PNG that Wildbook would keep, None for an unsupported pair."""
        boxes = self.clamped(box_1), self.clamped(box_2)
        if any(box[2] <= 0 or box[3] <= 0 for box in boxes):
            return None
        answer = self.post(
            {
                "algorithm": "pairx",
                "visualization_type": "only_colors",
                "k_colors": 5,
                "model_id": "miewid-msv4.1",
                "crop_bbox": False,
                "layer_key": "backbone.blocks.3",
                "image1_uris": [query],
                "image2_uris": [prospect],
                "theta1": [theta_1],
                "theta2": [theta_2],
                "bb1": [boxes[0]],
                "bb2": [boxes[1]],
            }
        )
        images = answer.get("images")
        if not isinstance(images, list) or not images or not isinstance(images[0], str) or not images[0]:
            return None
        return self.strictly_decoded(images[0])

    def post(self, payload):
        connection = http.client.HTTPConnection(self.endpoint.hostname, self.endpoint.port, timeout=60)
        try:
            content = json.dumps(payload).encode()
            connection.putrequest("POST", self.endpoint.path, skip_accept_encoding=True)
            connection.putheader("Content-type", "application/json")
            connection.putheader("Content-Length", str(len(content)))
            connection.endheaders(content)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8")
        finally:
            connection.close()
        if answer.status != 200:
            raise HttpError(f"HTTP error code = {answer.status}")
        found = json.loads("".join(text.splitlines()))
        assert isinstance(found, dict)
        return found

    @staticmethod
    def clamped(box):
        x, y, w, h = box
        return [max(0, x), max(0, y), max(0, w + min(0, x)), max(0, h + min(0, y))]

    @staticmethod
    def strictly_decoded(text: str) -> bytes:
        """One line, the plain alphabet, padded: anything else is an exception in Java."""
        assert set(text) <= set(string.ascii_letters + string.digits + "+/=") and len(text) % 4 == 0
        return base64.b64decode(text, validate=True)


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(96, 96), model_id="net")


@pytest.fixture
def wildbook(tmp_path, make_texture, model):
    """Wildbook's client of a real server on a real port."""
    for seed, name in enumerate(("query", "prospect")):
        Image.fromarray(make_texture(seed, size=128)).save(tmp_path / f"{name}.jpg")
    gate = PhotographGate(GateRules(roots=(tmp_path,)))
    service = ExplainService(ServedModels({"miewid-msv4.1": lambda: model}), gate)
    server = ApiServer(service, ServiceConfig(), hosts=("localhost", "127.0.0.1"))
    runner = uvicorn.Server(uvicorn.Config(server.app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=runner.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not runner.started and time.monotonic() < deadline:
        time.sleep(0.01)
    client = WildbookClient(f"http://127.0.0.1:{runner.servers[0].sockets[0].getsockname()[1]}")
    client.folder = tmp_path
    yield client
    runner.should_exit = True
    thread.join(10)


def test_client_gets_its_picture(wildbook):
    query, prospect = (str(wildbook.folder / f"{name}.jpg") for name in ("query", "prospect"))
    png = wildbook.inspection(query, prospect, (4, 4, 100, 110), (0, 0, 128, 128), 0.0, 0.25)
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.size) == ("PNG", (192, 96))
        assert np.unique(np.asarray(image).reshape(-1, 3), axis=0).shape[0] > 100


def test_box_that_began_before_the_photograph_is_answered(wildbook):
    query, prospect = (str(wildbook.folder / f"{name}.jpg") for name in ("query", "prospect"))
    assert wildbook.inspection(query, prospect, (-30, 4, 90, 110), (60, 60, 500, 500)) is not None
    assert wildbook.inspection(query, prospect, (-30, 4, 20, 110), (0, 0, 9, 9)) is None  # never sent


def test_fault_in_what_is_sent_is_none_that_the_client_tries_again(wildbook):
    query = str(wildbook.folder / "query.jpg")
    for other in (str(wildbook.folder / "none.jpg"), "/etc/passwd", "http://intranet/x.jpg"):
        with pytest.raises(HttpError, match="= 4(03|22)$"):
            wildbook.inspection(query, other, (0, 0, 100, 100), (0, 0, 100, 100))


def test_calls_one_after_another_and_from_two_threads(wildbook):
    query, prospect = (str(wildbook.folder / f"{name}.jpg") for name in ("query", "prospect"))
    first = wildbook.inspection(query, prospect, (0, 0, 128, 128), (0, 0, 128, 128))
    found = []

    def call() -> None:
        found.append(wildbook.inspection(query, prospect, (0, 0, 128, 128), (0, 0, 128, 128)))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [first, first]
