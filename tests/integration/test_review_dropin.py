"""The review server's routes for other programs: inspections, thumbs, drawings."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
from review_programs import check_failure, page_word, picture  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def thumb(program, version, candidate="c1-1", query="a1", reference="t1"):
    names = {"extern_reference": reference, "query_annot_uuid": query, "database_annot_uuid": candidate}
    return program.get("/api/query/graph/match/thumb/", params={**names, "version": version})


def test_program_without_a_page_asks_for_an_inspection_and_its_thumb(make_program):
    program = make_program()
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


def test_versions_of_a_thumb_are_three_pictures(make_program):
    program = make_program()
    plain = picture(thumb(program, "clean"))  # it is there before anything is explained
    check_failure(thumb(program, "heatmask"), 404, "NOT_ASSOCIATED")
    program.post("/api/v3/match-inspection/q1/c1-1")
    lines, colours = picture(thumb(program, "matches")), picture(thumb(program, "mask"))
    assert thumb(program, "clean").headers["content-type"] == "image/jpeg"
    height = plain.shape[0]
    for one, two in ((plain, lines), (plain, colours), (lines, colours)):
        assert np.abs(one[:height].astype(int) - two[:height].astype(int)).mean() > 2
    assert np.array_equal(picture(thumb(program, "match")), lines)


def test_thumb_shows_colours_where_the_record_says_they_are(make_program):
    program = make_program()
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
def test_thumb_of_what_is_not_there(make_program, names):
    check_failure(thumb(make_program(), "clean", **names), 404, "NOT_ASSOCIATED")


def test_thumb_in_another_version_is_refused(make_program):
    check_failure(thumb(make_program(), "everything"), 422, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("failed", 503, "OUT_OF_MEMORY"),
        ("broken", 422, "PROPAGATION_FAILED"),
        ("unsupported", 422, "MODEL_UNSUPPORTED"),
        ("lost", 422, "IMAGE_UNREADABLE"),
    ],
)
def test_inspection_that_fails_says_why_and_names_no_place(make_program, how, status, code):
    answer = make_program({1: how}).post("/api/v3/match-inspection/q1/c1-1")
    check_failure(answer, status, code)
    assert "/secret" not in answer.text


def test_inspection_that_takes_too_long_ends(make_program):
    check_failure(make_program({1: "stuck"}, time_limit=0.3).post("/api/v3/match-inspection/q1/c1-1"), 504, "TIMEOUT")


def test_inspection_of_changed_pixels_is_made_anew(make_program):
    program = make_program({1: "stale_chip"})
    check_failure(thumb(program, "matches"), 404, "STALE")
    assert program.post("/api/v3/match-inspection/q1/c1-1").status_code == 201


def test_inspection_of_strangers_is_refused(make_program):
    program = make_program()
    check_failure(program.post("/api/v3/match-inspection/q7/c1-1"), 404, "NOT_ASSOCIATED")
    check_failure(program.post("/api/v3/match-inspection/q1/c9-1"), 404, "NOT_ASSOCIATED")
    foreign = program.post("/api/v3/match-inspection/q1/c1-1", headers={"Origin": "http://evil.example"})
    check_failure(foreign, 403, "CSRF_FAILED")
    assert program.source.asked == []


def test_links_are_a_drawing_of_their_own(make_program):
    program = make_program()
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


def test_host_that_takes_no_tasks_says_so(make_program):
    program = make_program()
    program.headers["X-CSRF-Token"] = page_word(program)
    pairs = {"pairs": [{"query": "a.jpg", "candidate": "b.jpg"}]}
    check_failure(program.post("/review/v1/tasks", json=pairs), 422, "IMPORT_UNSUPPORTED")
