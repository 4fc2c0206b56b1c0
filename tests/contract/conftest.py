"""Builders that the contract's tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pairx_hooks import (
    Annotation,
    Candidate,
    Explanation,
    ExplanationRequest,
    Failure,
    RankedQuery,
    Status,
    build_manager,
    hookimpl,
)


@pytest.fixture
def ranked() -> Callable[..., RankedQuery]:
    """Make a ranked query with n candidates c1, c2, ... or with the annotation ids given."""

    def make(n: int = 3, *, ids: tuple[str, ...] = (), query_id: str = "q1") -> RankedQuery:
        names = ids or tuple(f"c{rank}" for rank in range(1, n + 1))
        return RankedQuery(
            query_id=query_id,
            query=Annotation(annotation_id="a0", image="query.jpg"),
            candidates=tuple(
                Candidate(rank=rank, score=1 - rank / 10, annotation=Annotation(annotation_id=name))
                for rank, name in enumerate(names, start=1)
            ),
            model_id="net-1",
        )

    return make


class Chips:
    """Has the chips of its annotations and raises for those that are broken."""

    def __init__(self, chips, broken=()):
        self.chips, self.broken = chips, broken

    @hookimpl
    def load_chip(self, annotation):
        if annotation.annotation_id in self.broken:
            raise OSError(f"{annotation.annotation_id}.jpg is truncated")
        return self.chips.get(annotation.annotation_id)


@pytest.fixture
def chips_of() -> type[Chips]:
    """Make a plugin with chips by annotation id: ``chips_of({"a1": chip}, broken=("a3",))``."""
    return Chips


@pytest.fixture
def explained() -> Callable[..., Explanation]:
    """Make an explanation of one candidate of a ranked query."""

    def make(
        ranked_query: RankedQuery, candidate: Candidate, status: Status = Status.READY, **fields
    ) -> Explanation:
        wants_failure = status.failed or status is Status.PARTIAL
        fields.setdefault("failure", Failure(code="NO_LUCK", message="no luck") if wants_failure else None)
        return Explanation(
            query_id=ranked_query.query_id,
            candidate_id=candidate.annotation.annotation_id,
            rank=candidate.rank,
            status=status,
            **fields,
        )

    return make


class Observer:
    """Writes down what it sees."""

    def __init__(self):
        self.finished, self.failed, self.attached = [], [], []

    @hookimpl
    def explanation_finished(self, ranked_query, candidate, explanation):
        self.finished.append((ranked_query.query_id, candidate.rank, explanation.status))

    @hookimpl
    def explanation_failed(self, ranked_query, candidate, failure):
        self.failed.append((ranked_query.query_id, candidate.rank, failure.code))

    @hookimpl
    def attach_explanations(self, ranked_query, explanations):
        self.attached.append((ranked_query, explanations))


@pytest.fixture
def observer() -> Observer:
    return Observer()


class Toy:
    """Explains by a function of (ranked_query, review)."""

    def __init__(self, answer):
        self.answer, self.n_calls = answer, 0

    @hookimpl
    def explain_ranked_query(self, ranked_query, review):
        self.n_calls += 1
        return self.answer(ranked_query, review)


@pytest.fixture
def toy() -> type[Toy]:
    """A plugin that explains by a function of (ranked_query, review)."""
    return Toy


@pytest.fixture
def explain():
    """Explain with plugins 'p1', 'p2', ... of which the last is asked first; return manager and answers."""

    def run(query, *answers, request=ExplanationRequest(explainer="toy", top_k=3)):
        manager = build_manager(entry_points=False)
        for number, answer in enumerate(answers, start=1):
            manager.register(answer if hasattr(answer, "n_calls") else Toy(answer), f"p{number}")
        return manager, manager.explain(query, request)

    return run


@pytest.fixture
def outcome():
    """Show explanations as (rank, status, code of the failure)."""

    def shown(explanations):
        return [(item.rank, item.status.value, item.failure and item.failure.code) for item in explanations]

    return shown
