"""Who may ask: tokens, and pages of other sites."""

from __future__ import annotations

import pytest
from explain_bodies import body, check_failure

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402


def test_token_is_asked_for(make_service):
    client = TestClient(make_service(token="t" * 24).app, base_url="http://localhost")
    assert client.get("/health").status_code == 200
    for method, address, asked in (("POST", "/explain/", body()), ("GET", "/openapi.json", None)):

        def ask(method=method, address=address, asked=asked, **more):
            return client.request(method, address, json=asked, **more)

        refused = ask()
        check_failure(refused, 401, "AUTH_REQUIRED")
        assert refused.headers["www-authenticate"] == "Bearer"
        check_failure(ask(headers={"Authorization": "Bearer " + "x" * 24}), 401, "AUTH_REQUIRED")
        assert ask(headers={"Authorization": "Bearer " + "t" * 24}).status_code == 200


def test_pages_of_other_sites_are_refused_and_programs_are_not(make_service):
    client = TestClient(make_service(hosts=("localhost",)).app, base_url="http://localhost")
    for headers in (
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example"},
    ):
        answer = client.post("/explain/", json=body(), headers=headers)
        assert answer.status_code == 403 and answer.json()["errors"][0]["code"] in ("CSRF_FAILED", "HOST_FORBIDDEN")
    assert client.post("/explain/", json=body(), headers={"Origin": "http://localhost"}).status_code == 200
