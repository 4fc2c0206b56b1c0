"""What fails in the service itself: memory, an explainer, a model."""

from __future__ import annotations

import pytest
from explain_bodies import Held, body, check_failure

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.hosts.ml_service import ExplainService, ServedModels  # noqa: E402
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate  # noqa: E402


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
