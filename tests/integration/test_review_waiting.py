"""The review server's explanations on their way: in steps, in a line, too late, failed, stale, and tried again."""

from __future__ import annotations

import json
import time

import pytest

pytest.importorskip("fastapi")
from review_programs import Reviewer, check_failure  # noqa: E402


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


def test_lines_alone_are_an_end_with_a_reason(make_server):
    found = Reviewer(make_server({1: "lines"})).explained(1)
    assert (found["status"], found["over"], found["failure"]["code"]) == ("partial", True, "TIMEOUT")
    assert found["record"]["matches"]


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


def test_retried_explanation_is_newer_than_the_one_before(make_server):
    reviewer = Reviewer(make_server({1: "failed"}))
    failed = reviewer.explained(1)
    assert failed["status"] == "failed"
    again = reviewer.ask(1, retry=True).json()
    assert again["id"] == failed["id"] and again["revision"] > failed["revision"]
    assert reviewer.explained(1)["status"] == "ready"


def test_stale_evidence_waits_to_be_asked_anew(make_server):
    server = make_server({1: "stale_chip", 2: "stale_model"})
    reviewer = Reviewer(server)
    chip, model = reviewer.explained(1), reviewer.explained(2)
    assert (chip["status"], chip["stale"], chip["record"]) == ("stale", "CHIP_CHANGED", None)
    assert (model["status"], model["stale"]) == ("stale", "MODEL_CHANGED") and model["record"]["matches"]
    assert server.source.asked == []
    anew = reviewer.explained(1, anew=True)
    assert anew["status"] == "ready" and anew["made_anew"] and anew["id"] != chip["id"]


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
