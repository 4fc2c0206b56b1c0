"""Records: what they hold, what they refuse and how they say so."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import pickle

import pytest

import pairx_hooks
from pairx_hooks import (
    Annotation,
    Artifact,
    Candidate,
    ExplainerEntry,
    Explanation,
    ExplanationRequest,
    Failure,
    RankedQuery,
    Record,
    RecordError,
    Status,
)

A1 = Annotation(
    annotation_id="a1", extra={"date": "2026-01-02", "boxes": [[1, 2], [3, 4]], "n": {"of": None}}
)
RECORDS = [
    value for value in vars(pairx_hooks).values() if isinstance(value, type) and issubclass(value, Record)
]


def explanation(**fields) -> Explanation:
    return Explanation(**{**dict(query_id="q", candidate_id="a1", rank=1, status=Status.READY), **fields})


REFUSED = {
    "empty id": (lambda: Annotation(annotation_id=" "), "Annotation.annotation_id must not be empty"),
    "number as id": (lambda: Annotation(annotation_id=7), "annotation_id must be a text, not int 7"),
    "short box": (
        lambda: Annotation(annotation_id="a", bbox=(1, 2, 3)),
        r"bbox must be 4 values, not tuple \(1, 2, 3\)",
    ),
    "box of text": (
        lambda: Annotation(annotation_id="a", bbox="1234"),
        "bbox must be a tuple or list, not str '1234'",
    ),
    "text in a box": (
        lambda: Annotation(annotation_id="a", bbox=(1, 2, 3, "4")),
        r"bbox\[3\] must be a number, not str",
    ),
    "theta in words": (
        lambda: Annotation(annotation_id="a", theta="left"),
        "theta must be a number or None, not str",
    ),
    "boolean score": (
        lambda: Candidate(annotation=A1, rank=1, score=True),
        "score must be a number or None, not bool",
    ),
    "rank zero": (lambda: Candidate(annotation=A1, rank=0), "rank must be 1 or more, not 0"),
    "boolean rank": (
        lambda: Candidate(annotation=A1, rank=True),
        "rank must be a whole number, not bool True",
    ),
    "broken rank": (lambda: Candidate(annotation=A1, rank=1.5), "rank must be a whole number, not float 1.5"),
    "no annotation": (
        lambda: Candidate(annotation="a1", rank=1),
        "annotation must be of type Annotation, not str",
    ),
    "huge score": (
        lambda: Candidate(annotation=A1, rank=1, score=10**400),
        "score must be a number that a float",
    ),
    "layers as text": (
        lambda: ExplanationRequest(layers="blocks.3"),
        "layers must be a tuple or list, not str",
    ),
    "negative top_k": (lambda: ExplanationRequest(top_k=-1), "top_k must be 0 or more, not -1"),
    "key no text": (
        lambda: ExplanationRequest(settings={1: 2}),
        "settings has the key 1 of type int.*such as '1'",
    ),
    "no json value": (
        lambda: explanation(record={"matches": [{"at": {1, 2}}]}),
        r"Explanation.record.matches\[0\].at holds a set, which is no JSON value",
    ),
    "status in words": (
        lambda: explanation(status="redy"),
        "status has no choice 'redy'; nearest: 'ready'; choose from",
    ),
    "failed for no reason": (lambda: explanation(status=Status.FAILED), "'a1' is failed without saying why"),
    "partial for no reason": (lambda: explanation(status="partial"), "is partial without saying why"),
    "code empty": (lambda: Failure(code="", message="?"), "code must not be empty"),
    "retryable number": (
        lambda: Failure(code="X", message="?", retryable=1),
        "retryable must be True or False, not int 1",
    ),
    "picture of nothing": (
        lambda: Artifact(version="clean", media_type="image/png", width=0, height=1),
        "Artifact.width must be 1 or more, not 0",
    ),
    "data as text": (
        lambda: Artifact(version="clean", media_type="image/png", width=1, height=1, data="x"),
        "data must be bytes, not str 'x'",
    ),
    "entry without code": (
        lambda: ExplainerEntry(explainer_id="x", title="X", create=None),
        "create of 'x' must be callable without arguments, not NoneType",
    ),
    "entry without id": (
        lambda: ExplainerEntry(explainer_id="", title="X", create=dict),
        "explainer_id must not be",
    ),
}


@pytest.mark.parametrize("make, message", REFUSED.values(), ids=REFUSED)
def test_value_that_does_not_fit_is_refused_and_named(make, message):
    with pytest.raises(RecordError, match=message) as caught:
        make()
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("ranks", [(1, 1), (2, 1)], ids=["ties", "unsorted"])
def test_candidates_out_of_order_are_refused(ranks):
    candidates = [Candidate(annotation=A1, rank=rank) for rank in ranks]
    with pytest.raises(
        RecordError, match=f"rank {ranks[1]} .'a1'. follows rank {ranks[0]}; sort them by rank"
    ):
        RankedQuery(query_id="q", query=A1, candidates=candidates)


def test_ranks_may_be_left_out_and_annotations_may_stand_twice():
    query = RankedQuery(
        query_id="q", query=A1, candidates=[Candidate(annotation=A1, rank=rank) for rank in (2, 5)]
    )
    assert [item.rank for item in query.candidates] == [2, 5]


def test_data_that_holds_itself_is_refused():
    endless: dict = {}
    endless["again"] = endless
    with pytest.raises(RecordError, match="nested deeper than 64 levels, or holds itself"):
        Annotation(annotation_id="a", extra=endless)


def test_lists_become_tuples_and_numbers_their_own_kind():
    annotation = Annotation(annotation_id="a", bbox=[1, 2, 3, 4], theta=1)
    assert annotation.bbox == (1.0, 2.0, 3.0, 4.0) and type(annotation.bbox) is tuple
    assert type(annotation.bbox[0]) is type(annotation.theta) is float
    assert explanation(status="ready").status is Status.READY


def test_numpy_scalars_become_plain_values():
    np = pytest.importorskip("numpy", reason="needs NumPy")
    candidate = Candidate(annotation=A1, rank=np.int64(2), score=np.float32(0.5))
    assert (type(candidate.rank), type(candidate.score)) == (int, float)
    annotation = Annotation(annotation_id=np.str_("a"), bbox=np.array([1, 2, 3, 4]))
    assert type(annotation.annotation_id) is str and annotation.bbox == (1.0, 2.0, 3.0, 4.0)
    record = explanation(
        record={"inlier": np.bool_(True), "n": np.uint8(3), "x": np.float32(0.5), "y": np.array(2)}
    ).record
    assert record == {"inlier": True, "n": 3, "x": 0.5, "y": 2}
    assert [type(value) for value in record.values()] == [bool, int, float, int]
    with pytest.raises(RecordError, match=r"record.map holds a ndarray.*arrays by .tolist\(\)"):
        explanation(record={"map": np.zeros(3)})


def test_record_data_is_json_as_it_stands():
    found = explanation(
        record={"relevance": [1.5, math.nan, math.inf], "grid": (28, 28), "status": Status.READY}
    )
    assert json.loads(json.dumps(found.record, allow_nan=False)) == found.record
    assert found.record == {"relevance": [1.5, None, None], "grid": [28, 28], "status": "ready"}


def test_records_are_frozen_to_the_bottom():
    given = {"boxes": [[1, 2]], "n": {"of": 1}}
    annotation = Annotation(annotation_id="a", extra=given)
    given["boxes"][0].append(3)  # the caller's own stays the caller's
    assert annotation.extra == {"boxes": [[1, 2]], "n": {"of": 1}}
    attempts = [
        lambda: setattr(annotation, "image", "x"),
        lambda: annotation.extra.update(n=1),
        lambda: annotation.extra["n"].clear(),
        lambda: annotation.extra.pop("n"),
        lambda: annotation.extra["boxes"].append(1),
        lambda: annotation.extra["boxes"][0].sort(),
        lambda: annotation.extra["boxes"].__setitem__(0, 1),
        lambda: annotation.extra.__ior__({"n": 1}),
        lambda: annotation.extra["boxes"].__iadd__([1]),
    ]
    for attempt in attempts:
        with pytest.raises((TypeError, dataclasses.FrozenInstanceError)):
            attempt()
    assert annotation.extra == {"boxes": [[1, 2]], "n": {"of": 1}}


def test_copies_and_pickles_are_equal_and_frozen():
    found = explanation(record={"a": [1, {"b": 2}]}, failure=Failure(code="X", message="?"))
    for twin in (
        copy.copy(found),
        copy.deepcopy(found),
        pickle.loads(pickle.dumps(found)),
        dataclasses.replace(found),
    ):
        assert twin == found and hash(twin) == hash(found) and type(twin.record) is type(found.record)
        with pytest.raises(TypeError):
            twin.record["a"].append(1)


def test_plain_copies_of_data_can_be_changed():
    plain = A1.to_json()
    plain["extra"]["boxes"][0].append(5)
    assert plain["extra"]["boxes"] == [[1, 2, 5], [3, 4]] and A1.extra["boxes"] == [[1, 2], [3, 4]]


def test_bytes_stay_out_of_json():
    picture = Artifact(
        version="clean", media_type="image/png", width=2, height=1, data=b"\x89PNG", path="a.png"
    )
    plain = explanation(artifacts=[picture]).to_json()
    assert "data" not in plain["artifacts"][0]
    assert Explanation.from_json(plain).artifacts == (dataclasses.replace(picture, data=b""),)


def test_nan_in_a_box_survives_json_as_nan():
    annotation = Annotation(annotation_id="a", bbox=(1, math.nan, math.inf, 4), theta=math.nan)
    plain = annotation.to_json()
    assert plain["bbox"] == [1.0, None, None, 4.0] and plain["theta"] is None
    back = Annotation.from_json(plain)
    assert [math.isnan(value) for value in back.bbox] == [False, True, True, False] and back.theta is None


def test_unknown_keys_are_ignored_on_the_way_in():
    assert Annotation.from_json({"annotation_id": "a", "sex": "f", "schema": 9}) == Annotation(
        annotation_id="a"
    )


UNREADABLE = {
    "no mapping": (RankedQuery, [1], r"RankedQuery is read from a mapping, not from list: \[1\]"),
    "missing": (RankedQuery, {"query_id": "q"}, "RankedQuery needs query; there is query_id"),
    "empty": (Failure, {}, "Failure needs code, message; there is nothing"),
    "deep": (
        RankedQuery,
        {"query_id": "q", "query": {"annotation_id": "a"}, "candidates": [{"rank": 1, "annotation": {}}]},
        r"RankedQuery.candidates\[0\]: Candidate.annotation: Annotation needs annotation_id",
    ),
    "short box": (Annotation, {"annotation_id": "a", "bbox": [1, 2]}, "bbox must be 4 values"),
    "status": (
        Explanation,
        {"query_id": "q", "candidate_id": "c", "rank": 1, "status": "complete"},
        "Explanation.status has no choice 'complete'",
    ),
    "candidates": (
        RankedQuery,
        {"query_id": "q", "query": {"annotation_id": "a"}, "candidates": 3},
        "candidates must be a tuple or list, not int 3",
    ),
}


@pytest.mark.parametrize("kind, data, message", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_json_says_where(kind, data, message):
    with pytest.raises(RecordError, match=message):
        kind.from_json(data)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_records_are_slotted_frozen_and_documented(kind):
    assert not hasattr(object.__new__(kind), "__dict__")
    assert kind.__dataclass_params__.frozen
    fields = [item.name for item in dataclasses.fields(kind)]
    assert all(item.kw_only for item in dataclasses.fields(kind))
    assert "Attributes:" in (kind.__doc__ or "") or not fields


@pytest.mark.parametrize(
    "status, usable, failed",
    [("ready", True, False), ("partial", True, False), ("failed", False, True), ("unsupported", False, True)]
    + [(status, False, False) for status in ("queued", "running", "skipped", "stale")],
)
def test_status_says_whether_there_is_anything_to_see(status, usable, failed):
    assert (Status(status).usable, Status(status).failed) == (usable, failed)


def test_what_stands_in_place_of_an_explanation_takes_its_ids_from_the_query():
    candidate, why = Candidate(rank=7, annotation=Annotation(annotation_id="c")), Failure(code="NO", message="no")
    query = RankedQuery(query_id="q", query=A1, candidates=[candidate])
    failed = Explanation.without_evidence(query, candidate, why, explainer="pairx")
    assert (failed.query_id, failed.candidate_id, failed.rank) == ("q", "c", 7)
    assert (failed.status, failed.failure, failed.explainer) == (Status.FAILED, why, "pairx")
    assert Explanation.without_evidence(query, candidate).status is Status.SKIPPED
    unsupported = Explanation.without_evidence(query, candidate, why, status=Status.UNSUPPORTED)
    assert unsupported.status is Status.UNSUPPORTED and not unsupported.record
