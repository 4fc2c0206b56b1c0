"""Records survive JSON, pickling and copying, whatever they hold."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pairx_hooks
from pairx_hooks import (
    Annotation,
    Artifact,
    Candidate,
    Explanation,
    ExplanationRequest,
    Failure,
    PluginDescription,
    PluginFailure,
    RankedQuery,
    Record,
    RecordError,
    Status,
)

text = st.text(max_size=12)
named = text.filter(str.strip)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(min_value=0, max_value=10**9)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=12,
)
json_data = st.dictionaries(text, json_values, max_size=4)
any_value = (
    json_values
    | st.binary(max_size=3)
    | st.floats()
    | st.sets(st.integers(), max_size=2)
    | st.complex_numbers()
)


def optional(strategy):
    return st.none() | strategy


annotations = st.builds(
    Annotation,
    annotation_id=named,
    image=text,
    bbox=optional(st.tuples(numbers, numbers, numbers, numbers)),
    theta=optional(numbers),
    name=optional(text),
    species=optional(text),
    viewpoint=optional(text),
    extra=json_data,
)
candidates = st.builds(
    Candidate,
    annotation=annotations,
    rank=st.integers(min_value=1, max_value=10**6),
    score=optional(numbers),
    name_score=optional(numbers),
)
ranked_queries = st.builds(
    RankedQuery,
    query_id=named,
    query=annotations,
    candidates=st.lists(candidates, max_size=3, unique_by=lambda item: item.rank).map(
        lambda found: sorted(found, key=lambda item: item.rank)
    ),
    model_id=text,
    score_scale=text,
    n_searched=optional(counts),
    extra=json_data,
)
failures = st.builds(Failure, code=named, message=text, retryable=st.booleans(), plugin=optional(text))
artifacts = st.builds(
    Artifact,
    version=text,
    media_type=text,
    width=st.integers(1, 9999),
    height=st.integers(1, 9999),
    data=st.just(b""),
    path=optional(text),
)
explanations = st.builds(
    Explanation,
    query_id=text,
    candidate_id=text,
    rank=st.integers(1, 99),
    status=st.sampled_from(Status),
    explainer=text,
    record=json_data,
    artifacts=st.lists(artifacts, max_size=2),
    failure=failures,
)
requests = st.builds(
    ExplanationRequest,
    explainer=named,
    top_k=counts,
    layers=st.lists(text, max_size=3),
    pictures=st.lists(text, max_size=3),
    picture_format=text,
    settings=json_data,
)
plugin_failures = st.builds(PluginFailure, plugin=text, hook=optional(text), error=text, traceback=text)
descriptions = st.builds(
    PluginDescription,
    name=text,
    module=text,
    distribution=optional(text),
    version=optional(text),
    hooks=st.lists(text, max_size=3),
    explainers=st.lists(text, max_size=3),
    error=optional(text),
)
STRATEGIES = {
    Annotation: annotations,
    Candidate: candidates,
    RankedQuery: ranked_queries,
    Failure: failures,
    Artifact: artifacts,
    Explanation: explanations,
    ExplanationRequest: requests,
    PluginFailure: plugin_failures,
    PluginDescription: descriptions,
}
records = st.one_of(*STRATEGIES.values())
few = settings(max_examples=60, deadline=None, derandomize=True)


def test_every_public_record_is_tried():
    public = {getattr(pairx_hooks, name) for name in pairx_hooks.__all__}
    kinds = {kind for kind in public if isinstance(kind, type) and issubclass(kind, Record)}
    assert kinds - {Record} == set(STRATEGIES)


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_record_survives_json(kind, data):
    record = data.draw(STRATEGIES[kind])
    sent = json.dumps(record.to_json(), allow_nan=False)
    received = kind.from_json(json.loads(sent))
    assert received == record
    assert json.dumps(received.to_json()) == sent  # types too: 1, 1.0 and true are equal and not the same


@few
@given(records)
def test_record_survives_pickle_and_copies(record):
    for twin in (pickle.loads(pickle.dumps(record)), copy.deepcopy(record), dataclasses.replace(record)):
        assert twin == record
        assert hash(twin) == hash(record)
        assert repr(twin) == repr(record)


@few
@given(records, json_data)
def test_unknown_keys_change_nothing(record, extra):
    known = {item.name for item in dataclasses.fields(record)}
    newer = {**{key: value for key, value in extra.items() if key not in known}, **record.to_json()}
    assert type(record).from_json(newer) == record


@few
@given(records)
def test_json_is_a_copy(record):
    plain = record.to_json()
    before = json.dumps(record.to_json())
    for value in plain.values():
        if isinstance(value, (dict, list)):
            value.clear()
    assert json.dumps(record.to_json()) == before


@few
@given(json_data)
def test_data_within_a_record_is_the_data_that_was_given(data):
    record = Explanation(query_id="q", candidate_id="c", rank=1, status=Status.READY, record=data).record
    assert record == data
    assert json.dumps(record) == json.dumps(data)


@pytest.mark.parametrize("kind", STRATEGIES, ids=lambda kind: kind.__name__)
@few
@given(data=st.data())
def test_one_wrong_field_is_a_record_error_or_a_sound_record(kind, data):
    plain = data.draw(STRATEGIES[kind]).to_json()
    field = data.draw(st.sampled_from(sorted(item.name for item in dataclasses.fields(kind))))
    try:
        record = kind.from_json({**plain, field: data.draw(any_value)})
    except RecordError as error:
        assert str(error)
    else:
        assert kind.from_json(record.to_json()).to_json() == record.to_json()


@few
@given(ranked_queries)
def test_fields_have_the_types_that_they_declare(query):
    for record in (query, query.query, *query.candidates):
        for name, kind in typing.get_type_hints(type(record)).items():
            value = getattr(record, name)
            if kind is str:
                assert type(value) is str
            elif kind is int:
                assert type(value) is int
            elif kind == float | None:
                assert value is None or type(value) is float
