"""What a plugin or a host should not hand over is left out or refused, and said."""

from __future__ import annotations

import itertools

import pytest

from pairx_hooks import (
    Explanation,
    ExplanationRequest,
    RecordError,
    Status,
    build_manager,
)

REQUEST = ExplanationRequest(explainer="toy", top_k=3)


STRANGERS = {
    "other query": dict(query_id="q2"),
    "other candidate": dict(candidate_id="c2"),
    "unknown rank": dict(rank=9),
}


@pytest.mark.parametrize("changes", STRANGERS.values(), ids=STRANGERS)
def test_strangers_are_left_out_and_recorded(ranked, changes, explain):
    def answer(query, review):
        given = dict(query_id="q1", candidate_id="c1", rank=1, status=Status.READY)
        return [Explanation(**{**given, **changes})]

    manager, found = explain(ranked(1), answer)
    assert found[0].status is Status.FAILED
    assert manager.failures[0].error.startswith("explained ")
    assert str(next(iter(changes.values()))) in manager.failures[0].error


def test_second_answers_for_a_rank_are_left_out_and_recorded(ranked, explained, explain):
    def answer(query, review):
        return [explained(query, query.candidates[0], record={"n": n}) for n in (1, 2)]

    manager, found = explain(ranked(1), answer)
    assert found[0].record == {"n": 1}
    assert [failure.error for failure in manager.failures] == ["explained rank 1 twice"]


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    "rubbish",
    [3, "text", {"c1": 1}, [None], [Unprintable()], [{"rank": 1}], object()],
    ids=["int", "text", "dict", "none", "no-repr", "json", "object"],
)
def test_rubbish_is_recorded_and_the_candidates_fail(ranked, rubbish, explain):
    manager, found = explain(ranked(2), lambda *_: rubbish)
    assert [item.status for item in found] == [Status.FAILED, Status.FAILED]
    assert {item.failure.plugin for item in found} == {"p1"}
    assert manager.failures and {failure.plugin for failure in manager.failures} == {"p1"}


def test_answer_without_an_end_is_cut_off(ranked, explained, explain, outcome):
    manager, found = explain(
        ranked(2), lambda query, _: (explained(query, query.candidates[0]) for _ in itertools.count())
    )
    assert outcome(found) == [(1, "ready", None), (2, "failed", "EXPLANATION_MISSING")]
    assert len(manager.failures) < 10


def test_announcing_a_stranger_is_the_plugins_own_error(ranked, explained, explain):
    def answer(query, review):
        foreign = ranked(1, query_id="q2")
        review.notify_finished(query, query.candidates[0], explained(foreign, foreign.candidates[0]))

    manager, found = explain(ranked(1), answer)
    assert "a plugin explained the query 'q2' when asked for 'q1'" in found[0].failure.message


@pytest.mark.parametrize("method", ["notify_finished", "notify_failed"])
def test_announcing_something_else_is_refused(ranked, method):
    manager, query = build_manager(entry_points=False), ranked(1)
    with pytest.raises(RecordError, match=f"{method} needs a record (Explanation|Failure), not str 'done'"):
        getattr(manager, method)(query, query.candidates[0], "done")


def test_ranked_query_of_the_host_is_not_changed(ranked, explained, explain):
    query = ranked(2)
    before = query.to_json()
    explain(query, lambda query, _: [explained(query, item) for item in query.candidates])
    assert query.to_json() == before


@pytest.mark.parametrize("wrong", ["query", "request"])
def test_wrong_arguments_of_the_host_are_an_error(ranked, wrong):
    manager = build_manager(entry_points=False)
    arguments = {"query": (ranked(1).to_json(), REQUEST), "request": (ranked(1), {"top_k": 3})}[wrong]
    with pytest.raises(
        RecordError, match="explain needs a record (RankedQuery|ExplanationRequest), not dict"
    ):
        manager.explain(*arguments)
