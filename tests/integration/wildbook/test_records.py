"""Explanation records: what they say, where they lie, and that a stale or damaged one is made anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from host_views import VERSIONS, counting


def test_record_has_the_schema_and_the_hosts_facts_and_is_strict_json(host, encoded):
    result, entry = host.graph(pairx_explain=True, pairx_top_k=2)
    answer = encoded(entry["pairx"])
    assert answer["schema"] == "pairx.wildbook/1" and answer["status"] == "ready"
    assert answer["extern_reference"] == entry["dannot_extern_reference"]
    record = answer["explanations"][0]
    assert record["schema"] == "pairx.explanation/1" and record["status"] == "ready"
    assert record["id"].startswith("sha256:") and record["algorithm"] == "pairx"
    assert record["score"] == max(entry["annot_score_list"]) and record["score_scale"] == "half_cosine"
    assert abs((1 + record["similarity"]) / 2 - record["score"]) < 1e-5
    assert record["ranked_by"]["same_model"] is True and record["model_id"] == "miew_id.sample"
    assert record["images"][0]["annotation_id"] == host.query_uuid
    assert record["num_matches"] > 20 and len(record["matches"]) == 20
    assert {asset["version"] for asset in record["assets"]} == set(VERSIONS)
    assert record["warnings"] == [] and record["errors"] == []
    match = host.ibs.query_chips(
        [host.qaid], host.aids, cfgdict={"pipeline_root": "MiewId", "pairx_explain": True, "pairx_top_k": 2}
    )[0]
    assert [item["id"] for item in match.pairx["explanations"]] == [item["id"] for item in answer["explanations"]]
    encoded(match.pairx)


def test_kept_explanations_are_used_again_without_work(host, monkeypatch):
    explained = counting(monkeypatch)
    first = host.graph(pairx_explain=True, pairx_top_k=2)[1]["pairx"]
    again = host.graph(pairx_explain=True, pairx_top_k=2)[1]["pairx"]
    assert len(explained) == 2
    assert [item["created"] for item in again["explanations"]] == [item["created"] for item in first["explanations"]]


def pair_folder(host, entry, rank=1):
    record = entry["pairx"]["explanations"][rank - 1]
    reference = f"qreq_cfgstr_{entry['dannot_extern_reference']}"
    query, candidate = f"qannot_uuid_{host.query_uuid}", f"dannot_uuid_{record['host']['dannot_uuid']}"
    return Path(host.ibs.cachedir) / "query_match" / reference / query / candidate


def test_record_lies_beside_the_hosts_pictures_and_no_half_file_is_left(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    folder = pair_folder(host, entry)
    names = {path.name for path in folder.iterdir()}
    assert {f"version_{version}_orient_horizontal.png" for version in VERSIONS} <= names
    kept = json.loads((folder / "pairx_explanation.json").read_text())
    assert kept == entry["pairx"]["explanations"][0]
    assert set(kept["host"]["files"].values()) < names
    assert not [name for name in names if name.endswith(".part")]


@pytest.mark.parametrize("damage", ["cut off", "picture gone", "gone"])
def test_damaged_record_is_made_again(host, monkeypatch, damage):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    file = pair_folder(host, entry) / "pairx_explanation.json"
    if damage == "cut off":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "gone":
        file.unlink()
    else:
        (file.parent / entry["pairx"]["explanations"][0]["host"]["files"]["heatmask"]).unlink()
    explained = counting(monkeypatch)
    _, again = host.graph(pairx_explain=True, pairx_top_k=1)
    assert len(explained) == 1 and again["pairx"]["status"] == "ready"
    assert json.loads(file.read_text())["id"] == entry["pairx"]["explanations"][0]["id"]


def test_changed_box_is_noticed_and_explained_anew_with_new_pictures(host, client):
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    best = host.best(now.entry)[0]
    aid = host.aid(best)
    (x, y, width, height) = host.ibs.get_annot_bboxes(aid)
    where = {
        "extern_reference": now.entry["dannot_extern_reference"],
        "query_annot_uuid": host.query_uuid,
        "database_annot_uuid": best,
    }
    assert client.get("/api/pairx/explanation/", query_string=where).json["response"]["stale"] is False
    try:
        host.ibs.set_annot_bboxes([aid], [(x + 20, y + 10, width - 40, height - 20)])
        response = client.get("/api/pairx/explanation/", query_string=where).json["response"]
        assert response["stale"] is True and "candidate" in response["stale_reason"]
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
        (record,) = entry["pairx"]["explanations"]
        assert record["id"] != now.entry["pairx"]["explanations"][0]["id"]
        assert host.thumbs()[aid, "clean"] != now.thumbs[aid, "clean"]
        assert client.get("/api/pairx/explanation/", query_string=where).json["response"]["stale"] is False
        # the host's score still comes from the former box, since it keeps embeddings by annotation alone
        assert [item["code"] for item in record["warnings"]] in ([], ["SCORE_NOT_REPRODUCED"])
    finally:
        host.ibs.set_annot_bboxes([aid], [(x, y, width, height)])


def test_score_of_another_network_is_a_doubt(host):
    embeddings = getattr(host.plugin, "GLOBAL_EMBEDDING_CACHE", None) or host.plugin._embeddings
    kept = embeddings[host.qaid]
    embeddings[host.qaid] = -kept  # as if it came from elsewhere: the worst are the best now
    try:
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    finally:
        embeddings[host.qaid] = kept
    (record,) = entry["pairx"]["explanations"]
    assert [item["code"] for item in record["warnings"]] == ["SCORE_NOT_REPRODUCED"]


def test_changed_viewpoint_by_which_a_chip_is_mirrored_is_noticed(host, client):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    (first,) = entry["pairx"]["explanations"]
    where = {
        "extern_reference": entry["dannot_extern_reference"],
        "query_annot_uuid": host.query_uuid,
        "database_annot_uuid": first["host"]["dannot_uuid"],
    }
    before = host.ibs.get_annot_viewpoints(host.qaid)
    assert before == "left"

    def stale():
        response = client.get("/api/pairx/explanation/", query_string=where).json["response"]
        return response["stale"], response["stale_reason"]

    try:
        host.ibs.set_annot_viewpoints([host.qaid], ["back"])
        assert stale() == (False, None)  # neither is mirrored
        host.ibs.set_annot_viewpoints([host.qaid], ["right"])
        assert stale()[0] is True and "viewpoint of the query" in stale()[1]
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
        (second,) = entry["pairx"]["explanations"]
        assert second["id"] != first["id"] and stale() == (False, None)
        assert [item["code"] for item in second["images"][0]["warnings"]] == ["CHIP_MIRRORED"]
    finally:
        host.ibs.set_annot_viewpoints([host.qaid], [before])
    assert stale()[0] is True


def test_queries_asked_at_once_have_the_records_that_each_has_alone(host):
    def told(result):
        return {
            query: [(item["host"]["dannot_uuid"], item["id"], item["score"]) for item in entry["pairx"]["explanations"]]
            for query, entry in result["cm_dict"].items()
        }

    alone = {}
    for aid in host.aids[:2]:
        alone.update(told(host.graph(qaids=[aid], pairx_explain=True, pairx_top_k=2)[0]))
    host.clear()
    together = told(host.graph(qaids=host.aids[:2], pairx_explain=True, pairx_top_k=2)[0])
    assert together == alone and len(alone) == 2 and all(len(found) == 2 for found in alone.values())
