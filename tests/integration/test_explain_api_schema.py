"""The service's OpenAPI document, held against the running service by schemathesis.

``PAIRX_SCHEMA_EXAMPLES=300 pytest --hypothesis-seed=7`` asks more of it, with other data at every seed.
"""

from __future__ import annotations

import os

import pytest
from PIL import Image

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis, of the extra 'test'")
from hypothesis import HealthCheck, given, settings  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.hosts.ml_service import ApiServer, ExplainService, ServedModels, ServiceConfig  # noqa: E402
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402

MORE = os.environ.get("PAIRX_SCHEMA_EXAMPLES", "")
EXAMPLES = int(MORE or "15")
USUAL = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=not MORE, suppress_health_check=list(HealthCheck), database=None
)
TOKEN = "t" * 24
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Host": "localhost"}


@pytest.fixture(scope="module")
def server(miewid_network, make_texture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed, name in enumerate(("a.png", "b.png")):
        Image.fromarray(make_texture(seed)).save(folder / name)
    model = EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1", model_id="net")
    gate = PhotographGate(GateRules(roots=(folder,)))
    service = ExplainService(ServedModels({"miewid-msv4.1": lambda: model}), gate)
    with ApiServer(service, ServiceConfig(), token=TOKEN) as made:
        yield made


@pytest.fixture(scope="module")
def api(server):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    document = TestClient(server.app, base_url="http://localhost").get("/openapi.json", headers=headers).json()
    schema = schemathesis.openapi.from_dict(document)
    schema.app = server.app
    return schema


# Left out: that a body which fits the schema is accepted. Whether lists fit together, and whether a photograph may be
# read, is more than a JSON schema can say.
CHECKS = [
    getattr(schemathesis.checks, name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]
OPERATIONS = (
    ("/explain/", "POST"),
    ("/explain/photographs/", "POST"),
    ("/health", "GET"),
    ("/review/v1/explainers", "GET"),
    ("/api/v3/match-inspection/{match_result_id}/{prospect_annotation_id}", "POST"),
    ("/api/v3/match-inspection/{match_result_id}/{prospect_annotation_id}", "GET"),
    ("/api/v3/match-inspection/{match_result_id}/{prospect_annotation_id}/picture.png", "GET"),
)


def test_every_operation_is_held_against_the_document(api):
    found = {(result.ok().path, result.ok().method.upper()) for result in api.get_all_operations()}
    assert found == set(OPERATIONS)


ASKED = [(path, method, mode) for path, method in OPERATIONS for mode in schemathesis.GenerationMode]
# What takes nothing can be asked nothing wrong.
ASKED = [item for item in ASKED if item[2].value == "positive" or "{" in item[0] or item[1] == "POST"]


@pytest.mark.parametrize(("path", "method", "mode"), ASKED)
def test_answers_are_what_the_document_says(api, path, method, mode):
    operation = api[path][method]
    negative = mode is schemathesis.GenerationMode.NEGATIVE
    checks = [*CHECKS, schemathesis.checks.negative_data_rejection] if negative else CHECKS

    @settings(USUAL)
    @given(case=operation.as_strategy(generation_mode=mode))
    def hold(case):
        case.call_and_validate(headers=HEADERS, checks=checks)

    hold()


def test_bodies_that_fit_are_explained_or_refused_for_a_reason(api):
    """The same, with photographs that are there, so that boxes, turns and names meet the network."""
    operation, statuses = api["/explain/"]["POST"], []

    @settings(USUAL, max_examples=max(8, EXAMPLES // 2))
    @given(case=operation.as_strategy())
    def hold(case):
        case.body |= {"image1_uris": ["a.png"], "image2_uris": ["b.png", "a.png"], "model_id": "miewid-msv4.1"}
        case.body |= {"k_colors": 1, "algorithm": "pairx", "layer_key": None, "layer_keys": []}
        answer = case.call_and_validate(headers=HEADERS, checks=CHECKS)
        statuses.append(answer.status_code)

    hold()
    assert set(statuses) <= {200, 400, 422} and 200 in statuses


def test_document_describes_token_bodies_and_failures(server):
    client = TestClient(server.app, base_url="http://localhost", headers={"Authorization": f"Bearer {TOKEN}"})
    document = client.get("/openapi.json").json()
    explain = document["paths"]["/explain/"]["post"]
    assert set(explain["responses"]) >= {"200", "400", "403", "413", "422", "429", "502", "503", "504"}
    assert document["security"] == [{"token": []}]
    failure = explain["responses"]["422"]["content"]["application/json"]["schema"]["$ref"]
    assert failure.endswith("/FailureBody")
    asked = document["components"]["schemas"]["Asked"]["properties"]
    assert asked["visualization_type"]["enum"] == ["only_colors", "only_lines", "lines_and_colors"]
    assert asked["image1_uris"]["maxItems"] == 16 and asked["k_lines"]["maximum"] == 99
