"""Optional re-ranking by calibrated plausibility, with the host's parameter names."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pairx_plugin.calibration import IDENTITY_PARAMS, Calibration


@pytest.fixture()
def calibration(host, tmp_path):
    """A calibration for the host's own network, layer and settings, as a file."""
    (record,) = host.ask(pairx_explain=True, pairx_top_k=1).entry["pairx"]["explanations"]
    made = Calibration(
        model_sha256=record["model_sha256"],
        layer_key=record["layer_key"],
        explainer=record["algorithm"],
        explainer_version=str(record["provenance"]["explainer_version"]),
        params={name: record["params"][name] for name in IDENTITY_PARAMS},
        method="logistic",
        means=(0.5, 0.5, 0.0, 0.2),
        scales=(0.2, 0.2, 0.2, 0.1),
        weights=(0.3, 0.8, 0.5, 0.2),
        intercept=0.0,
        n_same=60,
        n_different=60,
        n_individuals=40,
        auc=0.8,
        auc_low=0.7,
        auc_high=0.9,
        brier=0.2,
        calibration_error=0.05,
    )
    return made.write(tmp_path / "host.calibration.json")


def test_reranking_follows_the_hosts_formula_and_keeps_what_was(host, calibration):
    now = host.ask(
        pairx_explain=True,
        pairx_rerank=True,
        pairx_calibration=str(calibration),
        pairx_shortlist_k=3,
        pairx_alpha=0.5,
        pairx_top_k=1,
    )
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


def test_reranking_without_a_calibration_is_refused_and_changes_no_score(host):
    now = host.ask(pairx_explain=True, pairx_rerank=True, pairx_top_k=1)
    told = now.entry["pairx"]["reranking"]
    assert told["n_judged"] == 0 and told["failure"]["code"] == "CALIBRATION_REFUSED"
    assert "calibrate_wildbook" in told["failure"]["message"]
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    assert now.entry["pairx"]["n_explained"] == 1


def test_calibration_of_another_network_is_refused(host, calibration):
    other = dataclasses.replace(Calibration.from_file(calibration), model_sha256="sha256:" + 64 * "0")
    other.write(calibration)
    now = host.ask(pairx_explain=True, pairx_rerank=True, pairx_calibration=str(calibration), pairx_top_k=1)
    assert "another network" in now.entry["pairx"]["reranking"]["failure"]["message"]
    (record,) = now.entry["pairx"]["explanations"]
    assert "CALIBRATION_STALE" in [doubt["code"] for doubt in record["warnings"]]


def test_candidate_that_cannot_be_judged_keeps_its_score(host, calibration, monkeypatch):
    best = host.best(host.before.entry)
    load = host.plugin._load_data

    def some_broken(ibs, aids, *args, **kwargs):
        if list(aids) == [host.aid(best[0])]:
            raise OSError("gone")
        return load(ibs, aids, *args, **kwargs)

    monkeypatch.setattr(host.plugin, "_load_data", some_broken)
    asked = {"pairx_rerank": True, "pairx_calibration": str(calibration), "pairx_shortlist_k": 2, "pairx_top_k": 1}
    now = host.ask(pairx_explain=True, **asked)
    place = [str(item) for item in now.entry["dannot_uuid_list"]].index(best[0])
    assert now.entry["annot_score_list"][place] == host.before.entry["annot_score_list"][place]
    assert now.entry["pairx"]["reranking"]["n_judged"] == 1


def test_broken_reranking_changes_no_score(host, calibration, monkeypatch):
    from pairx_plugin.explainers.pairx import PairXSession
    from pairx_plugin.hosts.wildbook import stage

    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(PairXSession, "steps", broken)
        now = host.ask(pairx_explain=True, pairx_rerank=True, pairx_top_k=1)
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    assert now.entry["pairx"]["reranking"]["n_judged"] == 0
    monkeypatch.setattr(stage, "reranked_scores", broken)
    now = host.ask(pairx_explain=True, pairx_rerank=True, pairx_calibration=str(calibration), pairx_top_k=1)
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    assert "broken on purpose" in now.entry["pairx"]["reranking"]["failure"]["message"]
    assert now.entry["pairx"]["n_explained"] == 1


def test_without_the_parameter_nothing_is_reranked(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    assert "reranking" not in entry["pairx"]
    assert (entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
