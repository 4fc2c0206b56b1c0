"""Several threads share one manager."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from pairx_hooks import (
    Annotation,
    ExplainerEntry,
    ExplanationRequest,
    Failure,
    Status,
    build_manager,
    hookimpl,
)

N_THREADS = 8


def test_queries_explained_at_once_do_not_mix(ranked, explained):
    together = threading.Barrier(N_THREADS, timeout=30)
    seen, lock = [], threading.Lock()

    class Toy:
        @hookimpl
        def explain_ranked_query(self, ranked_query, review):
            together.wait()  # all are inside of the hook now
            for candidate in ranked_query.candidates:
                assert review.chip(candidate.annotation) == candidate.annotation.annotation_id
                yield explained(ranked_query, candidate, record={"query": ranked_query.query_id})
                if candidate.rank == 3 and ranked_query.query_id == "q5":
                    raise ValueError("q5 stops here")

        @hookimpl
        def load_chip(self, annotation):
            return annotation.annotation_id

        @hookimpl
        def explanation_finished(self, ranked_query, candidate):
            with lock:
                seen.append((ranked_query.query_id, candidate.rank))

    manager = build_manager(Toy(), entry_points=False)
    queries = [ranked(4, query_id=f"q{number}") for number in range(N_THREADS)]
    with ThreadPoolExecutor(N_THREADS) as pool:
        found = list(pool.map(lambda query: manager.explain(query, ExplanationRequest(top_k=4)), queries))
    for query, explanations in zip(queries, found):
        ready = [item for item in explanations if item.status is Status.READY]
        assert [item.record["query"] for item in ready] == [query.query_id] * (
            3 if query.query_id == "q5" else 4
        )
    assert len(seen) == len(set(seen)) == 4 * N_THREADS - 1
    assert [failure.error for failure in manager.failures] == ["ValueError: q5 stops here"]


def test_one_query_explained_by_two_threads_is_announced_in_each(ranked, explained):
    together = threading.Barrier(2, timeout=30)
    seen, lock = [], threading.Lock()

    class Toy:
        @hookimpl
        def explain_ranked_query(self, ranked_query, review):
            candidate = ranked_query.candidates[0]
            together.wait()
            review.notify_finished(ranked_query, candidate, explained(ranked_query, candidate))
            together.wait()
            return [explained(ranked_query, candidate)]

        @hookimpl
        def explanation_finished(self, candidate):
            with lock:
                seen.append(candidate.rank)

    manager = build_manager(Toy(), entry_points=False)
    query = ranked(1)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: manager.explain(query, ExplanationRequest()), range(2)))
    assert seen == [1, 1]


def test_plugin_may_notify_from_threads_of_its_own(ranked, explained):
    seen, lock = [], threading.Lock()

    class Toy:
        @hookimpl
        def explain_ranked_query(self, ranked_query, review):
            def work(candidate):
                if candidate.rank % 2:
                    review.notify_finished(ranked_query, candidate, explained(ranked_query, candidate))
                else:
                    review.notify_failed(ranked_query, candidate, Failure(code="EVEN", message="even"))

            with ThreadPoolExecutor(N_THREADS) as pool:
                list(pool.map(work, ranked_query.candidates * 3))

        @hookimpl
        def explanation_finished(self, candidate):
            with lock:
                seen.append(candidate.rank)

    manager = build_manager(Toy(), entry_points=False)
    found = manager.explain(ranked(20), ExplanationRequest(top_k=20))
    assert [item.status for item in found] == [Status.READY, Status.FAILED] * 10
    assert sorted(seen) == list(range(1, 21, 2))
    assert manager.failures == ()


def test_explainers_are_collected_once_when_many_ask_at_once():
    calls = []

    class Toy:
        @hookimpl
        def register_explainers(self):
            calls.append(threading.get_ident())
            return [ExplainerEntry(explainer_id="toy", title="Toy", create=dict)]

    manager = build_manager(Toy(), entry_points=False)
    with ThreadPoolExecutor(N_THREADS) as pool:
        found = list(pool.map(lambda _: list(manager.explainers()), range(4 * N_THREADS)))
    assert found == [["toy"]] * (4 * N_THREADS)
    assert len(calls) == 1


def test_plugins_registered_while_others_ask_are_all_there():
    class Chips:
        def __init__(self, number):
            self.number = number

        @hookimpl
        def load_chip(self, annotation):
            return self.number if annotation.annotation_id == f"a{self.number}" else None

    manager = build_manager(entry_points=False)

    def work(number):
        manager.register(Chips(number))
        return manager.chip(Annotation(annotation_id=f"a{number}"))

    with ThreadPoolExecutor(N_THREADS) as pool:
        assert list(pool.map(work, range(40))) == list(range(40))
    assert len({item.name for item in manager.describe()}) == 40
