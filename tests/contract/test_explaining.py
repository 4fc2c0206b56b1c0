"""One explanation for each candidate in rank order, whatever plugins return or raise."""

from __future__ import annotations

import logging

import pytest

from pairx_hooks import (
    ExplainerEntry,
    ExplanationRequest,
    Failure,
    Status,
    build_manager,
    hookimpl,
)

REQUEST = ExplanationRequest(explainer="toy", top_k=3)


def raising(error):
    def answer(query, review):
        raise error

    return answer


def test_missing_explanations_are_filled_in_with_the_plugins_name(ranked, explained, explain, outcome):
    query = ranked(3)
    manager, found = explain(query, lambda query, _: [explained(query, query.candidates[1])])
    assert outcome(found) == [
        (1, "failed", "EXPLANATION_MISSING"),
        (2, "ready", None),
        (3, "failed", "EXPLANATION_MISSING"),
    ]
    assert found[0].failure.plugin == "p1" and "'p1'" in found[0].failure.message
    assert [item.candidate_id for item in found] == ["c1", "c2", "c3"]
    assert found[0].explainer == "toy"
    assert [failure.error for failure in manager.failures] == [
        "left 2 of 3 candidates of query 'q1' without an explanation"
    ]


@pytest.mark.parametrize(
    "error, code",
    [
        (ValueError("bad weights"), "PLUGIN_FAILED"),
        (SystemExit(3), "PLUGIN_FAILED"),
        (MemoryError(), "PLUGIN_FAILED"),
    ],
    ids=["exception", "system-exit", "memory"],
)
def test_plugin_that_raises_leaves_failed_candidates_with_its_reason(ranked, error, code, explain, outcome):
    manager, found = explain(ranked(2), raising(error))
    assert outcome(found) == [(1, "failed", code), (2, "failed", code)]
    assert type(error).__name__ in found[0].failure.message
    assert found[0].failure.plugin == "p1"
    assert len(manager.failures) == 1 and "raise error" in manager.failures[0].traceback


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()], ids=["interrupt", "exit"])
def test_interruptions_of_the_host_pass(ranked, error, explain):
    with pytest.raises(type(error)):
        explain(ranked(2), raising(error))


def test_code_and_retry_of_the_exception_reach_the_record(ranked, explain):
    class Busy(RuntimeError):
        code, retryable = "DEVICE_BUSY", True

    _, found = explain(ranked(1), raising(Busy("try later")))
    assert (found[0].failure.code, found[0].failure.retryable) == ("DEVICE_BUSY", True)


def test_next_plugin_is_asked_after_a_failure(ranked, explained, explain):
    manager, found = explain(
        ranked(2),
        lambda query, _: [explained(query, item, explainer="p1") for item in query.candidates],
        raising(ValueError("p2 is broken")),
    )
    assert [(item.status, item.explainer) for item in found] == [(Status.READY, "p1")] * 2
    assert [(failure.plugin, failure.error) for failure in manager.failures] == [
        ("p2", "ValueError: p2 is broken")
    ]


@pytest.mark.parametrize("nothing", [None, [], ()], ids=repr)
def test_next_plugin_is_asked_where_one_gives_nothing(ranked, explained, nothing, explain, outcome):
    _, found = explain(
        ranked(1), lambda query, _: [explained(query, query.candidates[0])], lambda *_: nothing
    )
    assert outcome(found) == [(1, "ready", None)]


def test_reason_is_that_of_the_plugin_that_was_asked_first(ranked, explain):
    _, found = explain(ranked(1), raising(ValueError("asked second")), raising(ValueError("asked first")))
    assert found[0].failure.plugin == "p2" and "asked first" in found[0].failure.message


def test_plugin_that_answered_is_the_last_one_asked(ranked, explained, explain, toy):
    idle = toy(lambda *_: None)
    explain(ranked(1), idle, lambda query, _: [explained(query, query.candidates[0])])
    assert idle.n_calls == 0


def test_what_was_yielded_before_an_exception_is_kept(ranked, explained, explain, outcome, toy):
    idle = toy(lambda *_: None)

    def answer(query, review):
        yield explained(query, query.candidates[0])
        raise RuntimeError("card lost")

    _, found = explain(ranked(3), idle, answer)
    assert outcome(found) == [
        (1, "ready", None),
        (2, "failed", "PLUGIN_FAILED"),
        (3, "failed", "PLUGIN_FAILED"),
    ]
    assert found[1].failure.message == "plugin 'p2' failed while it explained: RuntimeError: card lost"
    assert idle.n_calls == 0  # the query is p2's


