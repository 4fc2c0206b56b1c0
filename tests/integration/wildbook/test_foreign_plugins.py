"""Plugins of somebody else, installed beside ours: whatever they raise or say, the query and its scores come out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pairx_hooks import Artifact, Explanation, Status, build_manager, hookimpl
from pairx_plugin.errors import StoreError
from pairx_plugin.hosts.wildbook import explaining, shelf


RAISING_HOOKS = (
    "provide_embedding_model",
    "load_chip",
    "register_explainers",
    "explain_ranked_query",
    "attach_explanations",
    "explanation_finished",
    "explanation_failed",
)


@pytest.mark.parametrize("how", [RuntimeError, SystemExit, MemoryError, RecursionError], ids=lambda item: item.__name__)
def test_somebodys_plugin_that_raises_in_every_hook_costs_nobody_anything(host, monkeypatch, encoded, how):
    def raising(self):
        raise how("broken on purpose")

    methods = {name: hookimpl(raising, tryfirst=True) for name in RAISING_HOOKS}
    broken_plugin = type("BrokenPlugin", (), methods)
    monkeypatch.setattr(explaining, "build_manager", lambda *own: build_manager(*own, broken_plugin()))
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    answer = encoded(now.entry["pairx"])
    (record,) = answer["explanations"]
    assert record["status"] == "ready" and len(record["assets"]) == 3
    best = host.aid(host.best(now.entry)[0])
    assert now.thumbs[best, "matches"] != host.before.thumbs[best, "matches"]


class Panic(BaseException):
    """As compiled libraries raise it: no Exception, so that no plugin manager isolates it."""


@pytest.mark.parametrize("hook", RAISING_HOOKS)
def test_panic_in_a_hook_costs_explanations_and_never_the_query(host, monkeypatch, encoded, hook):
    def panicking(self):
        raise Panic("broken on purpose")

    broken_plugin = type("PanickingPlugin", (), {hook: hookimpl(panicking, tryfirst=True)})
    monkeypatch.setattr(explaining, "build_manager", lambda *own: build_manager(*own, broken_plugin()))
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    assert now.entry["dannot_extern_list"] == host.before.entry["dannot_extern_list"]
    answer = encoded(now.entry["pairx"])
    if hook == "explanation_failed":
        assert answer["status"] == "ready"  # nothing failed, so nobody called it
    else:
        assert answer["status"] == "failed" and "Panic: broken on purpose" in answer["failure"]["message"]
        assert now.thumbs == host.before.thumbs
    monkeypatch.undo()
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    assert entry["pairx"]["status"] == "ready"


def test_odd_records_of_somebodys_explainer_cost_nobody_elses(host, monkeypatch, encoded):
    odd = ({"images": 5}, {"status": "great", "errors": []}, {}, {"schema": "mine/1", "figures": [1, None, "x"]})

    class OddPlugin:
        @hookimpl(tryfirst=True)
        def explain_ranked_query(self, ranked_query):
            for candidate, record in zip(ranked_query.candidates, odd):
                yield Explanation(
                    query_id=ranked_query.query_id,
                    candidate_id=candidate.annotation.annotation_id,
                    rank=candidate.rank,
                    status=Status.READY,
                    explainer="odd",
                    record=record,
                )

    monkeypatch.setattr(explaining, "build_manager", lambda *own: build_manager(*own, OddPlugin()))
    now = host.ask(pairx_explain=True, pairx_top_k=4)
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    records = encoded(now.entry["pairx"])["explanations"]
    assert [record["status"] for record in records] == ["failed", "ready", "ready", "ready"]
    assert records[0]["errors"][0]["code"] == "HOST_STAGE_FAILED" and records[3]["figures"] == [1, None, "x"]
    assert now.entry["pairx"]["status"] == "partial" and now.thumbs == host.before.thumbs
    assert all(record["host"]["dannot_uuid"] and record["images"] for record in records)


def test_third_partys_pictures_cannot_leave_their_folder(host):
    place = shelf.Shelf(host.ibs.cachedir, "abc")
    picture = Artifact(version="../../escaped", media_type="image/png", width=1, height=1, data=b"x")
    with pytest.raises(StoreError):
        place.write_pair(host.query_uuid, host.query_uuid, {"status": "ready"}, [picture])
    assert not list(Path(host.ibs.cachedir).rglob("*escaped*"))
    for reference in ("../x", "a/b", "", ".."):
        with pytest.raises(StoreError):
            shelf.Shelf(host.ibs.cachedir, reference)
    assert os.path.isdir(host.ibs.cachedir)
