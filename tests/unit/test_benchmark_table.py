"""The figures in words, and as JSON."""

from __future__ import annotations

import json

import pytest

from pairx_plugin.benchmark.exactness import Exactness
from pairx_plugin.benchmark.plan import Plan
from pairx_plugin.benchmark.results import Benchmark, Row, Wanted, machine
from pairx_plugin.benchmark.statistics import Spread
from pairx_plugin.benchmark.table import (
    bytes_in_words,
    exactness_lines,
    main_lines,
    note_lines,
    seconds_in_words,
    stage_lines,
)

torch = pytest.importorskip("torch")


@pytest.fixture
def benchmark() -> Benchmark:
    exact = Exactness(relevance=2e-6, pixels=None, n_pixels=0, n_pixels_there=4, n_agreeing=19, n_lines=20)
    rows = (
        Row(
            key="pair",
            title="one cold pair",
            unit="s",
            ours=Spread((2.0, 2.5, 1.9)),
            public=Spread((20.0, 20.0, 20.9)),
            ratio=Spread((10.0, 8.0, 11.0)),
            figure=10.0,
            wanted=Wanted(limit=7, aim=15, above=True),
            exactness=exact,
            stages={"ours": {"pixels": 1.0, "forward": 0.5}, "public": {"forward": 1.0, "pixels": 9.0, "other": 0.05}},
            notes=("how it was measured",),
        ),
        Row(
            key="memory",
            title="peak memory",
            unit="bytes",
            ours=Spread((3.2e9,)),
            figure=3.2e9,
            wanted=Wanted(limit=3e9, aim=2e9, above=False),
            failures={"public": "it was\nkilled"},
        ),
        Row(
            key="kept",
            title="kept",
            unit="bytes",
            ours=Spread((0.0,)),
            figure=0.02,
            wanted=Wanted(limit=0.1, above=False),
        ),
        Row(key="batch", title="8 pairs", unit="s", failures={"ours": "RuntimeError: no"}),
    )
    return Benchmark(
        plan=Plan(),
        layer="backbone.blocks.3",
        input_size=(440, 440),
        machine=machine(torch.device("cpu")),
        public_code=None,
        rows=rows,
        seconds=615.0,
    )


def test_each_row_says_what_was_measured_wanted_and_reached(benchmark):
    lines = main_lines(benchmark)
    assert lines[0] == (
        "one cold pair", "2 s (1.9 to 2.5)", "20 s (20 to 20.9)", "10.0 (8.0 to 11.0) times faster",
        "at least 7, aim 15", "yes",
    )
    assert lines[1] == ("peak memory", "3.2 GB", "-", "-", "at most 3 GB, aim 2 GB", "no")
    assert lines[2][3:] == ("2.0% of the weights", "at most 10%", "yes")
    assert lines[3] == ("8 pairs", "-", "-", "-", "-", "")


def test_exactness_stands_beside_the_speed(benchmark):
    assert exactness_lines(benchmark) == [("one cold pair", "2.0e-06", "none compared", "yes", "19 of 20")]


def test_stages_have_one_order_and_gaps_where_one_side_has_none(benchmark):
    columns, lines = stage_lines(benchmark)
    assert columns == ["pair ours", "pair public"]
    assert lines == [["forward", "500 ms", "1 s"], ["pixels", "1 s", "9 s"], ["other", "-", "50 ms"]]


def test_notes_tell_the_machine_the_missing_code_and_every_failure(benchmark):
    notes = list(note_lines(benchmark))
    assert "440 x 440" in notes[0] and f"torch {torch.__version__.split('+')[0]}" in notes[0] and "10.2 min" in notes[0]
    assert notes[1] == "WildMeOrg/pairx was not compared; name a checkout of it with --reference."
    assert notes[2:] == [
        "pair: how it was measured",
        "memory: public could not be measured as it should: it was killed",
        "batch: ours could not be measured as it should: RuntimeError: no",
    ]


def test_json_holds_every_turn_and_no_infinity(benchmark):
    data = json.loads(json.dumps(benchmark.to_json(), allow_nan=False))
    assert data["schema"] == "pairx.benchmark/1" and data["plan"]["threads"] == Plan().threads
    pair, memory, _, batch = data["rows"]
    assert pair["ours"]["values"] == [2.0, 2.5, 1.9] and pair["is_met"] is True
    assert pair["exactness"]["matches_agreeing"] == 19 and pair["wanted"]["aim"] == 15
    assert memory["is_met"] is False and memory["public"] is None
    assert batch["is_met"] is None and batch["failures"] == {"ours": "RuntimeError: no"}


def test_figure_of_a_row_in_which_ours_failed_is_not_what_was_wanted():
    row = Row(
        key="pair", title="", unit="s", figure=9.0, wanted=Wanted(limit=7, above=True), failures={"ours": "later"}
    )
    assert row.is_met is False


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (seconds_in_words(0.00123), "1.23 ms"),
        (seconds_in_words(0.99951), "1 s"),
        (seconds_in_words(0.25, 0.2, 1.3), "250 ms (200 to 1300)"),
        (seconds_in_words(2.0, 2.0, 2.001), "2 s"),
        (seconds_in_words(123.4), "123 s"),
        (seconds_in_words(1200.0, 900.0, 1500.0), "20 min (15 to 25)"),
        (seconds_in_words(0.0), "0 ms"),
        (bytes_in_words(4), "4 bytes"),
        (bytes_in_words(2.95e9), "2.95 GB"),
        (bytes_in_words(999.7e6), "1 GB"),
        (bytes_in_words(44.7e6), "44.7 MB"),
        (bytes_in_words(0), "0 bytes"),
    ],
    ids=lambda value: str(value),
)
def test_amounts_have_three_digits_and_one_unit(words, text):
    assert words == text
