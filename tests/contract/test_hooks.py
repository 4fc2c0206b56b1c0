"""Each hook as its specification describes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pairx_hooks import (
    Annotation,
    ExplainerEntry,
    ExplanationRequest,
    ReviewManager,
    Status,
    build_manager,
    hookimpl,
    hookspecs,
)
from pairx_hooks.documentation import HEADINGS, hook_names, hook_sections, hook_signature, hook_table

README = Path(hookspecs.__file__).with_name("README.md")
REQUEST = ExplanationRequest(explainer="toy")


class Models:
    def __init__(self, models):
        self.models = models

    @hookimpl
    def provide_embedding_model(self, model_id):
        return self.models[model_id] if model_id in self.models else None


def manager_of(*plugins) -> ReviewManager:
    return build_manager(*plugins, entry_points=False)


@pytest.mark.parametrize("hook", hookspecs.__all__)
def test_every_hook_has_a_test_a_full_docstring_and_a_readme_row(hook):
    sections = hook_sections(hook)
    parameters = hook_signature(hook).partition("(")[2].rstrip(")").split(", ")
    assert f"test_hook_{hook}" in globals()
    assert sections["Summary"].endswith(".") and len(sections["Summary"]) > 15
    assert set(HEADINGS) - set(sections) <= ({"Args"} if parameters == [""] else set())
    assert all(f"{parameter}:" in sections["Args"] for parameter in parameters if parameter)
    assert f"| `{hook_signature(hook)}` |" in README.read_text("utf-8")


def test_every_hookspec_is_listed():
    marked = [name for name in vars(hookspecs) if hasattr(getattr(hookspecs, name), "match_review_spec")]
    assert sorted(marked) == sorted(hookspecs.__all__) == sorted(hook_names())


def test_table_has_one_row_for_each_hook_in_the_order_of_the_file():
    rows = hook_table().splitlines()[2:]
    assert [row.split("`")[1].split("(")[0] for row in rows] == hook_names()
    assert {row.count(" | ") for row in rows} == {5}
    assert hook_names()[0] == "provide_embedding_model"


def test_hook_provide_embedding_model():
    network = object()
    manager = manager_of(Models({"net-1": "of the first"}), Models({"net-1": network, "falsy": 0}))
    assert manager.embedding_model("net-1") is network  # registered last, asked first; handed over as it is
    assert manager.embedding_model("falsy") == 0  # only None means no
    assert manager.embedding_model("net-2") is None
    assert manager.failures == ()


def test_hook_load_chip(chips_of):
    manager = manager_of(chips_of({"a1": "far"}), chips_of({"a2": "near"}, broken=("a1", "a3")))
    assert manager.chip(Annotation(annotation_id="a2")) == "near"
    assert manager.chip(Annotation(annotation_id="a1")) == "far"  # the next one is asked after a failure
    assert [failure.error for failure in manager.failures] == ["OSError: a1.jpg is truncated"]
    assert manager.chip(Annotation(annotation_id="a9")) is None


def entry(explainer_id: str, **fields) -> ExplainerEntry:
    return ExplainerEntry(explainer_id=explainer_id, title=explainer_id.title(), create=dict, **fields)


class Explainers:
    def __init__(self, *entries):
        self.entries, self.n_calls = entries, 0

    @hookimpl
    def register_explainers(self):
        self.n_calls += 1
        yield from self.entries


def test_hook_register_explainers():
    first, second = Explainers(entry("pairx", summary="mine")), Explainers(entry("pairx"), entry("grad-cam"))
    manager = manager_of()
    manager.register(first, "one")
    manager.register(second, "two")
    found = manager.explainers()
    assert list(found) == ["pairx", "grad-cam"]
    assert found["pairx"].summary == "mine"  # the first registered keeps the id
    assert [(failure.plugin, failure.hook) for failure in manager.failures] == [
        ("two", "register_explainers")
    ]
    assert manager.failures[0].error == "the explainer id 'pairx' belongs to plugin 'one'; choose another id"
    manager.explainers()
    assert (first.n_calls, second.n_calls, len(manager.failures)) == (1, 1, 1)


def test_explainers_of_a_plugin_that_raises_half_way_are_kept():
    class Broken:
        @hookimpl
        def register_explainers(self):
            yield entry("early")
            yield "late"
            raise ValueError("nothing more")

    manager = manager_of(Explainers(entry("pairx")), Broken())
    assert list(manager.explainers()) == ["pairx", "early"]
    assert [failure.error for failure in manager.failures] == [
        "gave a str in place of an ExplainerEntry: 'late'",
        "ValueError: nothing more",
    ]


def test_explainers_of_a_plugin_that_comes_later_are_found():
    manager = manager_of(Explainers(entry("pairx")))
    assert list(manager.explainers()) == ["pairx"]
    manager.register(Explainers(entry("sane")))
    assert list(manager.explainers()) == ["pairx", "sane"]


def test_hook_explain_ranked_query(ranked, explained, chips_of):
    seen = []

    class Toy:
        @hookimpl
        def explain_ranked_query(self, ranked_query, request, review):
            seen.append((ranked_query, request, review))
            chips = {item.rank: review.chip(item.annotation) for item in ranked_query.candidates}
            return [
                explained(ranked_query, item, record={"chip": chips[item.rank]})
                for item in reversed(ranked_query.candidates)
            ]

    query = ranked(3)
    manager = manager_of(Toy(), chips_of({"c1": "one", "c2": "two"}))
    explanations = manager.explain(query, REQUEST)
    assert [(item.rank, item.candidate_id) for item in explanations] == [(1, "c1"), (2, "c2"), (3, "c3")]
    assert [item.record["chip"] for item in explanations] == ["one", "two", None]
    assert seen == [(query, REQUEST, manager)]
    assert manager.failures == ()


def test_hook_attach_explanations(ranked, explained, observer):
    query, observers = ranked(2), [type(observer)(), type(observer)()]
    explanations = [explained(query, item) for item in query.candidates]

    class Full:
        @hookimpl
        def attach_explanations(self, explanations):
            raise OSError(28, "No space left on device")

    failures = manager_of(observers[0], Full(), observers[1]).attach(query, explanations)
    assert all(observer.attached == [(query, tuple(explanations))] for observer in observers)
    assert [failure.error for failure in failures] == ["OSError: [Errno 28] No space left on device"]


def test_hook_explanation_finished(ranked, explained, observer):
    query = ranked(2)

    class Toy:
        @hookimpl
        def explain_ranked_query(self, ranked_query):
            for candidate in ranked_query.candidates:
                assert (
                    len(observer.finished) == candidate.rank - 1
                )  # told as soon as the one before was yielded
                yield explained(
                    ranked_query, candidate, Status.READY if candidate.rank == 1 else Status.PARTIAL
                )

    manager = manager_of(Toy(), observer)
    manager.explain(query, REQUEST)
    assert observer.finished == [("q1", 1, Status.READY), ("q1", 2, Status.PARTIAL)]
    assert observer.failed == [] and manager.failures == ()


def test_hook_explanation_failed(ranked, explained, observer):
    query = ranked(4)

    class Toy:
        @hookimpl
        def explain_ranked_query(self, ranked_query):
            first, second, third, _ = ranked_query.candidates
            yield explained(ranked_query, first, Status.FAILED)
            yield explained(ranked_query, second, Status.UNSUPPORTED)
            yield explained(ranked_query, third, Status.STALE)

    manager_of(Toy(), observer).explain(query, REQUEST)
    assert observer.failed == [("q1", 1, "NO_LUCK"), ("q1", 2, "NO_LUCK"), ("q1", 4, "EXPLANATION_MISSING")]
    assert observer.finished == []  # what is stale or still runs is neither


def test_implementation_may_take_fewer_arguments_and_another_name(ranked):
    seen = []

    class Plugin:
        @hookimpl(specname="explanation_failed")
        def count(self, failure):
            seen.append(failure.code)

        @staticmethod
        @hookimpl
        def load_chip(annotation):
            return annotation.annotation_id

    manager = manager_of(Plugin())
    manager.explain(ranked(2), REQUEST)
    assert seen == ["NO_PLUGIN", "NO_PLUGIN"]
    assert manager.chip(Annotation(annotation_id="a1")) == "a1"
