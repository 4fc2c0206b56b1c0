"""The review server's HTTP API: what it answers, what it refuses, and what it never lets through."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.review import ReviewOptions, ReviewServer  # noqa: E402


def _scripted():
    path = Path(__file__).parents[1] / "review_source.py"
    spec = importlib.util.spec_from_file_location("review_source", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPTED = _scripted()
HOSTILE = SCRIPTED.HOSTILE


class Reviewer(TestClient):
    """A browser: it loads the page first and sends along what the page says."""

    def __init__(self, server: ReviewServer, **options) -> None:
        super().__init__(server.app, base_url="http://localhost", raise_server_exceptions=False, **options)
        self.get("/review/")
        self.headers["X-CSRF-Token"] = self.get("/review/v1/session").json()["csrf"]

    def ask(self, rank=1, query="q1", **more):
        body = {"task": "t1", "query": query, "rank": rank, "reader": "r1", **more}
        return self.post("/review/v1/explanations", json=body)

    def explained(self, rank=1, until=("ready", "failed", "unsupported", "stale"), **more):
        answer = self.ask(rank, **more).json()
        deadline = time.monotonic() + 20
        while answer["status"] not in until and not answer["over"]:
            assert time.monotonic() < deadline, answer["status"]
            time.sleep(0.02)
            answer = self.get(f"/review/v1/explanations/{answer['id']}").json()
        return answer

    def decide(self, what="match", rank=1, version=0, **more):
        address = f"/review/v1/tasks/t1/pairs/q1/{rank}/decision"
        headers = {} if version is None else {"If-Match": f'"{version}"'}
        return self.put(address, json={"evidence_decision": what, **more}, headers=headers)


@pytest.fixture
def make_server(tmp_path):
    """Build a server over a scripted host: ``make_server(script, **options)``."""
    made = []

    def make(script=None, names=None, **options):
        source = SCRIPTED.ScriptedSource(tmp_path, script, names=names)
        server = ReviewServer(source, ReviewOptions(**options))
        made.append(server)
        server.source = source
        return server

    yield make
    for server in made:
        server.source.gate.set()
        server.close()


def check_failure(answer, status, code):
    body = answer.json()
    assert answer.status_code == status, body
    assert body["success"] is False and body["message"] == body["detail"]
    assert body["errors"][0]["code"] == code
    assert body["errors"][0]["retryable"] is (status in (429, 502, 503, 504))
    assert re.fullmatch(r"[0-9a-f]{16}", body["request_id"])
    return body


def test_task_lists_queries_candidates_and_filters(make_server):
    reviewer = Reviewer(make_server())
    task = reviewer.get("/review/v1/tasks/t1?cutoff=2").json()
    assert task["facts"] == {"location": "Kaikoura"}
    assert [query["query_id"] for query in task["queries"]] == ["q1", "q2"]
    first = task["queries"][0]
    assert first["n_searched"] == 15329 and first["score_scale"]["code"] == "half_cosine"
    assert [item["rank"] for item in first["candidates"]] == [1, 2]
    assert first["candidates"][0]["file_name"] == "IMG_0013.jpg" and first["candidates"][0]["date"] == "2025-11-20"
    assert first["query"]["link"] == "/encounters/1"
    assert first["candidates"][0]["link"] is None  # a javascript: address


def test_best_of_each_individual(make_server):
    names = {1: "Rata", 2: "Rata", 3: None, 4: "Ngaio", 5: None, 6: "Rata"}
    reviewer = Reviewer(make_server(names=names))
    found = reviewer.get("/review/v1/tasks/t1/queries/q1?view=indiv").json()["candidates"]
    assert [item["rank"] for item in found] == [1, 3, 4, 5]
    check_failure(reviewer.get("/review/v1/tasks/t1/queries/q1?view=other"), 422, "BAD_REQUEST")


def test_names_are_hidden_in_a_blind_test(make_server):
    reviewer = Reviewer(make_server(names={1: "Rata"}, show_names=False))
    text = reviewer.get("/review/v1/tasks/t1/queries/q1").text + json.dumps(reviewer.explained()["record"])
    assert "Rata" not in text


def test_explanation_brings_record_words_and_masks(make_server):
    reviewer = Reviewer(make_server())
    answer = reviewer.ask()
    assert answer.status_code in (201, 202) and answer.headers["location"].endswith(answer.json()["id"])
    found = reviewer.explained()
    record = found["record"]
    assert (found["status"], record["schema"]) == ("ready", "pairx.explanation/1")
    assert len(record["matches"]) == 20 and record["plausibility"]["calibrated"] is False
    assert found["words"]["band"] == record["plausibility"]["band"]
    assert found["words"]["links"][0]["place_0"].count("%") == 2
    assert [image["filename"] for image in record["images"]] == ["IMG_0412.jpg", "IMG_0013.jpg"]
    kinds = [(item["kind"], item["side"], item["rank"]) for item in record["maps"]]
    assert kinds.count(("pixel", 0, 1)) == 1 and len([kind for kind in kinds if kind[0] == "pixel"]) == 10
    picture = reviewer.get(record["maps"][kinds.index(("pixel", 0, 1))]["url"])
    assert picture.headers["content-type"] == "image/png" and "immutable" in picture.headers["cache-control"]
    with Image.open(io.BytesIO(picture.content)) as image:
        grey = np.asarray(image)
    assert grey.dtype == np.uint8 and grey.ndim == 2 and grey.max() == 255 and grey.min() < 5
    row, column = np.unravel_index(grey.argmax(), grey.shape)
    x, y = record["matches"][0]["kpts0"]
    assert abs(column / grey.shape[1] - x) < 0.06 and abs(row / grey.shape[0] - y) < 0.06


def test_same_inputs_share_one_explanation_and_others_do_not(make_server):
    server = make_server()
    reviewer = Reviewer(server)
    first, again = reviewer.explained(1), reviewer.explained(1)
    other = reviewer.explained(1, layer_key="blocks.2")
    assert first["id"] == again["id"] != other["id"]
    assert other["record"]["layer_key"] == "blocks.2"
    assert len(server.source.asked) == 2


def test_finished_explanation_has_an_etag(make_server):
    reviewer = Reviewer(make_server())
    found = reviewer.explained()
    address = f"/review/v1/explanations/{found['id']}"
    etag = reviewer.get(address).headers["etag"]
    assert reviewer.get(address, headers={"If-None-Match": etag}).status_code == 304


def test_lines_come_before_colours(make_server):
    server = make_server({1: "slow"})
    reviewer = Reviewer(server)
    partial = reviewer.explained(1, until=("partial",))
    assert partial["status"] == "partial" and not partial["over"] and partial["record"]["matches"]
    assert not any(item["kind"] == "pixel" for item in partial["record"]["maps"])
    server.source.gate.set()
    ready = reviewer.explained(1)
    assert ready["id"] == partial["id"] and ready["revision"] > partial["revision"]
    assert any(item["kind"] == "pixel" for item in ready["record"]["maps"])


def test_kept_lines_are_shown_while_colours_are_computed(make_server):
    server = make_server({1: "stuck", 2: "kept"})
    reviewer = Reviewer(server)
    reviewer.ask(1)
    waiting = reviewer.ask(2).json()
    assert waiting["status"] == "queued" and waiting["record"]["matches"]
    lines = reviewer.ask(2, stage="lines").json()
    assert lines["status"] == "ready" and lines["over"]


def test_failure_that_the_host_has_kept_is_told_and_tried_again_when_looked_at(make_server):
    reviewer = Reviewer(make_server({2: "kept_failed"}))
    row = reviewer.get("/review/v1/tasks/t1/queries/q1").json()["candidates"][1]
    assert (row["evidence"]["status"], row["evidence"]["band"]) == ("failed", None)
    assert reviewer.explained(2)["status"] == "ready"


@pytest.mark.parametrize(
    ("how", "status", "retryable", "code"),
    [
        ("failed", "failed", True, "OUT_OF_MEMORY"),
        ("broken", "failed", False, "PROPAGATION_FAILED"),
        ("unsupported", "unsupported", False, "MODEL_UNSUPPORTED"),
        ("lost", "failed", False, "IMAGE_UNREADABLE"),
    ],
)
def test_failed_evidence_says_why_and_names_no_place(make_server, how, status, retryable, code):
    reviewer = Reviewer(make_server({2: how}))
    found = reviewer.explained(2)
    assert (found["status"], found["failure"]["code"], found["failure"]["retryable"]) == (status, code, retryable)
    assert found["failure"]["words"] and "/secret/place" not in json.dumps(found)
    candidates = reviewer.get("/review/v1/tasks/t1/queries/q1").json()["candidates"]
    assert [item["rank"] for item in candidates] == [1, 2, 3, 4, 5, 6]
    assert candidates[1]["evidence"]["status"] == status


def test_retry_helps_where_it_can(make_server):
    server = make_server({1: "failed", 2: "broken"})
    reviewer = Reviewer(server)
    assert reviewer.explained(1)["status"] == "failed"
    assert reviewer.explained(1)["status"] == "failed"
    assert len(server.source.asked) == 1  # asking is not retrying
    assert reviewer.explained(1, retry=True)["status"] in ("ready", "queued", "running", "partial")
    assert reviewer.explained(1)["status"] == "ready"
    reviewer.explained(2)
    reviewer.explained(2, retry=True)
    assert [rank for _, rank, _ in server.source.asked].count(2) == 1


def test_lines_alone_are_an_end_with_a_reason(make_server):
    found = Reviewer(make_server({1: "lines"})).explained(1)
    assert (found["status"], found["over"], found["failure"]["code"]) == ("partial", True, "TIMEOUT")
    assert found["record"]["matches"]


def test_stale_evidence_waits_to_be_asked_anew(make_server):
    server = make_server({1: "stale_chip", 2: "stale_model"})
    reviewer = Reviewer(server)
    chip, model = reviewer.explained(1), reviewer.explained(2)
    assert (chip["status"], chip["stale"], chip["record"]) == ("stale", "CHIP_CHANGED", None)
    assert (model["status"], model["stale"]) == ("stale", "MODEL_CHANGED") and model["record"]["matches"]
    assert server.source.asked == []
    anew = reviewer.explained(1, anew=True)
    assert anew["status"] == "ready" and anew["made_anew"] and anew["id"] != chip["id"]


def test_unusable_explainer_is_unsupported_and_unknown_ones_are_refused(make_server):
    reviewer = Reviewer(make_server())
    found = reviewer.ask(explainer="other").json()
    assert (found["status"], found["over"]) == ("unsupported", True)
    check_failure(reviewer.ask(explainer="nobody"), 422, "EXPLAINER_UNKNOWN")
    check_failure(reviewer.ask(layer_key="../../etc"), 422, "LAYER_UNKNOWN")
    check_failure(reviewer.ask(rank=99), 404, "NOT_ASSOCIATED")
    check_failure(reviewer.ask(k_colors=5000), 422, "BAD_REQUEST")


def test_full_queue_says_when_to_come_again(make_server):
    server = make_server({rank: "stuck" for rank in range(1, 7)}, queue_size=2)
    reviewer = Reviewer(server)
    deadline = time.monotonic() + 10
    reviewer.ask(1)
    while not server.source.asked and time.monotonic() < deadline:
        time.sleep(0.01)
    assert reviewer.ask(2, prefetch=True).status_code == 202
    assert reviewer.ask(3).json()["place"] == 1  # what is looked at comes before what is prefetched
    assert reviewer.ask(4).json()["place"] == 2  # and takes its room
    refused = reviewer.ask(5)
    check_failure(refused, 429, "BUSY")
    assert int(refused.headers["retry-after"]) >= 1


def test_cancelled_explanation_stops_and_is_forgotten(make_server):
    server = make_server({1: "stuck"})
    reviewer = Reviewer(server)
    job = reviewer.ask(1).json()
    deadline = time.monotonic() + 10
    while not server.source.asked and time.monotonic() < deadline:
        time.sleep(0.01)
    assert reviewer.delete(f"/review/v1/explanations/{job['id']}?reader=r1").json() == {"success": True}
    while not server.source.cancelled and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.source.cancelled == [1]
    check_failure(reviewer.get(f"/review/v1/explanations/{job['id']}"), 404, "NOT_ASSOCIATED")


def test_explanation_that_somebody_else_waits_for_goes_on(make_server):
    server = make_server({1: "stuck"})
    reviewer = Reviewer(server)
    job = reviewer.ask(1).json()
    reviewer.ask(1, reader="r2")
    reviewer.delete(f"/review/v1/explanations/{job['id']}?reader=r1")
    server.source.gate.set()
    assert reviewer.explained(1)["status"] == "ready" and server.source.cancelled == []


def test_too_long_explanation_fails_and_may_be_tried_again(make_server):
    found = Reviewer(make_server({1: "stuck"}, time_limit=0.2)).explained(1)
    assert (found["status"], found["failure"]["code"], found["failure"]["retryable"]) == ("failed", "TIMEOUT", True)


def test_chips_are_pictures_with_an_etag(make_server):
    reviewer = Reviewer(make_server({2: "lost"}))
    answer = reviewer.get("/review/v1/tasks/t1/queries/q1/chips/0")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (360, 240)
    small = reviewer.get("/review/v1/tasks/t1/queries/q1/chips/1?size=thumb")
    assert len(small.content) < len(answer.content)
    headers = {"If-None-Match": answer.headers["etag"]}
    assert reviewer.get("/review/v1/tasks/t1/queries/q1/chips/0", headers=headers).status_code == 304
    lost = check_failure(reviewer.get("/review/v1/tasks/t1/queries/q1/chips/2"), 422, "IMAGE_UNREADABLE")
    assert "/secret" not in json.dumps(lost)
    check_failure(reviewer.get("/review/v1/tasks/t1/queries/q1/chips/99"), 404, "NOT_ASSOCIATED")
    check_failure(reviewer.get("/review/v1/tasks/t1/queries/q1/chips/1?size=../x"), 422, "BAD_REQUEST")


def test_decision_is_kept_in_the_hosts_words(make_server):
    reviewer = Reviewer(make_server())
    answer = reviewer.decide(
        "notcomp",
        confidence="pretty_sure",
        tags=["scenerymatch"],
        comment="other side",
        reviewer="Ana\n\x00 B",
        views=[{"view": "lines", "k": 8, "ms": 4200}],
    )
    record = answer.json()["decision"]
    assert answer.headers["etag"] == '"1"'
    assert record["schema"] == "pairx.review/1" and record["evidence_decision"] == "notcomp"
    assert (record["query_annot_uuid"], record["database_annot_uuid"]) == ("a1", "c1-1")
    assert record["user_id"] == "user:web:Ana B" and record["views"] == [{"view": "lines", "k": 8, "ms": 4200}]
    task = reviewer.get("/review/v1/tasks/t1").json()
    assert [query["n_decided"] for query in task["queries"]] == [1, 0]


def test_two_reviewers_cannot_overwrite_each_other(make_server):
    server = make_server()
    ana, ben = Reviewer(server), Reviewer(server)
    assert ana.decide("match", reviewer="Ana").status_code == 200
    body = check_failure(ben.decide("nomatch", reviewer="Ben"), 412, "DECISION_CONFLICT")
    assert body["current"]["user_id"] == "user:web:Ana" and body["current"]["evidence_decision"] == "match"
    assert ben.decide("nomatch", reviewer="Ben", version=1).json()["decision"]["version"] == 2
    check_failure(ben.decide("match", version=None), 428, "VERSION_NEEDED")
    check_failure(ben.decide("match", version="x"), 400, "BAD_REQUEST")
    check_failure(ben.decide("match", version=2, database_annot_uuid="c1-2"), 409, "PAIR_CHANGED")


def test_undo_appends_and_restores_what_stood_before(make_server):
    reviewer = Reviewer(make_server())
    reviewer.decide("match", comment="first")
    reviewer.decide("nomatch", version=1)
    undo = "/review/v1/tasks/t1/pairs/q1/1/decision/undo"

    def take_back(version):
        return reviewer.post(undo, json={"reviewer": "Ana"}, headers={"If-Match": str(version)})

    first = take_back(2).json()["decision"]
    assert (first["evidence_decision"], first["comment"], first["version"]) == ("match", "first", 3)
    assert take_back(3).json()["decision"]["evidence_decision"] == "unreviewed"
    check_failure(take_back(4), 422, "DECISION_INVALID")
    history = reviewer.get("/review/v1/tasks/t1/decisions.json").json()["history"]
    assert [(item["action"], item["evidence_decision"]) for item in history] == [
        ("decide", "match"),
        ("decide", "nomatch"),
        ("undo", "match"),
        ("undo", "unreviewed"),
    ]
    assert [item["supersedes"] for item in history] == [None, *[item["id"] for item in history[:-1]]]


@pytest.mark.parametrize(
    "body",
    [
        {"evidence_decision": "maybe"},
        {"evidence_decision": "match", "confidence": "very"},
        {"evidence_decision": "match", "tags": ["x"]},
        {"evidence_decision": "match", "comment": "x" * 5000},
        {"evidence_decision": "match", "comment": "a\x00b"},
        {"evidence_decision": 5},
        {},
    ],
    ids=["decision", "confidence", "tag", "long note", "NUL", "type", "nothing"],
)
def test_decision_outside_of_the_vocabulary_is_refused(make_server, body):
    reviewer = Reviewer(make_server())
    answer = reviewer.put("/review/v1/tasks/t1/pairs/q1/1/decision", json=body, headers={"If-Match": "0"})
    assert answer.status_code == 422 and answer.json()["success"] is False
    assert reviewer.get("/review/v1/tasks/t1/decisions.json").json()["history"] == []


def test_export_as_csv_is_harmless_and_complete(make_server):
    reviewer = Reviewer(make_server())
    note = "=HYPERLINK(\"http://x\"),é\nsecond line"
    reviewer.decide("unknown", rank=2, comment=note, reviewer="@Ana")
    reviewer.decide("match", rank=1)
    reviewer.decide("nomatch", rank=1, version=1)
    answer = reviewer.get("/review/v1/tasks/t1/decisions.csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [(row["rank"], row["evidence_decision"]) for row in rows] == [("2", "unknown"), ("1", "nomatch")]
    assert rows[0]["comment"] == "'" + note and rows[0]["user_id"] == "user:web:@Ana"
    every = reviewer.get("/review/v1/tasks/t1/decisions.csv?every=true").text
    assert len(list(csv.DictReader(io.StringIO(every)))) == 3


def test_forged_writes_are_refused(make_server):
    server = make_server()
    reviewer = Reviewer(server)
    stranger = TestClient(server.app, base_url="http://localhost")
    address = "/review/v1/tasks/t1/pairs/q1/1/decision"
    body = {"evidence_decision": "match"}
    check_failure(stranger.put(address, json=body, headers={"If-Match": "0"}), 403, "CSRF_FAILED")
    wrong = {"If-Match": "0", "X-CSRF-Token": "0" * 64}
    check_failure(reviewer.put(address, json=body, headers=wrong), 403, "CSRF_FAILED")
    cross = {"If-Match": "0", "Sec-Fetch-Site": "cross-site"}
    check_failure(reviewer.put(address, json=body, headers=cross), 403, "CSRF_FAILED")
    check_failure(stranger.delete("/review/v1/explanations/x"), 403, "CSRF_FAILED")
    other = Reviewer(server)
    stolen = {"If-Match": "0", "X-CSRF-Token": other.headers["X-CSRF-Token"]}
    check_failure(reviewer.put(address, json=body, headers=stolen), 403, "CSRF_FAILED")


def test_other_host_names_are_refused(make_server):
    server = make_server(hosts=("localhost", "[::1]"))
    for name, status in (("localhost", 200), ("localhost:8472", 200), ("[::1]:8472", 200), ("evil.example", 403)):
        answer = TestClient(server.app).get("/health", headers={"Host": name})
        assert answer.status_code == status, name


def test_token_is_asked_for_and_kept_in_a_cookie(make_server):
    token = "t" * 24
    server = make_server(token=token)
    browser = TestClient(server.app, base_url="http://localhost")
    check_failure(browser.get("/review/v1/tasks"), 401, "AUTH_REQUIRED")
    assert browser.get("/health").status_code == 200
    page = browser.get("/review/tasks/t1", follow_redirects=False)
    assert page.status_code == 303 and page.headers["location"].startswith("/review/sign-in?next=/review/tasks/t1")
    wrong = browser.post("/review/sign-in", data={"token": "x" * 24, "next": "/review/tasks/t1"})
    assert wrong.status_code == 401 and 'role="alert"' in wrong.text
    right = browser.post("/review/sign-in", data={"token": token, "next": "//evil.example"}, follow_redirects=False)
    assert right.status_code == 303 and right.headers["location"] == "/review/"
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie
    assert browser.get("/review/v1/tasks").status_code == 200
    script = TestClient(server.app, base_url="http://localhost", headers={"Authorization": f"Bearer {token}"})
    answer = script.put(
        "/review/v1/tasks/t1/pairs/q1/1/decision", json={"evidence_decision": "match"}, headers={"If-Match": "0"}
    )
    assert answer.status_code == 200
    linked = TestClient(server.app, base_url="http://localhost")
    assert linked.get(f"/?token={token}", follow_redirects=False).status_code in (303, 401)


def test_every_answer_carries_the_headers(make_server):
    reviewer = Reviewer(make_server())
    for address in ("/", "/review/tasks/t1", "/review/static/review.css", "/review/v1/tasks", "/nowhere", "/health"):
        headers = reviewer.get(address).headers
        assert "default-src 'none'" in headers["content-security-policy"], address
        assert "unsafe" not in headers["content-security-policy"], address
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    report = reviewer.get("/review/tasks/t1/report.html").headers["content-security-policy"]
    assert "script-src" not in report and "default-src 'none'" in report


def test_large_bodies_are_refused(make_server):
    reviewer = Reviewer(make_server())
    check_failure(reviewer.decide(comment="x" * 300_000), 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "path",
    [
        "/review/static/../server.py",
        "/review/static/%2e%2e/server.py",
        "/review/static//etc/passwd",
        "/review/v1/tasks/..%2f..%2fetc/queries/q1",
        "/review/v1/tasks/t1/queries/..%2f..%2fq1",
        "/review/v1/tasks/t1/queries/q1/chips/..%2f0",
        "/review/v1/explanations/..%2f..%2fetc%2fpasswd",
        "/review/v1/explanations/x/maps/..%2f1.png",
        "/review/tasks/t1/report.html?query=../../etc/passwd",
    ],
)
def test_no_path_of_a_request_reaches_the_disk(make_server, path):
    answer = Reviewer(make_server()).get(path)
    assert answer.status_code in (404, 405, 422)
    assert "root:" not in answer.text and "import" not in answer.text


def test_hostile_names_and_notes_stay_text(make_server):
    reviewer = Reviewer(make_server(names={1: HOSTILE, -1: HOSTILE + ".jpg"}))
    reviewer.decide("match", comment=HOSTILE, reviewer=HOSTILE[:60])
    page = reviewer.get("/review/tasks/t1").text
    assert "<script>document" not in page and "<img src=x" not in page
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    found = json.loads(data.group(1))
    assert found["query"]["candidates"][0]["name"] == HOSTILE
    assert found["query"]["candidates"][0]["decision"]["comment"] == HOSTILE
    report = reviewer.get("/review/tasks/t1/report.html").text
    assert "<script" not in report and "<img src=x" not in report


@pytest.mark.parametrize(
    ("accepted", "title"),
    [
        ("de-CH,de;q=0.9", "Kandidaten"),
        ("es", "Candidatos"),
        ("fr", "Candidats"),
        ("it", "Candidati"),
        ("pt", "Candidates"),
    ],
)
def test_page_speaks_the_browsers_language(make_server, accepted, title):
    reviewer = Reviewer(make_server())
    page = reviewer.get("/review/tasks/t1", headers={"Accept-Language": accepted}).text
    assert f">{title}<" in page
    failed = reviewer.get("/review/language/de?back=https://evil.example", follow_redirects=False)
    assert failed.headers["location"] == "/review/"
    assert 'lang="de"' in reviewer.get("/review/tasks/t1").text


def test_report_of_a_task_holds_decisions_and_no_place(make_server):
    reviewer = Reviewer(make_server({1: "kept", 2: "lost", 3: "kept"}))
    reviewer.decide("match", comment="same notch", reviewer="Ana")
    report = reviewer.get("/review/tasks/t1/report.html?query=q1").text
    assert "same notch" in report and "Not decided yet" in report
    assert "/secret/place" not in report and "<script" not in report
    assert "IMG_0422" not in report and "IMG_0422" in reviewer.get("/review/tasks/t1/report.html").text


def test_mounted_below_a_path_every_address_stays_below_it(make_server):
    from fastapi import FastAPI

    outer = FastAPI()
    outer.mount("/wildbook/pairx", make_server().app)
    browser = TestClient(outer, base_url="http://localhost")
    page = browser.get("/wildbook/pairx/")
    assert page.status_code == 200 and page.url.path == "/wildbook/pairx/review/tasks/t1"
    addresses = set(re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text))
    assert addresses and all(address.startswith("/wildbook/pairx/") for address in addresses)
    found = json.loads(re.search(r'id="data">(.*?)</script>', page.text, re.DOTALL).group(1))
    assert browser.get(found["query"]["query"]["chip_url"]).status_code == 200
    csrf = {"X-CSRF-Token": found["csrf"], "If-Match": "0"}
    decided = browser.put(
        f"{found['api']}/tasks/t1/pairs/q1/1/decision", json={"evidence_decision": "match"}, headers=csrf
    )
    assert decided.status_code == 200


def test_undo_on_a_skipped_pair_says_that_the_skip_stands_again(make_server):
    reviewer = Reviewer(make_server())
    reviewer.decide("unreviewed")
    reviewer.decide("match", version=1)
    address = "/review/v1/tasks/t1/pairs/q1/1/decision/undo"
    back = reviewer.post(address, json={}, headers={"If-Match": "2"}).json()["decision"]
    assert (back["evidence_decision"], back["action"], back["skipped"]) == ("unreviewed", "undo", True)
    task = reviewer.get("/review/v1/tasks/t1").json()
    assert task["queries"][0]["n_decided"] == 1
    shown = reviewer.get("/review/v1/tasks/t1/queries/q1").json()["candidates"]
    assert [item["decision"]["skipped"] for item in shown[:2]] == [True, False]
    assert reviewer.get("/review/v1/tasks/t1/decisions.json").json()["current"][0]["skipped"]
    conflict = check_failure(reviewer.decide("match", version=1), 412, "DECISION_CONFLICT")
    assert conflict["current"]["skipped"]


def test_what_is_there_when_the_time_is_up_is_kept_as_part(make_server):
    found = Reviewer(make_server({1: "slow"}, time_limit=0.2)).explained(1, until=())
    assert (found["status"], found["over"], found["retryable"]) == ("partial", True, True)
    assert found["failure"]["code"] == "TIMEOUT"
    record = found["record"]
    assert record["status"] == "partial" and record["errors"][-1]["code"] == "TIMEOUT"
    assert len(record["matches"]) == 20 and not [item for item in record["maps"] if item["kind"] == "pixel"]


def test_no_time_limit_is_no_limit(make_server):
    server = make_server({1: "slow"}, time_limit=0)
    reviewer = Reviewer(server)
    reviewer.explained(1, until=("partial",))
    server.source.gate.set()
    assert reviewer.explained(1)["status"] == "ready"
    assert server.source.asked[0][2].time_budget == 0


def test_time_limit_reaches_the_explainer_as_its_budget(make_server):
    server = make_server(time_limit=12.5)
    Reviewer(server).explained(1)
    assert server.source.asked[0][2].time_budget == 12.5


def test_variant_of_an_explainer_brings_its_options(make_server):
    server = make_server()
    reviewer = Reviewer(server)
    found = reviewer.explained(1, explainer="rivals", variant="triplet")
    assert (found["explainer"], found["variant"]) == ("rivals", "triplet")
    assert dict(server.source.asked[-1][2].options) == {"attention_mode": "triplet"}
    assert found["id"] != reviewer.explained(1, explainer="rivals")["id"]
    body = check_failure(reviewer.ask(1, explainer="pairx", variant="triplet"), 422, "EXPLAINER_UNKNOWN")
    assert body["errors"][0]["field"] == "variant"
    choices = reviewer.get("/review/v1/explainers").json()["explainers"]
    assert [(item["explainer_id"], item["variant"]) for item in choices][1:3] == [("rivals", ""), ("rivals", "triplet")]


def test_partner_of_a_cell_is_told_with_two_maps(make_server):
    reviewer = Reviewer(make_server({1: "partners"}))
    found = reviewer.explained(1)
    assert found["has_partners"]
    address = f"/review/v1/explanations/{found['id']}/partners"
    told = reviewer.get(f"{address}/0/3/4").json()
    assert told["place"] == pytest.approx([5.5 / 14, 3.5 / 14]) and told["value"] == pytest.approx(0.0101)
    towards, against = (
        np.asarray(Image.open(io.BytesIO(reviewer.get(told["maps"][sign]).content))) for sign in ("for", "against")
    )
    assert towards.shape == (14, 14) and np.unravel_index(towards.argmax(), towards.shape) == (3, 5)
    assert against[4, 4] == 255 and (against > 0).sum() == 1
    assert reviewer.get(f"{address}/1/3/5").json()["place"] == pytest.approx([4.5 / 14, 3.5 / 14])
    check_failure(reviewer.get(f"{address}/0/14/0"), 422, "SETTING_INVALID")
    check_failure(reviewer.get(f"{address}/2/0/0"), 404, "NOT_ASSOCIATED")
    check_failure(reviewer.get(f"{address}/0/0/0/both.png"), 404, "NOT_ASSOCIATED")
    plain = reviewer.explained(2)
    assert not plain["has_partners"]
    check_failure(reviewer.get(f"/review/v1/explanations/{plain['id']}/partners/0/0/0"), 404, "NOT_ASSOCIATED")


def test_maps_with_signs_come_in_two_parts(make_server):
    reviewer = Reviewer(make_server({1: "signed"}))
    maps = [item for item in reviewer.explained(1)["record"]["maps"] if item["kind"] == "pixel"]
    assert [(item["side"], item["rank"], item["sign"]) for item in maps[:4]] == [
        (0, 1, "for"), (0, 1, "against"), (0, 2, "for"), (0, 2, "against")
    ]
    first, second = (np.asarray(Image.open(io.BytesIO(reviewer.get(item["url"]).content))) for item in maps[:2])
    assert first.max() > 100 and second.max() > 100
    assert not ((first > 0) & (second > 0)).any()


def test_links_outside_of_the_animal_are_in_record_and_words(make_server):
    found = Reviewer(make_server({1: "outside"})).explained(1)
    matches = found["record"]["matches"]
    outside = [match["kpts1"][0] > 0.5 for match in matches]
    assert [match["inside1"] for match in matches] == [not out for out in outside]
    assert {match["inside0"] for match in matches} == {None}
    reason = [item for item in found["record"]["plausibility"]["reasons"] if item["code"] == "OUTSIDE_ANIMAL"]
    assert reason[0]["values"]["n"] == sum(outside) and reason[0]["values"]["of"] == 20
    assert f"{sum(outside)} of 20 links end outside the animal." in found["words"]["sentences"]
    assert [link["outside"] for link in found["words"]["links"]] == [[False, out] for out in outside]


def test_retried_explanation_is_newer_than_the_one_before(make_server):
    reviewer = Reviewer(make_server({1: "failed"}))
    failed = reviewer.explained(1)
    assert failed["status"] == "failed"
    again = reviewer.ask(1, retry=True).json()
    assert again["id"] == failed["id"] and again["revision"] > failed["revision"]
    assert reviewer.explained(1)["status"] == "ready"
