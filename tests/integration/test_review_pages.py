"""The review server's pages: tasks, photographs, languages, reports, and a place of their own in a host's paths."""

from __future__ import annotations

import io
import json
import re

import pytest
from PIL import Image
from review_source import HOSTILE

pytest.importorskip("fastapi")
from review_programs import Reviewer, check_failure  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402


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
    files = [address for address in addresses if "/static/" in address]
    assert {address.rpartition("/")[2] for address in files} >= {"base.css", "review.css", "review.js"}
    assert {browser.get(address).status_code for address in files} == {200}
    found = json.loads(re.search(r'id="data">(.*?)</script>', page.text, re.DOTALL).group(1))
    assert browser.get(found["query"]["query"]["chip_url"]).status_code == 200
    csrf = {"X-CSRF-Token": found["csrf"], "If-Match": "0"}
    decided = browser.put(
        f"{found['api']}/tasks/t1/pairs/q1/1/decision", json={"evidence_decision": "match"}, headers=csrf
    )
    assert decided.status_code == 200
