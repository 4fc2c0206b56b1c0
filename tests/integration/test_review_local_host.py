"""The review page over the sample host: a real run, a real network, and what becomes of its records."""

from __future__ import annotations

import csv
import os
import time
from dataclasses import replace

import pytest
from PIL import Image

pytest.importorskip("fastapi")
from starlette.testclient import TestClient  # noqa: E402

from pairx_plugin.hosts.local import LocalHost, LocalHostConfig  # noqa: E402
from pairx_plugin.hosts.local.review_source import LocalReviewSource  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.review import ReviewServer  # noqa: E402


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1", model_id="small")


@pytest.fixture
def finished(tmp_path, model, make_texture):
    """A run of four photographs; the best candidate of each was explained. Returns its configuration."""
    rows = [("theta", "viewpoint", "name", "file_name", "species", "file_path", "x", "y", "w", "h", "date", "url")]
    for number in range(4):
        Image.fromarray(make_texture(number, 96)).save(tmp_path / f"{number}.png")
        url = "https://host/encounters/7" if number == 0 else ""
        file = f"{number}.png"
        rows.append((0.0, "left", f"animal {number // 2}", file, "s", file, 4, 4, 80, 72, "2025-06-01", url))
    with open(tmp_path / "annotations.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    config = LocalHostConfig.from_mapping(
        {"annotations": "annotations.csv", "pairx_explain": True, "pairx_top_k": 1, "pairx_k_colors": 2},
        folder=tmp_path,
    )
    with LocalHost(config, model=model) as host:
        host.run()
    return config


@pytest.fixture
def reviewing(finished, model):
    """A browser over the run, and its source."""
    with LocalReviewSource(finished.database, model=model) as source, ReviewServer(source) as server:
        browser = TestClient(server.app, base_url="http://localhost", raise_server_exceptions=False)
        browser.get("/")  # a page comes with the cookie that writes need
        browser.headers["X-CSRF-Token"] = browser.get("/review/v1/session").json()["csrf"]
        browser.source, browser.config = source, finished
        browser.task = source.tasks()[0]
        yield browser


