"""The review server over a finished run: rankings from elsewhere become tasks, and ``/explain/`` is answered."""

from __future__ import annotations

import base64
import csv
import io
import time

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
from review_programs import check_failure, page_word, picture  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.hosts.local import LocalHost, LocalHostConfig  # noqa: E402
from pairx_plugin.hosts.local.explain_route import review_server  # noqa: E402
from pairx_plugin.hosts.local.review_source import LocalReviewSource  # noqa: E402
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.review import ReviewOptions  # noqa: E402


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1", model_id="small")


@pytest.fixture
def reviewing(tmp_path, model, make_texture):
    """A program over a finished run, which may name photographs in one folder."""
    rows = [("theta", "viewpoint", "name", "file_name", "species", "file_path", "x", "y", "w", "h")]
    for number in range(2):
        Image.fromarray(make_texture(number, 96)).save(tmp_path / f"{number}.png")
        rows.append((0.0, "left", "animal", f"{number}.png", "s", f"{number}.png", 4, 4, 80, 72))
    with open(tmp_path / "annotations.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    config = LocalHostConfig.from_mapping({"annotations": "annotations.csv"}, folder=tmp_path)
    with LocalHost(config, model=model) as host:
        host.run()
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(make_texture(10 + number, 96)).save(folder / f"{number}.png")
    gate = PhotographGate(GateRules(roots=(folder,)))
    source = LocalReviewSource(config.database, model=model, gate=gate)
    with source, review_server(source, ReviewOptions(), gate) as server:
        program = TestClient(server.app, base_url="http://localhost", raise_server_exceptions=False)
        program.headers["X-CSRF-Token"] = page_word(program)
        program.source, program.folder = source, folder
        yield program


def annotation(number, **more):
    found = {"id": f"annot-{number}", "x": 2, "y": 2, "width": 90, "height": 80, "theta": 0.0}
    return {**found, "asset": {"url": f"{number}.png"}, "individual": {"displayName": f"Rata {number}"}, **more}


MATCH_RESULTS = {
    "matchResultsRoot": {
        "id": "task",
        "children": [
            {
                "id": "child",
                "method": {"name": "MiewID", "description": "MiewID 4.1"},
                "matchResults": {
                    "id": "mr-7",
                    "numberCandidates": 40,
                    "queryAnnotation": annotation(0),
                    "prospects": {
                        "annot": [
                            {"annotation": annotation(1), "score": 0.8},
                            {"annotation": annotation(2), "score": 0.7},
                        ]
                    },
                },
            }
        ],
    }
}

CM_DICT = {
    "cm_dict": {
        "annot-0": {
            "dannot_uuid_list": [{"__UUID__": "annot-2"}, {"__UUID__": "annot-1"}],
            "annot_score_list": [0.1, 0.9],
        }
    },
    "annotations": {f"annot-{n}": {"image": f"{n}.png", "bbox": [2, 2, 90, 80], "name": f"Rata {n}"} for n in range(3)},
}

PAIRS = {
    "pairs": [
        {"query": "0.png", "candidate": f"{n}.png", "score": 1 - n / 10, "query_bbox": "2 2 90 80", "query_id": "one"}
        for n in (1, 2)
    ]
}

TABLE = "query,candidate,score,candidate_name\n0.png,1.png,0.8,Rata 1\n0.png,2.png,0.7,\n"


@pytest.mark.parametrize(
    ("body", "title"),
    [(MATCH_RESULTS, "matchResultsRoot"), (CM_DICT, "cm_dict"), (PAIRS, "pairs"), (TABLE, "from a table")],
    ids=["Wildbook", "Wildbook IA", "pairs", "CSV"],
)
def test_ranking_from_elsewhere_becomes_a_task_that_can_be_reviewed(reviewing, body, title):
    if isinstance(body, str):
        headers = {"Content-Type": "text/csv; charset=utf-8"}
        made = reviewing.post(f"/review/v1/tasks?title={title}", content=body, headers=headers)
    else:
        made = reviewing.post("/review/v1/tasks", json=body)
    assert made.status_code == 201, made.text
    task = made.json()["task"]
    assert task["title"].startswith(title) and len(task["queries"]) == 1
    found = reviewing.get(made.headers["location"] + "?cutoff=5").json()["queries"][0]
    assert [item["rank"] for item in found["candidates"]] == [1, 2]
    assert found["candidates"][0]["score"] > found["candidates"][1]["score"]
    assert [item["file_name"] for item in found["candidates"]] == ["1.png", "2.png"]
    assert picture(reviewing.get(found["candidates"][0]["chip_url"])).shape[2] == 3
    inspected = reviewing.post(
        f"/api/v3/match-inspection/{found['query_id']}/{found['candidates'][0]['annotation_id']}"
    )
    assert inspected.status_code == 201, inspected.text
    assert str(reviewing.folder) not in inspected.text + made.text


def test_match_result_keeps_its_id_while_it_is_free(reviewing):
    tasks = [reviewing.post("/review/v1/tasks", json=MATCH_RESULTS).json()["task"] for _ in range(2)]
    ids = [task["queries"][0]["query_id"] for task in tasks]
    assert ids[0] == "mr-7" != ids[1]
    assert reviewing.post("/api/v3/match-inspection/mr-7/annot-1").status_code == 201


def test_imported_photograph_stays_what_it_was(reviewing, make_texture):
    made = reviewing.post("/review/v1/tasks", json=CM_DICT).json()["task"]
    query = reviewing.get(f"/review/v1/tasks/{made['task_id']}?cutoff=1").json()["queries"][0]
    before = picture(reviewing.get(query["query"]["chip_url"]))
    Image.fromarray(make_texture(99, 96)).save(reviewing.folder / "0.png")
    assert np.array_equal(picture(reviewing.get(query["query"]["chip_url"])), before)
    refused = reviewing.post("/review/v1/tasks", json=CM_DICT)  # annot-0 now is another photograph
    check_failure(refused, 422, "ANNOTATION_DIFFERS")


def changed(**more):
    return {**CM_DICT, "annotations": {**CM_DICT["annotations"], "annot-0": {"image": "0.png", **more}}}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "BAD_REQUEST"),
        ([], 422, "BAD_REQUEST"),
        ({**PAIRS, **CM_DICT}, 422, "BAD_REQUEST"),
        ({"pairs": {}}, 422, "BAD_REQUEST"),
        ({"pairs": []}, 422, "BAD_REQUEST"),
        ({"pairs": [5]}, 422, "BAD_REQUEST"),
        ({"pairs": [{"query": "0.png"}]}, 422, "BAD_REQUEST"),
        ({"pairs": [{"query": "0.png", "candidate": "1.png", "query_bbox": "a b"}]}, 422, "BAD_REQUEST"),
        ({"cm_dict": {"annot-0": {"dannot_uuid_list": ["x"], "annot_score_list": []}}}, 422, "BAD_REQUEST"),
        ({"cm_dict": CM_DICT["cm_dict"]}, 422, "BAD_REQUEST"),
        ({"matchResultsRoot": {"children": [{"children": 5}]}}, 422, "BAD_REQUEST"),
        ({"matchResultsRoot": {"matchResults": {"id": "a"}}}, 422, "BAD_REQUEST"),
        (changed(image="/etc/passwd"), 403, "IMAGE_FORBIDDEN"),
        (changed(image="http://169.254.169.254/x"), 403, "IMAGE_FORBIDDEN"),
        (changed(image="none.png"), 422, "IMAGE_NOT_FOUND"),
    ],
)
def test_task_that_cannot_be_taken_is_refused_whole(reviewing, body, status, code):
    check_failure(reviewing.post("/review/v1/tasks", json=body), status, code)
    assert len(reviewing.get("/review/v1/tasks").json()["tasks"]) == 1


