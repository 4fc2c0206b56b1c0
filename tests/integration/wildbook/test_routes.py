"""The host's own routes and ours, through its web application."""

from __future__ import annotations

import io
import json
import os
import uuid
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

STRICT = {"parse_constant": lambda constant: pytest.fail(f"JSON holds {constant}")}


@pytest.fixture()
def explained(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=2)
    return {
        "extern_reference": entry["dannot_extern_reference"],
        "query_annot_uuid": host.query_uuid,
        "database_annot_uuid": host.best(entry)[0],
    }


def test_state_says_what_is_attached(host, client):
    state = client.get("/api/pairx/state/").json["response"]
    assert "MiewIdRequest.postprocess_execute" in state["attached"]
    assert "IBEISController.query_chips_graph" in state["attached"] and "/pairx/review/" in state["attached"]
    assert state["host"].startswith("wbia") and state["process"] == os.getpid()


@pytest.mark.parametrize("rule", ["/api/query/graph/", "/api/pairx/query/graph/"])
def test_graph_routes_answer_with_explanations(host, client, rule):
    config = {"pipeline_root": "MiewId", "pairx_explain": True, "pairx_top_k": 1}
    form = {
        "qaid_list": json.dumps([host.qaid]),
        "daid_list": json.dumps(list(host.aids)),
        "query_config_dict": json.dumps(config),
    }
    response = client.post(rule, data=form)
    assert response.status_code == 200 and response.json["status"]["success"] is True
    answer = response.json["response"]["cm_dict"][host.query_uuid]["pairx"]
    assert answer["n_explained"] == 1
    json.loads(json.dumps(answer), **STRICT)


def test_stock_graph_route_with_the_flag_off_answers_as_the_host_does(host, client):
    import utool

    config = {"pipeline_root": "MiewId"}
    form = {
        "qaid_list": json.dumps([host.qaid]),
        "daid_list": json.dumps(list(host.aids)),
        "query_config_dict": json.dumps(config),
    }
    answered = client.post("/api/query/graph/", data=form).data.decode()
    direct, _ = host.graph()
    expected = {"status": {"success": True, "code": 200, "message": "", "cache": -1}, "response": direct}
    assert json.loads(answered) == json.loads(utool.strip_ansi(utool.to_json(expected)))


def test_record_answer_and_pictures_are_served(host, client, explained):
    record = client.get("/api/pairx/explanation/", query_string=explained).json["response"]
    assert record["explanation"]["status"] == "ready" and record["stale"] is False
    answer = client.get("/api/pairx/answer/", query_string=explained).json["response"]
    assert [item["id"] for item in answer["explanations"]][0] == record["explanation"]["id"]
    assert len(answer["ranking"]) == len(host.aids) - 1
    sizes = set()
    for asset in record["explanation"]["assets"]:
        response = client.get(asset["url"])
        assert response.status_code == 200 and response.mimetype == asset["content_type"] == "image/webp"
        with Image.open(io.BytesIO(response.data)) as picture:
            assert picture.size == (asset["width"], asset["height"])
            sizes.add(response.data)
    assert len(sizes) == 3


def test_hosts_thumb_route_serves_the_three_versions(host, client, explained):
    served = {}
    for version in ("matches", "heatmask", "clean"):
        response = client.get("/api/query/graph/match/thumb/", query_string={**explained, "version": version})
        assert response.mimetype == "image/jpeg"
        served[version] = np.array(Image.open(io.BytesIO(response.data)).convert("RGB")).astype(int)
    height = served["clean"].shape[0]
    assert np.abs(served["matches"][:height] - served["clean"]).mean() > 3
    assert np.abs(served["heatmask"][:height] - served["clean"]).mean() > 3
    ours = client.get("/api/pairx/picture/", query_string={**explained, "version": "clean"}).data
    plain = np.array(Image.open(io.BytesIO(ours)).convert("RGB")).astype(int)
    assert np.abs(plain - served["clean"]).mean() < 3  # the colours come through in their order


