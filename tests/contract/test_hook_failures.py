"""What fails in a hook stays with its plugin, unless the plugin says that the failure is its own."""

from __future__ import annotations

import pytest

from pairx_hooks import Annotation, HookCallError, OwnFailure, ReviewManager, build_manager, hookimpl


def manager_of(*plugins) -> ReviewManager:
    return build_manager(*plugins, entry_points=False)


def test_chip_that_nobody_has_because_a_plugin_failed_says_why(chips_of):
    manager = manager_of(chips_of({}, broken=("a3",)))
    with pytest.raises(
        HookCallError, match="no chip of annotation 'a3'.*OSError: a3.jpg is truncated"
    ) as caught:
        manager.chip(Annotation(annotation_id="a3"))
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.plugin.endswith("Chips")
    assert (caught.value.code, caught.value.retryable) == ("PLUGIN_FAILED", False)


class Owner:
    """Has a1 for itself, and cannot give it."""

    def __init__(self, failure):
        self.failure = failure

    @hookimpl
    def load_chip(self, annotation):
        if annotation.annotation_id == "a1":
            raise self.failure
        return None

    @hookimpl
    def provide_embedding_model(self, model_id):
        raise self.failure


def test_failure_of_ones_own_ends_the_asking():
    asked = []

    class Elsewhere:
        @hookimpl
        def load_chip(self, annotation):
            asked.append(annotation.annotation_id)
            return "a chip that was never ranked"

        @hookimpl
        def provide_embedding_model(self, model_id):
            asked.append(model_id)
            return "another network"

    manager = manager_of(Elsewhere(), Owner(OwnFailure("a1.jpg is gone; restore it", code="IMAGE_NOT_FOUND")))
    words = "no chip of annotation 'a1': plugin '.*Owner' failed: a1.jpg is gone"
    with pytest.raises(HookCallError, match=words) as found:
        manager.chip(Annotation(annotation_id="a1"))
    assert (found.value.code, found.value.retryable) == ("IMAGE_NOT_FOUND", False)
    with pytest.raises(HookCallError, match="no model 'net-1'"):
        manager.embedding_model("net-1")
    assert asked == []
    assert [failure.hook for failure in manager.failures] == ["load_chip", "provide_embedding_model"]
    assert manager.chip(Annotation(annotation_id="a2")) == "a chip that was never ranked"


def test_failure_of_ones_own_tells_before_failures_of_others(chips_of):
    manager = manager_of(Owner(OwnFailure("the store is locked", retryable=True)), chips_of({}, broken=("a1",)))
    with pytest.raises(HookCallError, match="the store is locked") as found:
        manager.chip(Annotation(annotation_id="a1"))
    assert found.value.plugin.endswith("Owner") and found.value.retryable is True


def test_failure_of_ones_own_keeps_words_and_code_of_its_cause():
    class Gone(OSError):
        code, retryable = "IMAGE_NOT_FOUND", True

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    kept = OwnFailure.of(Gone("a1.jpg is gone"))
    assert (str(kept), kept.code, kept.retryable) == ("a1.jpg is gone", "IMAGE_NOT_FOUND", True)
    assert OwnFailure.of(kept) is kept
    assert str(OwnFailure.of(KeyError("a1"))) == "KeyError: 'a1'"
    assert "Mute" in str(OwnFailure.of(Mute()))


def test_system_exit_of_a_plugin_does_not_end_the_host(chips_of):
    class Plugin:
        @hookimpl
        def load_chip(self):
            raise SystemExit("licence expired")

    manager = manager_of(chips_of({"a1": "chip"}), Plugin())
    assert manager.chip(Annotation(annotation_id="a1")) == "chip"
    with pytest.raises(HookCallError, match="SystemExit: licence expired"):
        manager.chip(Annotation(annotation_id="a2"))


def test_code_of_the_plugins_exception_is_taken_over():
    class Busy(RuntimeError):
        code, retryable = "HOST_BUSY", True

    class Plugin:
        @hookimpl
        def provide_embedding_model(self):
            raise Busy("the card is taken")

    with pytest.raises(HookCallError) as caught:
        manager_of(Plugin()).embedding_model("net-1")
    assert (caught.value.code, caught.value.retryable) == ("HOST_BUSY", True)
