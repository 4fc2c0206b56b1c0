"""The host's three versions of a match picture: three pictures, made once, of the best candidates alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from host_views import VERSIONS, counting, pixels


def test_three_versions_are_three_pictures_made_once(host, monkeypatch):
    explained = counting(monkeypatch)
    now = host.ask(pairx_explain=True, pairx_top_k=2)
    assert len(explained) == 2
    for annot_uuid in host.best(now.entry)[:2]:
        matches, heatmask, clean = (pixels(now.thumbs[host.aid(annot_uuid), version]) for version in VERSIONS)
        photographs = clean.shape[0]  # the others have a legend below
        for one, other in ((matches, heatmask), (matches, clean), (heatmask, clean)):
            assert np.abs(one[:photographs].astype(int) - other[:photographs]).mean() > 3


def test_only_the_best_are_explained_and_the_rest_are_plain(host):
    now = host.ask(pairx_explain=True, pairx_top_k=2)
    best = host.best(now.entry)
    records = now.entry["pairx"]["explanations"]
    assert [record["host"]["dannot_uuid"] for record in records] == best[:2]
    assert [record["rank"] for record in records] == [1, 2]
    assert all(flag is True for flag in now.entry["dannot_extern_list"])
    for annot_uuid in best[2:]:
        for version in VERSIONS:
            key = host.aid(annot_uuid), version
            assert now.thumbs[key] == host.before.thumbs[key]
    none = host.ask(pairx_explain=True, pairx_top_k=0)
    assert none.thumbs == host.before.thumbs and none.entry["pairx"]["explanations"] == []


def test_pictures_come_back_after_the_host_lost_its_own(host, monkeypatch):
    explained = counting(monkeypatch)
    first = host.ask(pairx_explain=True, pairx_top_k=2)
    for path in Path(host.ibs.get_match_thumbdir()).iterdir():
        path.unlink()
    host.graph(pairx_explain=True, pairx_top_k=2)
    assert host.thumbs() == first.thumbs and len(explained) == 2


def test_candidate_that_is_not_explained_any_more_is_plain_again(host):
    embeddings = getattr(host.plugin, "GLOBAL_EMBEDDING_CACHE", None) or host.plugin._embeddings
    first = host.ask(pairx_explain=True, pairx_top_k=1)
    best = host.aid(host.best(first.entry)[0])
    assert first.thumbs[best, "matches"] != host.before.thumbs[best, "matches"]
    kept = embeddings[host.qaid]
    embeddings[host.qaid] = -kept  # the worst are the best now
    try:
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    finally:
        embeddings[host.qaid] = kept
    assert host.aid(host.best(entry)[0]) != best
    thumbs = host.thumbs()
    assert all(thumbs[best, version] == host.before.thumbs[best, version] for version in VERSIONS)
    host.graph(pairx_explain=True, pairx_top_k=1)
    assert host.thumbs()[best, "matches"] == first.thumbs[best, "matches"]
