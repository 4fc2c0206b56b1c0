"""Programs that call the review server in one process with it: a browser that has loaded the page, and any other."""

from __future__ import annotations

import io
import re
import time

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from pairx_plugin.review import ReviewServer

__all__ = ["Reviewer", "check_failure", "page_word", "picture"]


class Reviewer(TestClient):
    """A browser: it loads the page first and sends along what the page says."""

    def __init__(self, server: ReviewServer, **options) -> None:
        super().__init__(server.app, base_url="http://localhost", raise_server_exceptions=False, **options)
        self.headers["X-CSRF-Token"] = page_word(self)

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


def page_word(program) -> str:
    """Load the page as a browser does, and return the word that writes are sent with."""
    program.get("/review/")
    return program.get("/review/v1/session").json()["csrf"]


def check_failure(answer, status, code):
    """Check that an answer is a failure in the one shape that all have, and return it."""
    body = answer.json()
    assert answer.status_code == status, body
    assert body["success"] is False and body["message"] == body["detail"]
    assert body["errors"][0]["code"] == code
    assert body["errors"][0]["retryable"] is (status in (429, 502, 503, 504))
    assert re.fullmatch(r"[0-9a-f]{16}", body["request_id"])
    return body


def picture(answer) -> np.ndarray:
    """Return the picture that came as an answer, (H, W, 3) uint8."""
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB"))
