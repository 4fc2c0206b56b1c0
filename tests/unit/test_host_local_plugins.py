"""Plugins that misbehave and lie: whatever they do, the sample host's ranks and scores stay, and records say why."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pairx_hooks import Explanation, Failure, RankedQuery, Status, hookimpl
from pairx_plugin.hosts.local import LocalHost, LocalHostConfig, RunSummary
from toy_host import Explainer, ToyNetwork, explanation, ranks, reviews, run, write_photographs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The toy photographs with their annotations."""
    write_photographs(tmp_path)
    return tmp_path


class Raises:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Iterable[Explanation]:
        raise ValueError("no idea")


class Leaves:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Iterable[Explanation]:
        raise SystemExit(3)


class StopsHalfWay:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Iterator[Explanation]:
        yield explanation(ranked_query, 1)
        raise MemoryError


class TalksNonsense:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Any:
        return ["nonsense", None, 7, explanation(ranked_query, 1, candidate_id="nobody")]


class AnswersForOthers:
    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Any:
        return [explanation(ranked_query, 1, query_id="another query"), explanation(ranked_query, 99 % 4 + 1)]


class HoldsOnAndChanges:
    """Keeps what it is given and, later, changes whatever can be changed."""

    def __init__(self) -> None:
        self.kept: list[Any] = []

    @hookimpl
    def explain_ranked_query(
        self, ranked_query: RankedQuery, request: Any, review: Any
    ) -> Iterator[Explanation]:
        for earlier in self.kept:
            self.spoil(earlier)
        self.kept.append(ranked_query)
        chip = review.chip(ranked_query.query)
        try:
            chip.pixels[:] = 0
        except ValueError:
            self.kept.append("read-only")
        for candidate in ranked_query.candidates:
            yield explanation(ranked_query, candidate.rank, record={"score": 99.0, "rank": 1})
        self.spoil(ranked_query)

    @hookimpl
    def attach_explanations(self, ranked_query: RankedQuery, explanations: Sequence[Explanation]) -> None:
        self.spoil(ranked_query)
        raise RuntimeError("and it raises on top")

    @staticmethod
    def spoil(ranked_query: Any) -> None:
        if isinstance(ranked_query, RankedQuery):
            for candidate in ranked_query.candidates:
                for name, value in (("score", -1.0), ("rank", 1)):
                    with pytest.raises((AttributeError, TypeError)):
                        setattr(candidate, name, value)
            with pytest.raises(TypeError):
                ranked_query.query.extra["file_name"] = "spoilt"  # type: ignore[index]


PLUGINS = [Explainer, Raises, Leaves, StopsHalfWay, TalksNonsense, AnswersForOthers, HoldsOnAndChanges]


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.__name__)
def test_no_plugin_changes_a_rank_or_a_bit_of_a_score(folder: Path, plugin: type) -> None:
    plain = run(folder)
    explained = run(folder, plugin(), pairx_top_k=3)
    assert ranks(folder, explained) == ranks(folder, plain)

    def results(summary: RunSummary) -> list[Any]:
        return [
            [(c.rank, c.annotation_id, c.score, c.name_score) for c in q.candidates] for q in summary.queries
        ]

    assert results(explained) == results(plain)
    assert (explained.rank_1, explained.mean_average_precision) == (
        plain.rank_1,
        plain.mean_average_precision,
    )
    statuses = [review.explanation_status for review in reviews(folder, explained)]
    assert set(statuses) <= {"ready", "failed", "skipped"} and statuses.count("queued") == 0
    assert sum(explained.statuses.values()) == len(statuses)


ACTIONS = ["ready", "failed", "skipped", "nothing", "twice", "stranger", "nonsense", "raise"]


class Scripted:
    """Does for each candidate of each query what a list of actions says, over and over."""

    def __init__(self, actions: list[str]) -> None:
        self.actions = itertools.cycle(actions)

    @hookimpl
    def explain_ranked_query(self, ranked_query: RankedQuery) -> Iterator[Any]:
        failure = Failure(code="X", message="y")
        for candidate in ranked_query.candidates:
            action = next(self.actions)
            if action == "raise":
                raise OSError("gone")
            if action in ("ready", "twice"):
                yield explanation(ranked_query, candidate.rank, record={"score": 1e9})
            if action == "twice":
                yield explanation(ranked_query, candidate.rank, record={"score": -1e9})
            if action in ("failed", "skipped"):
                yield explanation(ranked_query, candidate.rank, status=Status(action), failure=failure)
            if action == "stranger":
                yield explanation(ranked_query, candidate.rank, candidate_id=ranked_query.query.annotation_id)
            if action == "nonsense":
                yield {"rank": 1, "score": 3}


