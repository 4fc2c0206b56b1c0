"""Queries that were asked at once, found again among kept answers."""

from __future__ import annotations

import os
import uuid

import pytest

from pairx_plugin.errors import StoreError
from pairx_plugin.hosts.wildbook.review_tasks import find_task, recent_tasks, task_of_query
from pairx_plugin.hosts.wildbook.shelf import Shelf

A, B, C = (str(uuid.UUID(int=number)) for number in (1, 2, 3))


@pytest.fixture
def keep(tmp_path):
    """Keep answers of queries that were asked at once; later ones are newer."""
    clock = iter(range(1_000_000, 2_000_000, 1000))

    def kept(*queries, reference="abc", batch=True):
        shelf = Shelf(tmp_path, reference)
        for query in queries:
            ranking = [{"rank": 1, "dannot_uuid": C, "score": 0.5}]
            answer = {"query_annot_uuid": query, "ranking": ranking}
            shelf.write_query(query, {**answer, "batch": queries} if batch else answer)
            now = next(clock)
            os.utime(shelf._query(query) / "pairx_query.json", (now, now))

    return kept


def test_queries_of_one_call_are_one_task(keep, tmp_path):
    keep(A, B)
    assert task_of_query(tmp_path, "abc", B) == task_of_query(tmp_path, "abc", A) == f"abc.{A}"
    task = find_task(tmp_path, f"abc.{A}")
    assert list(task.answers) == [A, B] and task.ranks() == {A: {C: 1}, B: {C: 1}}


def test_query_that_was_asked_again_alone_leaves_its_task(keep, tmp_path):
    keep(A, B)
    keep(A)
    assert task_of_query(tmp_path, "abc", A) == f"abc.{A}" and task_of_query(tmp_path, "abc", B) == f"abc.{B}"
    assert list(find_task(tmp_path, f"abc.{A}").answers) == [A]
    assert list(find_task(tmp_path, f"abc.{B}").answers) == [B]


def test_answer_of_an_earlier_version_is_a_task_of_its_own(keep, tmp_path):
    keep(A, B, batch=False)
    assert task_of_query(tmp_path, "abc", B) == f"abc.{B}"
    assert list(find_task(tmp_path, f"abc.{B}").answers) == [B]


def test_newest_tasks_come_first_and_each_once(keep, tmp_path):
    keep(A, B)
    keep(C, reference="other")
    assert [task.task_id for task in recent_tasks(tmp_path, 9)] == [f"other.{C}", f"abc.{A}"]
    assert [task.task_id for task in recent_tasks(tmp_path, 1)] == [f"other.{C}"]
    assert recent_tasks(tmp_path / "none", 9) == []


@pytest.mark.parametrize("task_id", ["", "abc", f"abc.{C}", "abc.no-uuid", f"../x.{A}", f"{A}.abc", f"abc.{A}/../.."])
def test_task_that_is_none_is_not_found(keep, tmp_path, task_id):
    keep(A)
    assert find_task(tmp_path, task_id) is None


def test_query_that_nobody_knows_has_no_task(keep, tmp_path):
    keep(A)
    assert task_of_query(tmp_path, "abc", B) is None
    for reference, query in (("../x", A), ("abc", "no-uuid")):
        with pytest.raises(StoreError):
            task_of_query(tmp_path, reference, query)