@pytest.mark.parametrize(
    "change",
    [
        {"extern_reference": "nosuchreference"},
        {"extern_reference": "../../../etc"},
        {"query_annot_uuid": "not-a-uuid"},
        {"database_annot_uuid": "00000000-0000-0000-0000-000000000000"},
    ],
    ids=["reference", "path", "query", "candidate"],
)
def test_what_is_not_there_is_said_with_404(client, explained, change):
    where = {**explained, **change}
    response = client.get("/api/pairx/explanation/", query_string=where)
    assert response.status_code == 404 and response.json["status"]["success"] is False
    assert len(response.json["status"]["message"]) > 20
    picture = client.get("/api/pairx/picture/", query_string={**where, "version": "clean"})
    assert picture.status_code == 404 and picture.json["success"] is False and picture.json["errors"][0]["code"]


@pytest.mark.parametrize("version", ["depth", "../x", ""])
def test_unknown_version_is_said_with_404(client, explained, version):
    response = client.get("/api/pairx/picture/", query_string={**explained, "version": version})
    assert response.status_code == 404


def test_plain_page_shows_candidates_pictures_and_who_was_not_asked_for(host, client, explained):
    response = client.get("/pairx/report/", query_string=explained)
    page = response.data.decode()
    assert response.status_code == 200 and response.mimetype == "text/html"
    assert page.count("data:image/") > 6 and "<script" not in page
    for candidate in host.best(host.before.entry):
        assert host.ibs.get_image_gnames(host.ibs.get_annot_gids(host.aid(candidate))) in page


def test_page_of_a_query_nobody_knows_is_a_404_that_says_why(client, explained):
    response = client.get("/pairx/review/", query_string={**explained, "extern_reference": "<b>"})
    assert response.status_code == 404 and b"<b>" not in response.data
    assert client.get("/pairx/report/").status_code == 404
    wrong = {**explained, "query_annot_uuid": explained["database_annot_uuid"]}
    response = client.get("/pairx/review/", query_string=wrong)
    assert response.status_code == 404 and b"had not loaded" in response.data


def test_hosts_review_page_shows_our_pictures(host, client):
    import utool
    import wbia

    if not os.environ.get("PAIRX_WILDBOOK_IA"):
        pytest.skip("the review page of wildbook-ia 4.0.4 fails for MiewId; give main by PAIRX_WILDBOOK_IA")
    web = Path(wbia.__file__).with_name("web")
    if not ((web / "static/include/bootstrap").is_dir() and (web / "templates/review").is_dir()):
        pytest.skip("the checkout of wildbook-ia lacks wbia/web/static or templates, which the page is made of")
    # the page looks a name's score up by the candidate's place and fails behind the number of names: take the first
    candidate = str(host.before.entry["dannot_uuid_list"][0])
    top_k = host.best(host.before.entry).index(candidate) + 1
    config = {"pipeline_root": "MiewId", "pairx_explain": True, "pairx_top_k": top_k}
    _, entry = host.graph(**{key: value for key, value in config.items() if key != "pipeline_root"})
    shown = host.aid(candidate)
    before = {version: host.thumbs()[shown, version] for version in ("matches", "clean")}
    for path in Path(host.ibs.get_match_thumbdir()).iterdir():
        path.unlink()
    pair = {"annot_uuid_1": uuid.UUID(host.query_uuid), "annot_uuid_2": uuid.UUID(candidate)}
    form = {
        "review_pair": utool.to_json(pair),
        "cm_dict": utool.to_json(entry),
        "query_config_dict": json.dumps(config),
        "_internal_state": "null",
        "callback_url": "null",
    }
    response = client.get("/api/review/query/graph/", query_string=form)
    assert response.status_code == 200
    assert {version: host.thumbs()[shown, version] for version in before} == before