def explained(browser, rank, **more):
    body = {"task": browser.task.task_id, "query": browser.task.queries[0].query_id, "rank": rank, **more}
    found = browser.post("/review/v1/explanations", json=body).json()
    deadline = time.monotonic() + 60
    while not found["over"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        found = browser.get(f"/review/v1/explanations/{found['id']}").json()
    return found


def test_run_becomes_a_task(reviewing):
    query = reviewing.get(f"/review/v1/tasks/{reviewing.task.task_id}?cutoff=3").json()["queries"][0]
    assert query["query"]["file_name"] == "0.png" and query["query"]["date"] == "2025-06-01"
    assert query["query"]["link"] == "https://host/encounters/7"
    assert [item["evidence"]["status"] for item in query["candidates"]] == ["ready", None, None]
    assert query["candidates"][0]["evidence"]["band_words"]


def test_pair_is_explained_with_the_network_that_ranked(reviewing):
    found = explained(reviewing, 2, k_colors=2, k_lines=10)
    assert found["status"] == "ready", found["failure"]
    record = found["record"]
    assert record["layer_key"] == "backbone.blocks.1" and record["ranked_by"]["same_model"]
    assert len(record["matches"]) == 10
    pixel = [item for item in record["maps"] if item["kind"] == "pixel"]
    assert len(pixel) == 4
    answer = reviewing.get(pixel[0]["url"])
    assert answer.headers["content-type"] == "image/png" and len(answer.content) > 60
    assert str(reviewing.config.images) not in str(found)


def test_kept_lines_are_there_at_once_and_agree_with_fresh_ones(reviewing):
    body = {"task": reviewing.task.task_id, "query": reviewing.task.queries[0].query_id, "rank": 1}
    kept = reviewing.post("/review/v1/explanations", json={**body, "stage": "lines"})
    assert kept.status_code == 201 and kept.json()["status"] == "ready"
    fresh = explained(reviewing, 1)
    assert [link["kpts0"] for link in kept.json()["record"]["matches"]] == [
        link["kpts0"] for link in fresh["record"]["matches"]
    ]


def test_layers_can_be_chosen_once_the_network_is_there(reviewing):
    assert reviewing.get("/review/v1/explainers").json()["layers"] == []
    explained(reviewing, 1)
    found = reviewing.get("/review/v1/explainers").json()
    layers = {item["level"]: item["key"] for item in found["layers"]}
    assert layers["medium"] == "backbone.blocks.1" and layers["broad"]
    assert found["explainers"][0]["explainer_id"] == "pairx" and found["usual_seconds"] > 0
    broad = explained(reviewing, 1, layer_key=layers["broad"])
    assert broad["record"]["layer_key"] == layers["broad"]


def test_decision_stands_in_the_log_and_on_the_hosts_own_record(reviewing):
    task, query = reviewing.task.task_id, reviewing.task.queries[0].query_id
    answer = reviewing.put(
        f"/review/v1/tasks/{task}/pairs/{query}/2/decision",
        json={"evidence_decision": "nomatch", "confidence": "guessing", "reviewer": "Ana", "comment": "no notch"},
        headers={"If-Match": "0"},
    )
    assert answer.status_code == 200
    with LocalHost(reviewing.config) as host:
        match = host.database.get_match(query)
    review = match.reviews[1]
    assert (review.evidence_decision, review.confidence, review.reviewer) == ("nomatch", "guessing", "user:web:Ana")
    assert review.comment == "no notch" and review.decided is not None
    assert match.reviews[0].evidence_decision == "unreviewed"
    assert [item.evidence_decision for item in reviewing.source.decisions.history(task)] == ["nomatch"]


def test_changed_photograph_makes_evidence_stale(reviewing, make_texture):
    query = reviewing.source.query(reviewing.task.task_id, reviewing.task.queries[0].query_id)
    candidate = query.ranked_query.candidates[0].annotation
    reviewing.source._chips.clear()
    Image.fromarray(make_texture(99, 96)).save(candidate.image)
    found = explained(reviewing, 1)
    assert (found["status"], found["stale"], found["record"]) == ("stale", "CHIP_CHANGED", None)
    anew = explained(reviewing, 1, anew=True)
    assert anew["status"] == "ready" and anew["made_anew"]


def test_later_run_with_smaller_chips_makes_nothing_stale(reviewing, model):
    with LocalHost(replace(reviewing.config, chip_side=48), model=model) as host:
        host.run()
    assert explained(reviewing, 1, stage="lines")["status"] == "ready"


def test_lost_photograph_fails_for_good(reviewing):
    query = reviewing.source.query(reviewing.task.task_id, reviewing.task.queries[0].query_id)
    reviewing.source._chips.clear()
    os.remove(query.ranked_query.candidates[1].annotation.image)
    found = explained(reviewing, 2)
    assert (found["status"], found["failure"]["code"], found["retryable"]) == ("failed", "IMAGE_NOT_FOUND", False)


def test_report_of_the_task_is_the_pages_own(reviewing):
    text = reviewing.get(f"/review/tasks/{reviewing.task.task_id}/report.html?lang=de").text
    assert "<script" not in text and "Kandidat" in text and str(reviewing.config.output) not in text
    assert text.count("data:image/webp") > 4


def test_triplet_on_the_page_has_its_rival_from_the_ranking(reviewing):
    found = explained(reviewing, 1, explainer="similarity_attention", variant="triplet")
    assert found["status"] == "ready", found["failure"]
    assert found["record"]["params"]["options"] == {"attention_mode": "triplet"}
    codes = {item["code"] for item in found["record"]["warnings"]}
    assert "CONTRASTED" in codes and "NO_RIVAL" not in codes
    assert any("contrast this candidate with candidate" in doubt for doubt in found["words"]["doubts"])
    assert {item.get("sign") for item in found["record"]["maps"]} == {"for", "against"}


def test_point_to_point_on_the_page_knows_the_partner_of_every_place(reviewing):
    found = explained(reviewing, 1, explainer="point_to_point")
    assert found["status"] == "ready" and found["has_partners"]
    rows, cols = found["record"]["grid"]["0"]
    answer = reviewing.get(f"/review/v1/explanations/{found['id']}/partners/0/{rows - 1}/{cols - 1}").json()
    assert answer["grid"] == found["record"]["grid"]["1"] and set(answer["maps"]) == {"for", "against"}


def test_segmentation_column_says_which_links_end_outside(tmp_path, finished, model):
    with open(tmp_path / "annotations.csv", newline="") as file:
        header, *rows = list(csv.reader(file))
    left = "[[0, 0, 44, 0, 44, 96, 0, 96]]"
    with open(tmp_path / "outlined.csv", "w", newline="") as file:
        csv.writer(file).writerows([[*header, "segmentation"], *([*row, left] for row in rows)])
    with LocalHost(replace(finished, annotations=tmp_path / "outlined.csv"), model=model) as host:
        host.run()
    with LocalReviewSource(finished.database, model=model) as source:
        query = source.query(source.tasks()[0].task_id, source.tasks()[0].queries[0].query_id)
        text = next(render_report_of(source, query))
        assert "outside the animal" in text and "On the animal" in text


def render_report_of(source, query):
    from pairx_plugin.report import ReportQuery, render_report

    asked = ReportQuery(ranked_query=query.ranked_query, explanations=list(query.explanations.values()))
    yield "".join(render_report([asked]))