def test_what_was_announced_before_an_exception_is_kept(ranked, explained, explain, outcome):
    def answer(query, review):
        review.notify_finished(
            query, query.candidates[1], explained(query, query.candidates[1], record={"n": 1})
        )
        review.notify_failed(query, query.candidates[0], Failure(code="NO_CHIP", message="no chip"))
        raise RuntimeError("card lost")

    _, found = explain(ranked(3), answer)
    assert outcome(found) == [(1, "failed", "NO_CHIP"), (2, "ready", None), (3, "failed", "PLUGIN_FAILED")]
    assert found[1].record == {"n": 1}


def test_answer_that_is_given_counts_more_than_the_announced_one(ranked, explained, explain):
    def answer(query, review):
        review.notify_finished(
            query, query.candidates[0], explained(query, query.candidates[0], record={"n": 1})
        )
        return [explained(query, query.candidates[0], record={"n": 2})]

    assert explain(ranked(1), answer)[1][0].record == {"n": 2}


def test_candidates_behind_top_k_are_skipped_when_left_out(ranked, explained, explain, outcome):
    def answer(query, review):
        return [explained(query, query.candidates[0]), explained(query, query.candidates[3])]

    _, found = explain(ranked(5), answer, request=ExplanationRequest(explainer="toy", top_k=2))
    assert outcome(found) == [
        (1, "ready", None),
        (2, "failed", "EXPLANATION_MISSING"),
        (3, "skipped", None),
        (4, "ready", None),  # more than was asked for is no fault
        (5, "skipped", None),
    ]


@pytest.mark.parametrize("n, top_k", [(0, 3), (2, 0)], ids=["no candidates", "none asked for"])
def test_nothing_to_explain_asks_no_plugin(ranked, n, top_k, explain, outcome, toy):
    toy = toy(raising(AssertionError("asked")))
    manager, found = explain(ranked(n), toy, request=ExplanationRequest(top_k=top_k))
    assert outcome(found) == [(rank, "skipped", None) for rank in range(1, n + 1)]
    assert toy.n_calls == 0 and manager.failures == ()


def test_same_annotation_twice_and_the_query_among_the_candidates(ranked, explained, explain):
    query = ranked(ids=("c1", "a0", "c1"))
    _, found = explain(query, lambda query, _: [explained(query, item) for item in query.candidates])
    assert [(item.rank, item.candidate_id, item.status) for item in found] == [
        (1, "c1", Status.READY),
        (2, "a0", Status.READY),
        (3, "c1", Status.READY),
    ]


def test_without_any_plugin_the_failure_says_what_to_install(ranked, explain, outcome):
    _, found = explain(ranked(1))
    assert outcome(found) == [(1, "failed", "NO_PLUGIN")]
    assert "pip install pairx-plugin" in found[0].failure.message


def test_unknown_explainer_is_named_with_the_nearest_one(ranked, explain):
    class Idle:
        n_calls = 0

        @hookimpl
        def explain_ranked_query(self):
            return None

        @hookimpl
        def register_explainers(self):
            return [ExplainerEntry(explainer_id="pairx", title="PAIR-X", create=dict)]

    _, found = explain(ranked(1), Idle(), request=ExplanationRequest(explainer="pair-x"))
    assert found[0].failure.code == "EXPLAINER_UNKNOWN"
    assert found[0].failure.message == "no explainer 'pair-x'; nearest: 'pairx'; registered: pairx"
    _, found = explain(ranked(1), Idle(), request=ExplanationRequest(explainer="pairx"))
    assert found[0].failure.code == "NOT_EXPLAINED" and "p1" in found[0].failure.message


def test_observer_that_raises_touches_nothing(ranked, explained, toy):
    class Broken:
        @hookimpl
        def explanation_finished(self):
            raise ValueError("no socket")

    manager = build_manager(
        toy(lambda query, _: [explained(query, item) for item in query.candidates]),
        Broken(),
        entry_points=False,
    )
    assert [item.status for item in manager.explain(ranked(2), REQUEST)] == [Status.READY] * 2
    assert [failure.hook for failure in manager.failures] == ["explanation_finished"] * 2


def test_failing_plugin_is_a_warning_once_and_its_traceback_debug(ranked, caplog, toy):
    manager = build_manager(entry_points=False)
    manager.register(toy(raising(ValueError("bad weights"))), "p1")
    with caplog.at_level(logging.DEBUG, logger="pairx_hooks"):
        for _ in range(3):
            manager.explain(ranked(1), REQUEST)
    warnings = [item for item in caplog.records if item.levelno == logging.WARNING]
    assert [item.getMessage() for item in warnings] == [
        "plugin 'p1' failed in explain_ranked_query: ValueError: bad weights"
    ]
    assert any("Traceback" in item.getMessage() for item in caplog.records if item.levelno == logging.DEBUG)
    assert all("Traceback" not in item.getMessage() for item in warnings)
    assert len(manager.failures) == 3
