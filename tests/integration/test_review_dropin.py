"""The review server's routes for other programs: inspections, thumbs, drawings, imported tasks, ``/explain/``."""

from __future__ import annotations

import base64
import csv
import importlib.util
import io
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.hosts.local import LocalHost, LocalHostConfig  # noqa: E402
from pairx_plugin.hosts.local.explain_route import review_server  # noqa: E402
from pairx_plugin.hosts.local.review_source import LocalReviewSource  # noqa: E402
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.review import ReviewOptions, ReviewServer  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def _scripted():
    path = Path(__file__).parents[1] / "review_source.py"
    spec = importlib.util.spec_from_file_location("review_source", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPTED = _scripted()


@pytest.fixture
def make_server(tmp_path):
    """Build a server over a scripted host: ``make_server(script, **options)`` gives a program that calls it."""
    made = []

    def make(script=None, **options):
        source = SCRIPTED.ScriptedSource(tmp_path, script)
        server = ReviewServer(source, ReviewOptions(**options))
        made.append((source, server))
        program = TestClient(server.app, base_url="http://localhost", raise_server_exceptions=False)
        program.source = source
        return program

    yield make
    for source, server in made:
        source.gate.set()
        server.close()


def check_failure(answer, status, code):
    found = answer.json()
    assert answer.status_code == status, found
    assert found["success"] is False and found["message"] and found["errors"][0]["code"] == code
    return found


def picture(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB"))


def thumb(program, version, candidate="c1-1", query="a1", reference="t1"):
    names = {"extern_reference": reference, "query_annot_uuid": query, "database_annot_uuid": candidate}
    return program.get("/api/query/graph/match/thumb/", params={**names, "version": version})


def test_program_without_a_page_asks_for_an_inspection_and_its_thumb(make_server):
    program = make_server()
    check_failure(program.get("/api/v3/match-inspection/q1/c1-1"), 404, "NOT_ASSOCIATED")
    made = program.post("/api/v3/match-inspection/q1/c1-1")
    assert made.status_code == 201, made.text
    body = made.json()
    assert body["success"] is True and body["explanation"]["schema"] == "pairx.explanation/1"
    drawn = picture(program.get(body["asset"]["url"]))
    assert drawn.shape[:2] == (body["asset"]["height"], body["asset"]["width"])
    again = program.post("/api/v3/match-inspection/q1/c1-1")
    assert again.status_code == 200 and again.json() == body
    assert program.get("/api/v3/match-inspection/q1/c1-1").json() == body
    assert len(program.source.asked) == 1


def test_versions_of_a_thumb_are_three_pictures(make_server):
    program = make_server()
    plain = picture(thumb(program, "clean"))  # it is there before anything is explained
    check_failure(thumb(program, "heatmask"), 404, "NOT_ASSOCIATED")
    program.post("/api/v3/match-inspection/q1/c1-1")
    lines, colours = picture(thumb(program, "matches")), picture(thumb(program, "mask"))
    assert thumb(program, "clean").headers["content-type"] == "image/jpeg"
    height = plain.shape[0]
    for one, two in ((plain, lines), (plain, colours), (lines, colours)):
        assert np.abs(one[:height].astype(int) - two[:height].astype(int)).mean() > 2
    assert np.array_equal(picture(thumb(program, "match")), lines)


def test_thumb_shows_colours_where_the_record_says_they_are(make_server):
    program = make_server()
    record = program.post("/api/v3/match-inspection/q1/c1-1").json()["explanation"]
    plain, colours = (picture(thumb(program, version)).astype(int) for version in ("clean", "heatmask"))
    saturation = colours.max(2) - colours.min(2)
    width = plain.shape[1] // 2
    x, y = record["matches"][0]["kpts0"]
    row, col = int(y * plain.shape[0]), int(x * width)
    near = saturation[max(0, row - 40) : row + 40, max(0, col - 40) : col + 40].mean()
    assert near > 1.5 * saturation[: plain.shape[0], :width].mean()


@pytest.mark.parametrize(
    "names",
    [
        {"reference": "t2"},
        {"query": "a9"},
        {"candidate": "c2-1"},
        {"candidate": "../../etc/passwd"},
    ],
)
def test_thumb_of_what_is_not_there(make_server, names):
    check_failure(thumb(make_server(), "clean", **names), 404, "NOT_ASSOCIATED")


def test_thumb_in_another_version_is_refused(make_server):
    check_failure(thumb(make_server(), "everything"), 422, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("failed", 503, "OUT_OF_MEMORY"),
        ("broken", 422, "PROPAGATION_FAILED"),
        ("unsupported", 422, "MODEL_UNSUPPORTED"),
        ("lost", 422, "IMAGE_UNREADABLE"),
    ],
)
def test_inspection_that_fails_says_why_and_names_no_place(make_server, how, status, code):
    answer = make_server({1: how}).post("/api/v3/match-inspection/q1/c1-1")
    check_failure(answer, status, code)
    assert "/secret" not in answer.text


def test_inspection_that_takes_too_long_ends(make_server):
    check_failure(make_server({1: "stuck"}, time_limit=0.3).post("/api/v3/match-inspection/q1/c1-1"), 504, "TIMEOUT")


def test_inspection_of_changed_pixels_is_made_anew(make_server):
    program = make_server({1: "stale_chip"})
    check_failure(thumb(program, "matches"), 404, "STALE")
    assert program.post("/api/v3/match-inspection/q1/c1-1").status_code == 201


def test_inspection_of_strangers_is_refused(make_server):
    program = make_server()
    check_failure(program.post("/api/v3/match-inspection/q7/c1-1"), 404, "NOT_ASSOCIATED")
    check_failure(program.post("/api/v3/match-inspection/q1/c9-1"), 404, "NOT_ASSOCIATED")
    foreign = program.post("/api/v3/match-inspection/q1/c1-1", headers={"Origin": "http://evil.example"})
    check_failure(foreign, 403, "CSRF_FAILED")
    assert program.source.asked == []


def test_links_are_a_drawing_of_their_own(make_server):
    program = make_server()
    inspected = program.post("/api/v3/match-inspection/q1/c1-1").json()
    job = program.source_job = next(iter(program.app._app.state.services.queue.jobs_of("q1"))).job_id
    answer = program.get(f"/review/v1/explanations/{job}.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "script" not in answer.headers["content-security-policy"]
    root = ElementTree.fromstring(answer.text)
    groups = [item for item in root.iter(f"{SVG}g") if (item.get("id") or "").startswith("link-")]
    assert len(groups) == len(inspected["explanation"]["matches"]) == 20
    (image,) = root.iter(f"{SVG}image")
    assert image.get("href").startswith("data:image/")
    assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
    x, y = inspected["explanation"]["matches"][0]["kpts0"]
    ring = next(item for item in groups if item.get("id") == "link-1").find(f"{SVG}ellipse")
    width, height = (float(root.get(name)) for name in ("width", "height"))
    assert abs(float(ring.get("cx")) - x * width / 2) < width * 0.02
    assert abs(float(ring.get("cy")) - y * height) < height * 0.02
    etag = {"If-None-Match": answer.headers["etag"]}
    assert program.get(f"/review/v1/explanations/{job}.svg", headers=etag).status_code == 304
    with Image.open(io.BytesIO(program.get(f"/review/v1/explanations/{job}/chips/1.jpg").content)) as chip:
        assert chip.format == "JPEG" and chip.size == (360, 240)
    check_failure(program.get(f"/review/v1/explanations/{job}/chips/2.jpg"), 404, "NOT_ASSOCIATED")
    check_failure(program.get("/review/v1/explanations/nothing.svg"), 404, "NOT_ASSOCIATED")


def test_host_that_takes_no_tasks_says_so(make_server):
    program = make_server()
    program.headers["X-CSRF-Token"] = page_word(program)
    pairs = {"pairs": [{"query": "a.jpg", "candidate": "b.jpg"}]}
    check_failure(program.post("/review/v1/tasks", json=pairs), 422, "IMPORT_UNSUPPORTED")


def page_word(program) -> str:
    program.get("/review/")
    return program.get("/review/v1/session").json()["csrf"]


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
