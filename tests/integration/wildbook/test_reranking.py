"""Optional re-ranking by plausibility, with the host's parameter names."""

from __future__ import annotations

import numpy as np
import pytest


def test_reranking_follows_the_hosts_formula_and_keeps_what_was(host):
    now = host.ask(pairx_explain=True, pairx_rerank=True, pairx_shortlist_k=3, pairx_alpha=0.5, pairx_top_k=1)
    before = np.array(host.before.entry["annot_score_list"])
    after = np.array(now.entry["annot_score_list"])
    told = now.entry["pairx"]["reranking"]
    assert told["n_judged"] == 3 and told["failure"] is None and told["scores_before"] == before.tolist()
    shortlist = np.argsort(-before)[:3]
    rest = np.setdiff1d(np.arange(len(before)), shortlist)
    assert after[rest] == pytest.approx(0.5 * before[rest])
    assert ((after[shortlist] > 0.5 * before[shortlist]) & (after[shortlist] < 0.5 * before[shortlist] + 0.5)).all()
    assert now.entry["pairx"]["score_scale"] == "raw"
    names = dict(zip(map(str, now.entry["unique_name_list"]), now.entry["name_score_list"]))
    for name, score in names.items():
        own = [after[i] for i, other in enumerate(now.entry["dname_list"]) if str(other) == name]
        assert score == max(own)
    (record,) = now.entry["pairx"]["explanations"]
    assert record["score"] == after.max() and record["warnings"] == []


def test_candidate_that_cannot_be_judged_keeps_its_score(host, monkeypatch):
    best = host.best(host.before.entry)
    load = host.plugin._load_data

    def some_broken(ibs, aids, *args, **kwargs):
        if list(aids) == [host.aid(best[0])]:
            raise OSError("gone")
        return load(ibs, aids, *args, **kwargs)

    monkeypatch.setattr(host.plugin, "_load_data", some_broken)
    now = host.ask(pairx_explain=True, pairx_rerank=True, pairx_shortlist_k=2, pairx_top_k=1)
    place = [str(item) for item in now.entry["dannot_uuid_list"]].index(best[0])
    assert now.entry["annot_score_list"][place] == host.before.entry["annot_score_list"][place]
    assert now.entry["pairx"]["reranking"]["n_judged"] == 1


def test_broken_reranking_changes_no_score(host, monkeypatch):
    from pairx_plugin.explainers.pairx import PairXSession
    from pairx_plugin.hosts.wildbook import stage

    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(PairXSession, "explain", broken)
        now = host.ask(pairx_explain=True, pairx_rerank=True, pairx_top_k=1)
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    assert now.entry["pairx"]["reranking"]["n_judged"] == 0
    monkeypatch.setattr(stage, "reranked_scores", broken)
    now = host.ask(pairx_explain=True, pairx_rerank=True, pairx_top_k=1)
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    assert "broken on purpose" in now.entry["pairx"]["reranking"]["failure"]["message"]
    assert now.entry["pairx"]["n_explained"] == 1


def test_without_the_parameter_nothing_is_reranked(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    assert "reranking" not in entry["pairx"]
    assert (entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
