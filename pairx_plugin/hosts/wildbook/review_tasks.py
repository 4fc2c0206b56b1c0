"""What a reviewer of the host works through: the queries of one call, as tasks of the review page.

A task is named by the configuration's reference and the first of the queries that were asked at once; what belongs to
it stands in the kept answers, so that any process of the host knows it, also after a restart.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import StoreError
from .shelf import Shelf, recent_queries

__all__ = ["KeptTask", "find_task", "recent_tasks", "task_of_query"]

_RECENT = 400  # answers that are looked at for the list of tasks


@dataclass(frozen=True, kw_only=True)
class KeptTask:
    """The queries that were asked at once.

    Attributes:
        shelf: where their answers and records lie.
        answers: by the query's annotation UUID, in the order in which they were asked.
    """

    task_id: str
    shelf: Shelf
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def ranks(self) -> dict[str, dict[str, int]]:
        """Return the ranks of candidates by their UUIDs, by query."""
        return {
            query: {str(row["dannot_uuid"]): int(row["rank"]) for row in answer.get("ranking") or ()}
            for query, answer in self.answers.items()
        }


def task_of_query(cache_folder: str, reference: str, query: str) -> str | None:
    """Return the id of the task that a query belongs to; None where nothing is known of the query.

    Raises:
        StoreError: `reference` or `query` is none.
    """
    shelf = Shelf(cache_folder, reference)
    answer = shelf.read_query(query)
    if answer is None:
        return None
    batch = _batch(answer, query)
    # the first one may have been asked again since, alone
    head = shelf.read_query(batch[0]) if batch[0] != query else answer
    together = head is not None and _batch(head, batch[0]) == batch
    return f"{shelf.reference}.{batch[0] if together else query}"


def find_task(cache_folder: str, task_id: str) -> KeptTask | None:
    """Return a task, None where there is none of that id."""
    reference, _, first = task_id.partition(".")
    try:
        shelf, first = Shelf(cache_folder, reference), str(uuid.UUID(first))
    except (StoreError, ValueError):
        return None
    head = shelf.read_query(first)
    if head is None:
        return None
    batch = _batch(head, first)
    found = {query: head if query == first else shelf.read_query(query) for query in dict.fromkeys([first, *batch])}
    answers = {
        query: answer for query, answer in found.items() if answer is not None and _batch(answer, query) == batch
    }
    return KeptTask(task_id=f"{shelf.reference}.{first}", shelf=shelf, answers=answers)


def recent_tasks(cache_folder: str, n: int) -> list[KeptTask]:
    """Return the `n` newest tasks, newest first."""
    ids = [task_of_query(cache_folder, *item) for item in recent_queries(cache_folder, _RECENT)]
    found = [find_task(cache_folder, task_id) for task_id in dict.fromkeys(filter(None, ids))][:n]
    return [task for task in found if task is not None]


def _batch(answer: Mapping[str, Any], query: str) -> list[str]:
    """Return the queries that were asked at once, as one of them says."""
    return [str(item) for item in answer.get("batch") or [query]]
