"""Bodies of requests: taken where there is room and in time, read off the event loop, and kinds that are understood."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
from explain_bodies import body, check_failure
from own_loop import in_own_loop

pytest.importorskip("fastapi")
from pairx_plugin.hosts.ml_service import bodies, routes  # noqa: E402

KINDS = {
    "nothing": ({}, 200),
    "JSON": ({"Content-Type": "application/json; charset=utf-8"}, 200),
    "JSON of a kind": ({"Content-Type": "application/vnd.api+json"}, 200),
    "text": ({"Content-Type": "text/plain"}, 422),
    "a form": ({"Content-Type": "application/x-www-form-urlencoded"}, 422),
    "packed": ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 422),
}


@pytest.mark.parametrize(("headers", "status"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("path", ["/explain/", "/api/v3/match-inspection/a/b"])
def test_body_is_json_unless_it_says_otherwise(client, path, headers, status):
    answer = client.post(path, content=json.dumps(body()).encode(), headers=headers)
    if status == 200:
        assert answer.status_code in (200, 201), answer.text
    else:
        check_failure(answer, status, "BAD_REQUEST")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-le"])
def test_text_of_other_systems_is_read(client, encoding):
    assert client.post("/explain/", content=json.dumps(body()).encode(encoding)).status_code == 200


def test_body_of_more_values_than_any_request_has_is_refused_at_once(client):
    content = json.dumps(body())[:-1].encode() + b', "more": [' + b"[0,0,0,0]," * 1_000_000 + b"0]}"
    started = time.process_time()
    check_failure(client.post("/explain/", content=content), 413, "BODY_TOO_LARGE")
    assert time.process_time() - started < 2


def test_body_is_read_in_a_thread_of_its_own(client, monkeypatch):
    names = []

    def read(content):
        names.append(threading.current_thread().name)
        return bodies.asked_of(content)

    monkeypatch.setattr(routes, "asked_of", read)
    assert client.post("/explain/", json=body()).status_code == 200
    assert names == ["pairx-api"]


def ask(server, receive):
    """Ask as a server does, with a body that comes as `receive` gives it; return status and JSON of the answer."""
    sent = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/explain/",
        "raw_path": b"/explain/",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"content-length", b"1000"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 80),
    }

    async def send(message):
        sent.append(message)

    in_own_loop(server.app(scope, receive, send))
    content = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(content)


def test_full_service_refuses_before_it_takes_the_body(make_service):
    server = make_service(waiting=0)

    async def receive():
        raise AssertionError("the body was asked for")

    with server.turns.room():
        status, found = ask(server, receive)
    assert status == 429 and found["errors"][0]["code"] == "BUSY"
    assert server.turns.inside == 0


def test_body_that_does_not_arrive_gives_its_room_back(make_service, monkeypatch):
    monkeypatch.setattr(bodies, "_ARRIVAL", 0.1)
    server = make_service(waiting=0)

    async def receive():
        await asyncio.sleep(20)

    status, found = ask(server, receive)
    assert status == 408 and found["errors"][0]["code"] == "BODY_SLOW"
    assert server.turns.inside == 0
