"""The service over a folder of photographs, and a service whose explanations wait."""

from __future__ import annotations

import pytest
from explain_bodies import Held
from PIL import Image

from pairx_plugin.models import EmbeddingModel


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
    pytest.importorskip("fastapi")
    from pairx_plugin.hosts.ml_service import ApiServer, ExplainService, ServedModels, ServiceConfig
    from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate

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
    from starlette.testclient import TestClient

    return TestClient(make_service().app, base_url="http://localhost", raise_server_exceptions=False)


@pytest.fixture
def held(make_service, monkeypatch):
    """A service whose explanations wait: ``held(**config)`` gives client and explainer."""

    from starlette.testclient import TestClient

    def make(**config):
        explainer, server = Held(), make_service(**config)
        monkeypatch.setattr(server.service, "_explainer", lambda _: explainer)
        return TestClient(server.app, base_url="http://localhost"), explainer

    return make