TWO = ["Ngaio0.png", "Rata1.png"]


@pytest.fixture
def plain_ranks(folder: Path) -> list[tuple[Any, ...]]:
    return ranks(folder, run(folder, queries=TWO))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=9), top_k=st.integers(0, 6))
def test_whatever_a_plugin_answers_ranks_and_scores_stay_bit_by_bit(
    folder: Path, plain_ranks: list[tuple[Any, ...]], actions: list[str], top_k: int
) -> None:
    explained = run(folder, Scripted(actions), queries=TWO, pairx_top_k=top_k)
    assert ranks(folder, explained) == plain_ranks
    found = reviews(folder, explained)
    assert len(found) == 8
    for review in found:
        assert review.explanation_status in {"ready", "failed", "skipped"}
        assert review.rank > top_k or review.explanation_status != "skipped" or "skipped" in actions
        assert review.explanation_status != "failed" or review.explanation_failure["code"]


@pytest.mark.parametrize(
    ("plugin", "first", "words"),
    [
        (Raises, "failed", "no idea"),
        (Leaves, "failed", "SystemExit"),
        (StopsHalfWay, "ready", "MemoryError"),
        (TalksNonsense, "failed", ""),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_failing_plugin_leaves_the_reason_on_each_record(
    folder: Path, plugin: type, first: str, words: str
) -> None:
    summary = run(folder, plugin(), queries=["Ngaio0.png"], pairx_top_k=3)
    found = reviews(folder, summary)
    assert [review.explanation_status for review in found] == [first, "failed", "failed", "skipped"]
    for review in found[1:3]:
        assert words in review.explanation_failure["message"] and review.explanation_failure["code"]
        assert (review.explanation, review.pictures, review.record_path) == (None, [], None)
    failed = summary.queries[0].candidates[1]
    assert failed.status == "failed" and failed.failure == found[1].explanation_failure


def test_no_plugin_at_all_is_said_on_the_record(folder: Path) -> None:
    values = {
        "annotations": "annotations.csv",
        "queries": ["Ngaio0.png"],
        "pairx_explain": True,
        "pairx_top_k": 1,
    }
    config = LocalHostConfig.from_mapping(values, folder=folder)
    with LocalHost(config, model=ToyNetwork(), entry_points=False) as local:
        summary = local.run()
    assert summary.statuses == {"failed": 1, "skipped": 6}
    assert summary.queries[0].candidates[0].failure is not None


def test_a_plugin_that_cannot_be_registered_costs_the_explanations_only(folder: Path) -> None:
    class Unsound:
        @hookimpl
        def explain_everything(self) -> None:
            """No such hook."""

    plain = run(folder)
    summary = run(folder, Unsound(), pairx_top_k=1)
    assert ranks(folder, summary) == ranks(folder, plain)
    assert summary.explanation_failure is not None and summary.explanation_failure.code == "HOOKS_FAILED"
    assert "explain_everything" in summary.explanation_failure.message
    assert summary.statuses == {"failed": 8, "skipped": 24}
    first = reviews(folder, summary)[0]
    assert first.explanation_failure["message"] == summary.explanation_failure.message


def test_progress_goes_from_nothing_to_all_whatever_plugins_do(folder: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    values = {"annotations": "annotations.csv", "pairx_explain": True, "pairx_top_k": 2, "n_candidates": 4}
    config = LocalHostConfig.from_mapping(values, folder=folder)
    for plugin in (Explainer(), StopsHalfWay(), Raises(), TalksNonsense()):
        steps.clear()
        with LocalHost(
            config,
            model=ToyNetwork(),
            plugins=[plugin],
            entry_points=False,
            progress=lambda *step: steps.append(step),
        ) as local:
            local.run()
        assert ("embed", 9, 9) in steps and ("rank", 9, 9) in steps
        explained = [(done, total) for stage, done, total in steps if stage == "explain"]
        assert explained[0] == (0, 16) and explained[-1] == (16, 16)
        assert explained == sorted(explained)
