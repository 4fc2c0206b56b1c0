"""Attributes in words: every language, every kind, and records that do not fit."""

from __future__ import annotations

from typing import Any

import pytest

from pairx_plugin.report.attributes import attributes_view
from pairx_plugin.report.messages import LANGUAGE_TAGS, Messages
from pairx_plugin.report.reading import read_record
from pairx_plugin.report.words import Words

SCAR = {
    "name": "scar",
    "group": "mark",
    "kind": "same",
    "side": None,
    "confidence": 0.912,
    "overlap": 0.5,
    "prior": 0.25,
    "score": 0.61,
    "peak0": [0.1, 0.1],
    "peak1": [0.9, 0.9],
}
ALONE = {**SCAR, "name": "ear_tag", "group": "custom", "kind": "different", "side": 1}


def words(tag: str = "en") -> Words:
    return Words(Messages(tag))


def test_attribute_has_its_place_and_all_its_terms() -> None:
    view = attributes_view({"attributes": [SCAR, ALONE], "abstained": False}, words())
    assert view is not None and view.sentences == []
    (same,), (alone,) = view.same, view.different
    assert (same.name, same.group, same.where) == (
        "scar", "distinctive mark", "query: upper left; candidate: lower right",
    )
    assert (same.confidence, same.overlap, same.prior, same.score) == ("0.91", "0.50", "0.25", "0.61")
    assert (alone.name, alone.group, alone.where) == ("ear tag", "custom", "the candidate alone: lower right")


def test_abstaining_is_said() -> None:
    view = attributes_view({"attributes": [ALONE], "abstained": True}, words())
    assert view is not None and view.same == [] and len(view.different) == 1
    assert view.sentences == [
        "No attribute that both photographs show is sure enough to be named as a reason for the similarity."
    ]


@pytest.mark.parametrize(
    "record", [{}, {"attributes": []}, {"attributes": None}, {"attributes": "scar"}, {"attributes": [3, {"name": 1}]}]
)
def test_explainers_without_attributes_say_nothing(record: dict[str, Any]) -> None:
    assert attributes_view(record, words()) is None


def test_terms_that_do_not_fit_are_unknown() -> None:
    broken = {**SCAR, "confidence": "much", "overlap": float("nan"), "peak0": [1], "peak1": None}
    view = attributes_view({"attributes": [broken]}, words())
    assert view is not None and view.same[0].confidence == view.same[0].overlap == "-"
    assert view.same[0].where == "query: unknown; candidate: unknown"


@pytest.mark.parametrize("tag", LANGUAGE_TAGS)
def test_every_language_has_words_of_its_own(tag: str) -> None:
    view = attributes_view({"attributes": [SCAR, ALONE], "abstained": True}, words(tag))
    assert view is not None
    english = attributes_view({"attributes": [SCAR, ALONE], "abstained": True}, words())
    assert english is not None
    assert (view.sentences == english.sentences) == (tag == "en")
    assert (view.same[0].group == english.same[0].group) == (tag == "en")
    assert view.same[0].confidence == ("0.91" if tag == "en" else "0,91")


@pytest.mark.parametrize("tag", LANGUAGE_TAGS)
def test_doubts_name_attributes_in_the_readers_words(tag: str) -> None:
    doubts = [
        {"code": "VIEWPOINTS_DIFFER", "message": "raw", "values": {"viewpoint_0": "backleft", "viewpoint_1": "right"}},
        {"code": "NUISANCE_COUNTS", "message": "raw", "values": {"attribute": "water_line", "overlap": 0.7}},
        {"code": "NO_ATTRIBUTE_HEAD", "message": "raw", "values": {}},
        {"code": "HEAD_OF_ANOTHER_MODEL", "message": "raw", "values": {}},
        {"code": "SALIENCY_FLAT", "message": "raw", "values": {}},
    ]
    told = words(tag).doubts(read_record({"warnings": doubts}), (), ())
    assert len(told) == 5 and not any("raw" in sentence or "_" in sentence for sentence in told)
    assert {"en": "back left", "de": "hinten links"}.get(tag, "") in told[0]
