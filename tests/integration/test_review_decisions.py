"""The review server's decisions: kept in the host's words, never overwritten, taken back by appending, exported."""

from __future__ import annotations

import csv
import io

import pytest

pytest.importorskip("fastapi")
from review_programs import Reviewer, check_failure  # noqa: E402


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
