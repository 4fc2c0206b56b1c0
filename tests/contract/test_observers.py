"""Observers hear of each candidate once while a query is explained."""

from __future__ import annotations

from pairx_hooks import ExplanationRequest, Failure, Status, build_manager, hookimpl

REQUEST = ExplanationRequest(explainer="toy")


def test_observers_hear_of_a_candidate_once_when_the_plugin_tells_them_itself(ranked, explained, observer):
    query = ranked(2)

    class Toy:
        @hookimpl
        def explain_ranked_query(self, ranked_query, review):
            first, second = ranked_query.candidates
            ready, failed = explained(ranked_query, first), explained(ranked_query, second, Status.FAILED)
            for _ in range(2):
                review.notify_finished(ranked_query, first, ready)
                review.notify_failed(ranked_query, second, failed.failure)
            return [ready, failed]

    build_manager(Toy(), observer, entry_points=False).explain(query, REQUEST)
    assert observer.finished == [("q1", 1, Status.READY)]
    assert observer.failed == [("q1", 2, "NO_LUCK")]


def test_host_may_notify_outside_of_explain(ranked, explained, observer):
    query = ranked(1)
    manager = build_manager(observer, entry_points=False)
    for _ in range(2):
        manager.notify_finished(query, query.candidates[0], explained(query, query.candidates[0]))
        manager.notify_failed(query, query.candidates[0], Failure(code="LATE", message="late"))
    assert observer.finished == [("q1", 1, Status.READY)] * 2
    assert observer.failed == [("q1", 1, "LATE")] * 2


def test_query_that_is_done_is_forgotten(ranked, explained, observer):
    kept = []

    class Toy:
        @hookimpl
        def explain_ranked_query(self, ranked_query):
            kept.append(ranked_query)
            return [explained(ranked_query, ranked_query.candidates[0])]

    manager = build_manager(Toy(), observer, entry_points=False)
    manager.explain(ranked(1), REQUEST)
    query = kept[0]
    manager.notify_finished(
        query, query.candidates[0], explained(query, query.candidates[0])
    )  # a rerun, later
    assert len(observer.finished) == 2
