"""Requests at once: what waits, what is refused, what takes too long, and the host's network meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from explain_bodies import body, check_failure

pytest.importorskip("fastapi")


def test_service_answers_while_it_computes(held):
    client, explainer = held()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/explain/", json=body())
        assert explainer.begun.wait(20)
        started = time.monotonic()
        assert client.get("/health").json()["requests"] == 1
        check_failure(client.post("/explain/", json=body(k_lines=-1)), 422, "BAD_REQUEST")
        assert time.monotonic() - started < 5
        explainer.gate.set()
        assert first.result(30).status_code == 200


def test_two_requests_at_once_are_both_answered_and_do_not_mix(client):
    names = ["first.png", "second.png", "third.png"]
    alone = {name: client.post("/explain/", json=body(image2_uris=[name])).json()["images"] for name in names}
    with ThreadPoolExecutor(6) as pool:
        asked = names * 2
        found = list(pool.map(lambda name: client.post("/explain/", json=body(image2_uris=[name])).json(), asked))
    assert [item["images"] for item in found] == [alone[name] for name in asked]


def test_full_service_says_when_to_come_again(held):
    client, explainer = held(waiting=1)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(client.post, "/explain/", json=body()) for _ in range(2)]
        deadline = time.monotonic() + 20
        while client.get("/health").json()["requests"] < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        refused = client.post("/explain/", json=body())
        check_failure(refused, 429, "BUSY")
        assert int(refused.headers["retry-after"]) >= 1
        explainer.gate.set()
        assert [item.result(30).status_code for item in running] == [200, 200]
    assert client.post("/explain/", json=body()).status_code == 200


def test_request_that_takes_too_long_ends(held):
    client, explainer = held(time_limit=0.3)
    check_failure(client.post("/explain/", json=body()), 504, "TIMEOUT")
    explainer.gate.set()


def test_hosts_network_on_another_thread_stays_bit_for_bit(client, model, make_tensor, make_texture):
    batch = make_tensor(make_texture(4), make_texture(5))
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    with torch.no_grad():
        alone = model.network(batch)
    different, stop = [], threading.Event()

    def host() -> None:
        while not stop.is_set():
            with torch.no_grad():
                if not torch.equal(model.network(batch), alone):
                    different.append(1)

    thread = threading.Thread(target=host)
    thread.start()
    for _ in range(3):
        assert client.post("/explain/", json=body()).status_code == 200
    stop.set()
    thread.join()
    assert not different
    after = model.network.state_dict()
    assert list(after) == list(before) and all(torch.equal(after[name], before[name]) for name in before)
    assert all(parameter.grad is None for parameter in model.network.parameters())
