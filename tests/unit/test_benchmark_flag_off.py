"""The sample host with the flag off, and what "without the plugin" means."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

from pairx_plugin.benchmark.running import _flag_row

pytest.importorskip("sqlalchemy", reason="needs the extra 'sample'")

from pairx_plugin.benchmark import flag_off  # noqa: E402  # imports the sample host


@pytest.fixture
def four_photographs(tmp_path, monkeypatch):
    import csv

    import pairx_sample_data

    whole = pairx_sample_data.path_of("annotations")
    with open(whole, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:4]
    for row in rows:
        row["file_path"] = str(whole.parent / row["file_path"])
    path = tmp_path / "annotations.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_both_hosts_rank_alike_and_the_flag_off_imports_nothing(four_photographs, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(flag_off.PLUGIN_MODULES)]:
        monkeypatch.delitem(sys.modules, name)  # other tests have imported the plugin into this process
    found = flag_off.run_hosts(3, annotations=four_photographs)
    assert len(found["off"]) == len(found["without"]) == 3 and min(found["off"] + found["without"]) > 0
    assert found["same"] is True and found["imported"] == [] and found["photographs"] == 4


def test_without_the_plugin_none_of_it_can_be_imported_and_afterwards_it_is_back():
    pipeline = import_module("pairx_plugin.pipeline")
    with flag_off._no_plugin():
        for name in ("pairx_plugin.pipeline", "pairx_plugin.relevance.rules", "pairx_plugin.hosts.local.explaining"):
            with pytest.raises(ImportError):
                import_module(name)
    assert sys.modules["pairx_plugin.pipeline"] is pipeline
    assert import_module("pairx_plugin.hosts.local.explaining").explain_rankings


def found(**changes):
    turns = [1.00, 1.02, 0.99, 1.01, 1.00, 0.98]
    return {
        "off": turns, "without": [1.0] * 6, "imported": [], "same": True, "photographs": 64, **changes
    }


def test_noise_about_one_is_no_measurable_cost():
    row = _flag_row("host", found())
    assert row.is_met is True and row.ratio.median == pytest.approx(1.0)
    assert "the same to the last bit" in row.notes[0]


def test_cost_in_every_turn_is_measurable():
    row = _flag_row("host", found(off=[1.1, 1.2, 1.05, 1.1, 1.3, 1.1]))
    assert row.is_met is False and row.figure == pytest.approx(1.05)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"same": False}, "ranks or scores differ"),
        ({"imported": ["pairx_plugin.relevance"]}, "pairx_plugin.relevance"),
    ],
    ids=["other ranks", "imports"],
)
def test_host_that_is_touched_fails_however_fast(change, words):
    row = _flag_row("host", found(**change))
    assert row.is_met is False and words in row.failures["ours"]
