"""Mistakes in a plugin are found when it is registered, and say what to change."""

from __future__ import annotations

import types
from dataclasses import dataclass

import pytest

from pairx_hooks import (
    Annotation,
    ExplainerEntry,
    HookValidationError,
    PluginDescription,
    PluginNameError,
    ReviewManager,
    build_manager,
    hookimpl,
)

ANNOTATION = Annotation(annotation_id="a1")


@pytest.fixture
def manager() -> ReviewManager:
    return build_manager(entry_points=False)


class Chips:
    def __init__(self, chip="chip"):
        self.chip = chip

    @hookimpl
    def load_chip(self):
        return self.chip


def plugin(function, name="load_chip", **options):
    """A module-like plugin whose only attribute is the function."""
    return types.SimpleNamespace(**{name: hookimpl(**options)(function)})


def of_one_argument(annotation):
    return annotation


async def asleep(annotation):
    return annotation


def around(annotation):
    return (yield)


MISTAKES = {
    "unknown hook": (
        plugin(lambda annotation: 1, "load_chips"),
        r"unknown hook 'load_chips'; nearest: 'load_chip'",
    ),
    "unknown by specname": (plugin(of_one_argument, specname="loadchip"), r"unknown hook 'loadchip'"),
    "unknown argument": (
        plugin(lambda annotation, size: 1),
        r"load_chip\(annotation\) as load_chip\(annotation, size\): the hook has no argument 'size'",
    ),
    "misspelt argument": (plugin(lambda anotation: 1), r"no argument 'anotation'; nearest: 'annotation'"),
    "keyword only": (plugin(lambda *, annotation: 1), r"write annotation before it"),
    "keyword only with a default": (plugin(lambda *, annotation=None: 1), r"write annotation before it"),
    "only stars": (plugin(lambda **known: 1), r"\* and \*\* get nothing"),
    "coroutine": (plugin(asleep), r"never be awaited"),
    "wrapper": (plugin(around, wrapper=True), r"wrappers would stand between"),
    "old wrapper": (plugin(around, hookwrapper=True), r"wrappers would stand between"),
    "class": (Chips, r"register an object, Chips\(\)"),
    "forgotten mark": (
        types.SimpleNamespace(load_chip=lambda annotation: annotation),
        r"implements no hook.*decorate load_chip with pairx_hooks.hookimpl",
    ),
    "nothing": (object(), r"implements no hook"),
    "none": (None, r"implements no hook"),
}


@pytest.mark.parametrize("mistaken, message", MISTAKES.values(), ids=MISTAKES)
def test_mistake_is_refused_and_named(manager, mistaken, message):
    with pytest.raises(HookValidationError, match=message) as caught:
        manager.register(mistaken, "acme")
    assert str(caught.value).startswith("plugin 'acme' ")
    assert manager.describe() == []  # nothing of it stays behind
    assert manager.register(Chips(), "acme") == "acme"
    assert manager.chip(ANNOTATION) == "chip"


def test_property_that_raises_is_no_hook_and_no_mistake(manager):
    class Plugin(Chips):
        @property
        def weights(self):
            raise OSError("not downloaded")

    manager.register(Plugin(), "acme")
    assert [item.hooks for item in manager.describe()] == [("load_chip",)]


def test_hook_of_a_later_release_may_be_optional(manager):
    class Plugin(Chips):
        @hookimpl(optionalhook=True)
        def rank_again(self, ranked_query):
            return ranked_query

    manager.register(Plugin(), "acme")
    assert [item.hooks for item in manager.describe()] == [("load_chip",)]


def test_arguments_of_ones_own_may_have_defaults(manager):
    manager.register(
        plugin(lambda annotation, scale=2, *, dtype="uint8", **rest: (annotation.annotation_id, scale))
    )
    assert manager.chip(ANNOTATION) == ("a1", 2)


def test_argument_with_a_default_is_passed_where_the_hook_has_it(manager):
    manager.register(plugin(lambda annotation=None, budget=7: (annotation, budget)))
    assert manager.chip(ANNOTATION) == (ANNOTATION, 7)


def test_host_plugin_with_a_mistake_stops_build_manager():
    with pytest.raises(HookValidationError):
        build_manager(plugin(lambda size: 1), entry_points=False)


def test_names_come_from_modules_and_classes(manager):
    module = types.ModuleType("acme.chips")
    module.load_chip = hookimpl(of_one_argument)
    assert manager.register(module) == "acme.chips"
    first, second, third = (manager.register(Chips()) for _ in range(3))
    assert first.endswith(".Chips") and [second, third] == [f"{first}-2", f"{first}-3"]


