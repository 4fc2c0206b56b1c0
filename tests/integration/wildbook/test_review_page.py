"""The review page in the host's own web application: tasks, chips, evidence."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image
from review_reader import API, Reader


def test_hosts_address_leads_to_the_page_of_the_query(hosted, reader):
    assert reader.address.startswith("/pairx/review/tasks/") and reader.query == hosted.query_uuid
    candidates = reader.data["query"]["candidates"]
    assert [item["annotation_id"] for item in candidates] == hosted.best(hosted.before.entry)
    assert candidates[0]["evidence"]["status"] == "ready" and candidates[1]["evidence"]["status"] is None
    assert reader.data["events"] is False and reader.data["query"]["model_id"] == "miew_id.sample"
    assert candidates[0]["link"] == f"/view/annotations/?aid={hosted.aid(candidates[0]['annotation_id'])}"
    for name in re.findall(r'(?:src|href)="(/pairx/review/static/[^"]+)"', reader.page):
        assert reader.client.get(name).status_code == 200


def test_all_tasks_are_listed_and_one_alone_is_shown(host, client, reader):
    found = client.get("/pairx/review/")
    assert found.status_code == 303 and reader.task in found.headers["Location"]
    host.graph(pairx_explain=True, pairx_top_k=2)  # another configuration is another task
    listed = client.get("/pairx/review/").data.decode()
    assert listed.count("/pairx/review/tasks/") >= 2 and reader.task in listed


def test_queries_that_were_asked_at_once_are_one_task(host, client):
    host.graph(qaids=host.aids[:2], pairx_explain=True, pairx_top_k=0)
    (task,) = client.get(f"{API}/tasks").json["tasks"]
    uuids = [str(item) for item in host.ibs.get_annot_uuids(host.aids[:2])]
    assert [item["query_id"] for item in task["queries"]] == uuids
    shown = client.get(f"/pairx/review/tasks/{task['task_id']}?query={uuids[1]}").data.decode()
    assert f'"query_id":"{uuids[1]}"' in shown
    # one of them, asked again alone, is a task of its own, and the other is left behind
    host.graph(pairx_explain=True, pairx_top_k=0)
    tasks = client.get(f"{API}/tasks").json["tasks"]
    assert [[item["query_id"] for item in task["queries"]] for task in tasks] == [[uuids[0]], [uuids[1]]]


def test_chips_are_what_the_network_reads_in_the_proportions_of_the_box(hosted, reader):
    best = reader.data["query"]["candidates"][0]
    for place, aid in ((reader.data["query"]["query"], hosted.qaid), (best, hosted.aid(best["annotation_id"]))):
        response = reader.client.get(place["chip_url"])
        assert response.status_code == 200 and response.mimetype == "image/webp"
        with Image.open(io.BytesIO(response.data)) as picture:
            _, _, width, height = hosted.ibs.get_annot_bboxes(aid)
            assert picture.width / picture.height == pytest.approx(width / height, rel=0.02)
            shown = np.array(picture.convert("RGB").resize((224, 224), Image.Resampling.BOX)).astype(int)
        config = hosted.plugin.read_config_and_load_model("striped_horse")[1]
        tensor = next(iter(hosted.plugin._load_data(hosted.ibs, [aid], config, batch_size=1)[0]))[0][0].numpy()
        mean, std = (np.array(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        saw = np.rint((tensor * std + mean) * 255).transpose(1, 2, 0)[..., ::-1]
        assert np.abs(shown - saw).mean() < 6 < np.abs(shown - saw[..., ::-1]).mean()
        again = reader.client.get(place["chip_url"], headers={"If-None-Match": response.headers["ETag"]})
        assert again.status_code == 304


def test_kept_evidence_is_there_at_once_and_grows_its_colours(hosted, reader):
    loads = hosted.loads
    first = reader.send("POST", "/explanations", {"task": reader.task, "query": reader.query, "rank": 1}).json
    assert first["record"]["num_matches"] > 20 and first["words"]["band_words"]
    done = reader.evidence(1)
    assert done["status"] == "ready" and done["failure"] is None
    urls = [item["url"] for item in done["record"]["maps"] if item.get("url")]
    assert len(urls) >= 10 and reader.client.get(urls[-1]).mimetype == "image/png"
    score = reader.data["query"]["candidates"][0]["score"]
    assert done["record"]["similarity"] == pytest.approx(2 * score - 1, abs=1e-4)
    assert hosted.loads - loads == 0  # the network that ranked is the one that explains


def test_candidate_that_was_not_asked_for_is_explained_on_the_page(hosted, reader):
    done = reader.evidence(3)
    assert done["status"] == "ready"
    assert done["record"]["images"][1]["annotation_id"] == hosted.best(hosted.before.entry)[2]
    levels = {item["level"]: item["key"] for item in reader.client.get(f"{API}/explainers").json["layers"]}
    fine = reader.evidence(3, layer_key=levels["fine"])
    assert fine["record"]["layer_key"] == levels["fine"] != done["record"]["layer_key"]


def test_streams_of_news_are_answered_with_none(reader):
    answered = reader.client.get(f"{API}/tasks/{reader.task}/events")
    assert answered.status_code == 204 and answered.data == b""


def test_changed_box_is_said_and_explained_anew_on_request(hosted, reader):
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    before = hosted.ibs.get_annot_bboxes(best)
    x, y, width, height = before
    try:
        hosted.ibs.set_annot_bboxes([best], [(x + 20, y + 10, width - 40, height - 20)])
        stale = reader.evidence(1)
        assert stale["status"] == "stale" and stale["stale"] == "CHIP_CHANGED" and stale["record"] is None
        anew = reader.evidence(1, anew=True)
        assert anew["status"] == "ready" and anew["made_anew"] is True
        not_explained_before = reader.evidence(2)
        assert not_explained_before["status"] == "ready"
    finally:
        hosted.ibs.set_annot_bboxes([best], [before])


def test_failed_query_can_still_be_reviewed(host, client, monkeypatch):
    from pairx_plugin.explainers.pairx import PairXSession

    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(PairXSession, "steps", broken)
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    where = {"extern_reference": entry["dannot_extern_reference"], "query_annot_uuid": host.query_uuid}
    reader = Reader(client, where)
    assert len(reader.data["query"]["candidates"]) == len(host.aids) - 1
    assert reader.evidence(1)["status"] == "failed"
    version = reader.data["query"]["candidates"][0]["decision"]["version"]
    assert reader.decide("match", version=version).status_code == 200


def test_page_without_its_dependencies_is_the_plain_one(hosted, client, explained, monkeypatch):
    monkeypatch.setattr(type(hosted.installation.review), "is_possible", staticmethod(lambda: False))
    response = client.get("/pairx/review/", query_string=explained)
    assert response.status_code == 200 and b"<script" not in response.data and b"Not a probability" in response.data


def test_report_of_the_task_is_one_file_with_decisions(reader):
    reader.decide("match", reviewer="Ana")
    page = reader.client.get(f"/pairx/review/tasks/{reader.task}/report.html").data.decode()
    assert page.count("data:image/") > 4 and "Ana" in page and "<script" not in page