def test_malformed_tasks_are_refused(reviewing):
    for content, media in ((b"{", "application/json"), (b"[" * 90_000, "application/json"), (b"\xff", "text/csv")):
        answer = reviewing.post("/review/v1/tasks", content=content, headers={"Content-Type": media})
        check_failure(answer, 400, "BAD_REQUEST")
    forged = reviewing.post("/review/v1/tasks", json=PAIRS, headers={"X-CSRF-Token": "0" * 64})
    check_failure(forged, 403, "CSRF_FAILED")


def test_explain_is_answered_by_the_network_of_the_run(reviewing, make_texture):
    stream = io.BytesIO()
    Image.fromarray(make_texture(20, 96)).save(stream, "PNG")
    asked = {
        "image1_uris": ["data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()],
        "bb1": [],
        "image2_uris": ["1.png"],
        "bb2": [[4, 4, 80, 80]],
        "model_id": "small",
        "k_colors": 1,
    }
    del reviewing.headers["X-CSRF-Token"]  # programs have loaded no page
    started = time.monotonic()
    answer = reviewing.post("/explain/", json=asked)
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - started < 60
    with Image.open(io.BytesIO(base64.b64decode(answer.json()["images"][0], validate=True))) as image:
        assert image.size == (128, 64)
    check_failure(reviewing.post("/explain/", json={**asked, "model_id": "other"}), 422, "MODEL_UNSUPPORTED")
    check_failure(reviewing.post("/explain/", json={**asked, "image2_uris": ["/etc/passwd"]}), 403, "IMAGE_FORBIDDEN")
    foreign = reviewing.post("/explain/", json=asked, headers={"Origin": "http://evil.example"})
    check_failure(foreign, 403, "CSRF_FAILED")