def test_same_plugin_registered_again_keeps_its_name_and_is_asked_once(manager):
    asked = []
    once = plugin(lambda annotation: asked.append(annotation))
    assert (
        manager.register(once, "acme") == manager.register(once) == manager.register(once, "acme") == "acme"
    )
    with pytest.raises(PluginNameError, match="'other' is registered already, as 'acme'"):
        manager.register(once, "other")
    manager.chip(ANNOTATION)
    assert asked == [ANNOTATION]


@pytest.mark.parametrize("name", ["", "  ", 3], ids=["empty", "blank", "number"])
def test_unusable_names_are_refused(manager, name):
    with pytest.raises(PluginNameError, match="must be a text that is not empty"):
        manager.register(Chips(), name)


def test_taken_name_is_refused(manager):
    manager.register(Chips("first"), "acme")
    with pytest.raises(PluginNameError, match="'acme' is taken by another plugin; names: acme"):
        manager.register(Chips("second"), "acme")
    assert manager.chip(ANNOTATION) == "first"


def test_blocked_name_is_refused():
    manager = build_manager(entry_points=False, blocked="acme")  # a single name is one name, not four letters
    with pytest.raises(PluginNameError, match="'acme' is blocked"):
        manager.register(Chips(), "acme")
    assert manager.describe() == []


def test_plugins_that_are_equal_or_unhashable_are_told_apart(manager):
    @dataclass
    class Equal:
        n: int

        @hookimpl
        def load_chip(self):
            return self.n

    manager.register(Equal(1), "one")
    manager.register(Equal(2), "two")
    assert manager.chip(ANNOTATION) == 2
    with pytest.raises(HookValidationError, match="plugin 'three' cannot be registered"):
        manager.register(Equal(1), "three")  # pluggy keeps plugins apart by ==
    assert [item.name for item in manager.describe()] == ["one", "two"]


def test_order_is_last_registered_first_save_for_marks():
    asked = []

    def noting(name, **options):
        return plugin(lambda annotation: asked.append(name), **options)

    manager = build_manager(
        noting("early"),
        noting("first", tryfirst=True),
        noting("last", trylast=True),
        noting("late"),
        entry_points=False,
    )
    assert manager.chip(ANNOTATION) is None
    assert asked == ["first", "late", "early", "last"]


def test_what_pluggy_itself_refuses_leaves_nothing_behind(manager, monkeypatch):
    monkeypatch.setattr("pairx_hooks.registry.check_plugin", lambda *_: None)
    with pytest.raises(HookValidationError, match="(?s)plugin 'acme' cannot be registered: .*size"):
        manager.register(plugin(lambda size: 1), "acme")
    assert manager.describe() == []
    assert manager.register(Chips(), "acme") == "acme"


def test_describe_tells_what_each_plugin_provides(manager):
    class Both(Chips):
        @hookimpl
        def register_explainers(self):
            return [ExplainerEntry(explainer_id=name, title=name, create=dict) for name in ("b", "a")]

    manager.register(Chips(), "chips")
    manager.register(Both(), "both")
    assert manager.describe() == [
        PluginDescription(name="chips", module=__name__, hooks=("load_chip",)),
        PluginDescription(
            name="both", module=__name__, hooks=("load_chip", "register_explainers"), explainers=("b", "a")
        ),
    ]


def test_two_managers_know_nothing_of_each_other(manager):
    manager.register(Chips(), "acme")
    assert build_manager(entry_points=False).describe() == []


def test_number_of_failures_and_their_length_are_bounded():
    manager = ReviewManager(n_failures=5)

    class Loud:
        @hookimpl
        def attach_explanations(self, ranked_query):
            raise ValueError(f"{ranked_query}: " + "x" * 100_000)

    manager.register(Loud(), "loud")
    for number in range(8):
        manager.attach(number, ())
    assert [failure.error[:13] for failure in manager.failures] == [f"ValueError: {n}" for n in range(3, 8)]
    assert all(
        len(failure.error) <= 2_000 and len(failure.traceback) <= 20_000 for failure in manager.failures
    )


def test_exception_whose_text_raises_is_recorded(manager):
    class Rude(Exception):
        def __str__(self):
            raise SystemExit("never printed")

    class Plugin:
        @hookimpl
        def attach_explanations(self):
            raise Rude

    manager.register(Plugin(), "rude")
    assert [failure.plugin for failure in manager.attach(None, ())] == ["rude"]
    assert "Rude" in manager.failures[0].error


def test_failures_hold_no_frames(manager):
    import gc
    import weakref

    class Tensor:
        pass

    alive = []

    class Plugin:
        @hookimpl
        def attach_explanations(self):
            tensor = Tensor()
            alive.append(weakref.ref(tensor))
            raise ValueError("with a tensor in the frame")

    manager.register(Plugin())
    manager.attach(None, ())
    gc.collect()
    assert alive[0]() is None and len(manager.failures) == 1
