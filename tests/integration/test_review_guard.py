"""The review server's guard: forged writes, other hosts' names, tokens, headers, large bodies, paths to the disk."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from review_programs import Reviewer, check_failure  # noqa: E402
from starlette.testclient import TestClient  # noqa: E402


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
