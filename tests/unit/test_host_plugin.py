"""A host's side of the hooks: its own chips are its own, also where they cannot be cut."""

from __future__ import annotations

import pytest

from pairx_hooks import (
    Annotation,
    Candidate,
    Explanation,
    ExplanationRequest,
    Failure,
    HookCallError,
    RankedQuery,
    Status,
    build_manager,
    hookimpl,
)
from pairx_plugin.errors import ChipNotFound
from pairx_plugin.hosts.host_plugin import HostPlugin


class Records:
    """A host with one network and two annotations; the photograph of one is gone."""

    def __init__(self):
        self.attached = []

    def embedding_model(self, model_id):
        return "the network that ranked" if model_id == "own" else None

    def known_chip(self, annotation_id):
        if annotation_id == "gone":
            raise ChipNotFound("gone.jpg is gone; put it back")
        return "the chip that was ranked" if annotation_id == "mine" else None

    def attach(self, ranked_query, explanations):
        self.attached.append((ranked_query.query_id, [item.status for item in explanations]))


class Archive:
    """Another plugin that has a network and a chip for everything, and explains one candidate of two."""

    @hookimpl(trylast=True)
    def provide_embedding_model(self, model_id):
        return "another network"

    @hookimpl(trylast=True)
    def load_chip(self, annotation):
        return "a chip that was not ranked"

    @hookimpl
    def explain_ranked_query(self, ranked_query, request):
        first, second = ranked_query.candidates
        yield Explanation(
            query_id="q", candidate_id=first.annotation.annotation_id, rank=1, status=Status.READY, record={"a": 1}
        )
        yield Explanation.without_evidence(ranked_query, second, Failure(code="NO", message="no"))


def managed(*more):
    records = Records()
    return records, build_manager(Archive(), HostPlugin(records, *more), entry_points=False)


def test_network_and_chips_of_the_host_come_before_other_plugins():
    _, manager = managed()
    assert manager.embedding_model("own") == "the network that ranked"
    assert manager.embedding_model("another") == "another network"
    assert manager.chip(Annotation(annotation_id="mine")) == "the chip that was ranked"
    assert manager.chip(Annotation(annotation_id="a stranger's")) == "a chip that was not ranked"


def test_chip_of_the_hosts_own_that_is_gone_is_not_replaced_by_another_plugins():
    _, manager = managed()
    with pytest.raises(HookCallError, match="failed: gone.jpg is gone; put it back") as caught:
        manager.chip(Annotation(annotation_id="gone"))
    assert caught.value.code == "IMAGE_NOT_FOUND"


@pytest.mark.parametrize("counted", [True, False])
def test_explanations_are_kept_and_each_candidate_counts_once(counted):
    done = []
    records, manager = managed(*([lambda: done.append(1)] if counted else []))
    query = RankedQuery(
        query_id="q",
        query=Annotation(annotation_id="mine"),
        candidates=[Candidate(rank=rank, annotation=Annotation(annotation_id=f"c{rank}")) for rank in (1, 2)],
    )
    manager.attach(query, manager.explain(query, ExplanationRequest(top_k=2)))
    assert records.attached == [("q", [Status.READY, Status.FAILED])]
    assert len(done) == (2 if counted else 0) and not manager.failures
