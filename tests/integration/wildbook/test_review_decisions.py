"""Decisions of the review page, in the host's own tables and words."""

from __future__ import annotations

import pytest
from review_reader import API, match_of, reviews


def test_decisions_are_appended_to_the_hosts_reviews_in_its_words(hosted, reader):
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    edge = tuple(sorted((hosted.qaid, best)))
    names = list(hosted.ibs.get_annot_names(hosted.aids))
    first = reader.decide("nomatch", confidence="pretty_sure", tags=["scenerymatch"], comment="stripes", reviewer="Ana")
    assert first.status_code == 200 and first.json["decision"]["version"] == 1
    assert match_of(hosted, edge) == (0, 3, "scenerymatch", "user:web:Ana")
    second = reader.decide("match", version=1, reviewer="Ana", timestamp_c2=1795158600.5)
    assert second.status_code == 200 and second.json["decision"]["supersedes"] == first.json["decision"]["id"]
    assert reviews(hosted) == [
        (edge, 1, "nomatch", 3, ["scenerymatch"], "user:web:Ana"),
        (edge, 2, "match", None, None, "user:web:Ana"),
    ]
    assert match_of(hosted, edge) == (1, None, "", "user:web:Ana")
    assert list(hosted.ibs.get_annot_names(hosted.aids)) == names  # nothing is merged
    history = reader.client.get(f"{API}/tasks/{reader.task}/decisions.json").json["history"]
    assert [(item["evidence_decision"], item["comment"], item["rank"]) for item in history] == [
        ("nomatch", "stripes", 1),
        ("match", "", 1),
    ]
    assert history[1]["timestamp_c2"] == 1795158600.5
    assert reader.client.get(f"{API}/tasks/{reader.task}").json["queries"][0]["n_decided"] == 1


@pytest.mark.parametrize(
    "decision, number", [("match", 1), ("nomatch", 0), ("notcomp", 2), ("unknown", 3), ("unreviewed", None)]
)
def test_every_word_of_the_page_is_one_of_the_hosts(hosted, reader, decision, number):
    assert reader.decide(decision).status_code == 200
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    assert match_of(hosted, (hosted.qaid, best))[0] == number
    assert reviews(hosted)[0][2] == decision
    (current,) = reader.client.get(f"{API}/tasks/{reader.task}/decisions.json").json["current"]
    assert current["evidence_decision"] == decision


def test_undo_is_a_row_too_and_says_what_stood_before(hosted, reader):
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    reader.decide("nomatch")
    reader.decide("match", version=1)
    assert reader.undo(2).json["decision"]["evidence_decision"] == "nomatch"
    assert match_of(hosted, (hosted.qaid, best))[0] == 0
    assert reader.undo(3).json["decision"]["evidence_decision"] == "unreviewed"
    assert match_of(hosted, (hosted.qaid, best))[0] is None
    assert reader.undo(4).status_code == 422
    assert [row[1:3] for row in reviews(hosted)] == [(1, "nomatch"), (2, "match"), (3, "nomatch"), (4, "unreviewed")]


def test_review_that_the_host_wrote_itself_is_seen_and_not_overwritten(hosted, reader):
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    more = {"identity_list": ["algo:lca"], "user_confidence_list": [4], "tags_list": [["x"]]}
    hosted.ibs.add_review([best], [hosted.qaid], [1], **more)
    refused = reader.decide("nomatch")
    assert refused.status_code == 412 and refused.json["current"]["user_id"] == "algo:lca"
    assert len(reviews(hosted)) == 1
    shown = reader.client.get(f"{API}/tasks/{reader.task}/queries/{reader.query}").json["candidates"][0]["decision"]
    assert (shown["evidence_decision"], shown["confidence"], shown["version"]) == ("match", "absolutely_sure", 1)
    assert reader.decide("nomatch", version=1).status_code == 200
    assert [row[2] for row in reviews(hosted)] == ["match", "nomatch"]


def test_row_that_another_process_wrote_in_between_is_a_conflict(hosted, reader, monkeypatch):
    from pairx_plugin.hosts.wildbook import review_decisions

    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    append = review_decisions.append_row

    def late(ibs, decision, aids):
        hosted.ibs.add_review([best], [hosted.qaid], [0], identity_list=["user:web:quick"])
        return append(ibs, decision, aids)

    monkeypatch.setattr(review_decisions, "append_row", late)
    refused = reader.decide("match")
    assert refused.status_code == 412 and refused.json["current"]["user_id"] == "user:web:quick"
    assert [row[2] for row in reviews(hosted)] == ["nomatch"]


def test_match_that_cannot_be_written_leaves_the_review(hosted, reader, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(hosted.ibs, "set_annotmatch_evidence_decision", broken)
    assert reader.decide("match").status_code == 200 and len(reviews(hosted)) == 1
