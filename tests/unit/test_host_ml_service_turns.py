"""Whose turn it is, and who has to come again."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
from own_loop import in_own_loop

pytest.importorskip("fastapi")
from pairx_plugin.hosts.ml_service.turns import Cancelled, Turns  # noqa: E402
from pairx_plugin.review.failures import ApiFailure  # noqa: E402


def run(turns, work, gone=None):
    async def never():
        return False

    return in_own_loop(let_in(turns, work, gone or never))


async def let_in(turns, work, gone):
    """Have room and do the work, as a route does with a request's body."""
    with turns.room() as ticket:
        return await turns.work_out(ticket, work, gone)


def test_turns_are_bounded_and_say_when_to_come_again():
    turns = Turns(waiting=1, at_once=1, time_limit=10)
    gate, results = threading.Event(), []

    def work(ticket):
        with ticket.turn():
            gate.wait(5)
        return 1

    threads = [threading.Thread(target=lambda: results.append(run(turns, work))) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while turns.inside < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(ApiFailure) as caught:
        run(turns, work)
    assert caught.value.status == 429 and caught.value.more["retry_after"] >= 1
    gate.set()
    for thread in threads:
        thread.join()
    assert results == [1, 1] and turns.inside == 0
    assert run(turns, lambda ticket: 2) == 2
    assert turns.usual_seconds is not None


def test_turns_come_in_order_and_one_at_a_time():
    turns, order, running = Turns(waiting=4, at_once=1, time_limit=10), [], []

    def work(number):
        def do(ticket):
            with ticket.turn():
                running.append(number)
                assert running == [number]
                time.sleep(0.02)
                running.remove(number)
                order.append(number)

        return do

    async def all_of_them():
        async def never():
            return False

        tasks = []
        for number in range(4):
            tasks.append(asyncio.create_task(let_in(turns, work(number), never)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)

    in_own_loop(all_of_them())
    assert order == [0, 1, 2, 3]


def test_too_long_is_told_and_the_room_is_given_back_when_the_work_ends():
    turns, ended = Turns(waiting=0, at_once=1, time_limit=0.1), threading.Event()

    def work(ticket):
        while not ticket.cancelled():
            time.sleep(0.01)
        ended.set()

    with pytest.raises(ApiFailure) as caught:
        run(turns, work)
    assert caught.value.status == 504 and ended.wait(5)
    deadline = time.monotonic() + 5
    while turns.inside and time.monotonic() < deadline:
        time.sleep(0.01)
    assert turns.inside == 0


def test_caller_who_leaves_cancels():
    turns, ended = Turns(waiting=1, at_once=1, time_limit=10), threading.Event()

    def work(ticket):
        while not ticket.cancelled():
            time.sleep(0.01)
        ended.set()

    async def left():
        return True

    with pytest.raises(Cancelled):
        run(turns, work, left)
    assert ended.wait(5)


def test_work_that_nobody_waits_for_any_more_ends_without_a_word(caplog):
    turns, ended = Turns(waiting=0, at_once=1, time_limit=0.1), threading.Event()

    def work(ticket):
        try:
            while True:
                ticket.check()
                time.sleep(0.01)
        finally:
            ended.set()

    async def late():
        async def never():
            return False

        with pytest.raises(ApiFailure):
            await let_in(turns, work, never)
        while turns.inside:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        gc.collect()  # asyncio complains when it forgets a result that nobody has seen

    in_own_loop(late())
    assert ended.is_set() and caplog.text == ""


def test_those_under_way_are_told_when_the_service_stops():
    turns, begun = Turns(waiting=1, at_once=1, time_limit=30), threading.Event()

    def patient(ticket):  # ends at its next step
        begun.set()
        while not ticket.cancelled():
            time.sleep(0.01)
        ticket.check()

    def deaf(ticket):  # has no step for a while
        begun.set()
        time.sleep(2)

    async def stopped(work):
        async def never():
            return False

        begun.clear()
        task = asyncio.create_task(let_in(turns, work, never))
        await asyncio.to_thread(begun.wait, 5)
        turns.close()
        return await task

    for work in (patient, deaf):
        started = time.monotonic()
        with pytest.raises(ApiFailure) as caught:
            in_own_loop(stopped(work))
        assert (caught.value.status, caught.value.code) == (503, "CLOSING")
        assert time.monotonic() - started < 1.9
        turns.open()


def test_so_many_photographs_are_decoded_at_once_and_no_more():
    turns, now, most, lock = Turns(waiting=9, at_once=1, time_limit=10), [], [], threading.Lock()

    def work(ticket):
        with ticket.reading():
            with lock:
                now.append(1)
                most.append(len(now))
            time.sleep(0.05)
            with lock:
                now.pop()

    async def never():
        return False

    async def all_of_them():
        await asyncio.gather(*[let_in(turns, work, never) for _ in range(6)])

    in_own_loop(all_of_them())
    assert len(most) == 6 and max(most) == 2


def test_closed_turns_let_nobody_in():
    turns = Turns(waiting=1, at_once=1, time_limit=10)
    turns.close()
    with pytest.raises(ApiFailure) as caught:
        run(turns, lambda ticket: 1)
    assert caught.value.status == 503
    turns.open()
    assert run(turns, lambda ticket: 1) == 1
