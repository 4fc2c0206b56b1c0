"""Candidates in the report: each in its place whatever became of it, evidence in words, records that do not fit."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from report_pages import Page, explained, failed, full_query, picture, ranked, record, written

from pairx_hooks import Annotation, Failure, Status


@pytest.fixture()
def page(tmp_path: Path) -> Page:
    return written(tmp_path, full_query(), full_query(explanations=()))


def test_every_candidate_is_there_in_order_whatever_became_of_it(page: Page) -> None:
    anchors = [found["id"] for _, found, _ in page.elements if re.fullmatch(r"q1-c\d", found.get("id") or "")]
    assert anchors == [f"q1-c{rank}" for rank in range(1, 7)]
    shown = [rank for rank in range(1, 7) if page.all("section", id=f"q1-c{rank}")]
    assert shown == [1, 2, 3]
    assert [item["value"] for item in page.all("li") if (item.get("id") or "").startswith("q1-")] == ["4", "5", "6"]
    assert [item["value"] for item in page.all("li") if (item.get("id") or "").startswith("q2-")] == list("123456")
    assert "0.970" in page.prose and "Ranked, not explained: 3 candidates" in page.prose


def test_failed_candidate_keeps_rank_and_score_and_says_why(tmp_path: Path) -> None:
    query = full_query(ranked_query=ranked(1), explanations=[failed(1, retryable=True)], chips={})
    prose = written(tmp_path, query).prose
    for words in (
        "Rank 1",
        "0.980",
        "Not explained: something went wrong.",
        "The photograph is not where the host says.",
        "no photograph at 'x.jpg'",
        "Trying again may help.",
        "The candidate keeps its rank and its score.",
    ):
        assert words in prose


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.QUEUED, "still waiting"),
        (Status.RUNNING, "still being worked on"),
        (Status.STALE, "another model, chip or setting"),
        (Status.UNSUPPORTED, "is not supported"),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_unfinished_states_are_said_in_words(tmp_path: Path, status: Status, words: str) -> None:
    explanation = failed(1, code="ODD_CODE", status=status)
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[explanation]))
    assert words in page.prose
    assert page.all("section", id="q1-c1")


def test_evidence_is_put_into_words(page: Page) -> None:
    for words in (
        "Weak evidence",
        "that the links fit one pose, which can also happen with two different animals that stand alike",
        "uncalibrated",
        "Not a probability.",
        "12 of 20 links fit one consistent pose; the same places paired at random reach only 6.",
        "With so few links (3), some pose always fits.",
        "Query: 12.5% of what the network saw lies beyond the photograph’s edge and is empty.",
        "upper left (10%, 20%)",
        "middle right (90%, 50%)",
        "lower centre (50%, 99%)",
        "25.0%",
        "not tested",
        "sha256:abababababababab",
        "k_lines 20, mode reference",
        "pairx-plugin 0.1.0, torch 2.0",
        "1.5 s",
    ):
        assert words in page.prose, words
    prose = page.prose
    assert prose.index("Doubts first") < prose.index("What the links say")
    alt = [image["alt"] or "" for image in page.all("img")]
    assert any(
        "3 numbered lines; the strongest joins upper left of the query with middle right" in text for text in alt
    )


@pytest.mark.parametrize(("n_edge", "told"), [(2, False), (3, True), (9, True)])
def test_many_links_at_the_edge_are_a_doubt(tmp_path: Path, n_edge: int, told: bool) -> None:
    links = [{"kpts0": [0.5, 0.97 if index < n_edge else 0.5], "kpts1": [0.4, 0.4]} for index in range(9)]
    explanation = explained(1, record=record(matches=links))
    prose = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[explanation])).prose
    assert (f"{n_edge} of 9 links end at the very edge of a chip" in prose) is told


def test_how_to_read_says_evidence_not_proof_once_at_the_head(page: Page) -> None:
    assert page.prose.count("It is not proof that two photographs show one individual.") == 1
    assert "Chance counts as 4 links at least" in page.prose


def test_names_that_the_host_knows_are_shown_quietly_and_can_be_hidden(tmp_path: Path) -> None:
    shown = written(tmp_path, full_query()).prose
    assert "same individual as the query" in shown and "another individual than the query" in shown
    hidden = written(tmp_path, full_query(show_names=False)).prose
    assert "individual as the query" not in hidden and "individual than the query" not in hidden


def test_name_is_not_compared_where_one_is_unknown(tmp_path: Path) -> None:
    query = full_query(ranked_query=ranked(3, query=Annotation(annotation_id="q", image="q.jpg")))
    assert "individual as the query" not in written(tmp_path, query).prose


def test_json_record_can_be_taken_out_of_the_page(page: Page) -> None:
    link = next(found for found in page.all("a") if "download" in found)
    data = (link["href"] or "").removeprefix("data:application/json;base64,")
    assert json.loads(base64.b64decode(data))["num_matches"] == 40


@pytest.mark.parametrize(
    "broken",
    [
        {"matches": "many", "plausibility": 3, "warnings": {"a": 1}, "images": [1], "provenance": [], "params": None},
        {"matches": [None, {"kpts0": [1], "kpts1": ["a", "b"], "rank": "x", "inlier": "yes"}], "layer_key": 7},
        {"other_layers": [{"layer_key": "b", "matches": [], "plausibility": None}, 5], "similarity": "high"},
        {"plausibility": {"n_inliers": 3.5, "n_chance": True, "n_tested": 20, "reasons": [{"code": None}, {}]}},
    ],
    ids=["types", "links", "layers", "figures"],
)
def test_record_that_does_not_fit_never_costs_the_report(tmp_path: Path, broken: dict[str, Any]) -> None:
    page = written(tmp_path, full_query(explanations=[explained(1, record=record(**broken))]))
    assert page.all("section", id="q1-c1")
    assert "Not assessed" in page.prose or "Weak evidence" in page.prose


def test_record_of_another_explainer_without_links_is_shown(tmp_path: Path) -> None:
    foreign = explained(1, record={"algorithm": "other"}, artifacts=(picture("attention"),))
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[foreign]))
    assert page.all("input", type="radio") == []
    assert page.of_class("only") and "attention of query and candidate 1" in (page.all("img")[1]["alt"] or "")


def test_explanation_that_holds_nothing_says_so(tmp_path: Path) -> None:
    empty = explained(1, record={}, artifacts=())
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[empty]))
    assert "neither pictures nor figures" in page.prose


def test_record_of_a_failure_is_provenance_and_no_evidence(tmp_path: Path) -> None:
    lost = failed(1)
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[replace(lost, record=record())]))
    assert "What the links say" not in page.prose and "Not explained: something went wrong." in page.prose
    assert "k_lines 20" in page.prose


def test_query_without_candidates_and_query_that_failed_say_so(tmp_path: Path) -> None:
    empty = full_query(ranked_query=ranked(0), explanations=(), photograph=None)
    lost = replace(empty, failure=Failure(code="IMAGE_UNREADABLE", message="cut off at byte 7"))
    prose = written(tmp_path, empty, lost).prose
    assert "This query has no candidates." in prose and "could not be shown" in prose
    assert "This query could not be ranked." in prose and "cut off at byte 7" in prose


def test_picture_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    broken = replace(picture("heatmask"), data=b"GIF89a")
    gone = replace(picture("clean"), data=b"", path="gone/clean.webp")
    page = written(tmp_path, full_query(explanations=[explained(1, artifacts=(picture(), broken, gone))]))
    assert page.prose.count("A picture could not be read") == 2
    assert len([image for image in page.all("img") if "numbered lines" in (image["alt"] or "")]) == 1
