"""The table of ``pairx-plugin benchmark``, measured here: what must hold on every machine, and no time at all."""

from __future__ import annotations

import json
import time

import pytest

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")
pytest.importorskip("sqlalchemy", reason="needs the extra 'sample'")


@pytest.fixture(scope="module")
def benchmark(extent, request):
    from pairx_plugin.benchmark.plan import Plan
    from pairx_plugin.benchmark.reference import find_public_code
    from pairx_plugin.benchmark.running import run_benchmark

    reporter = request.config.pluginmanager.getplugin("terminalreporter")
    last = [0.0]

    def progress(stage: str, done: int, total: int) -> None:
        if time.perf_counter() - last[0] > 2:
            last[0] = time.perf_counter()
            reporter.write_line(f"{stage}: {done} of {total}")

    plan = Plan() if extent == "full" else Plan.small()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        found = run_benchmark(plan, find_public_code(None), progress)
        _print(found, reporter)
    return found


def _print(found, reporter):
    from pairx_plugin.benchmark.table import exactness_lines, main_lines, note_lines, stage_lines

    columns, stages = stage_lines(found)
    for lines in (main_lines(found), exactness_lines(found), [columns, *stages]):
        reporter.write_line("")
        for line in lines:
            reporter.write_line(" | ".join(line))
    for note in note_lines(found):
        reporter.write_line(note)


def test_every_row_was_measured(benchmark):
    assert {row.key: dict(row.failures) for row in benchmark.rows if row.failures} == {}
    assert [row.key for row in benchmark.rows] == list(benchmark.plan.chosen_rows)
    assert all(row.ours is not None for row in benchmark.rows)


def test_figures_are_json(benchmark):
    data = json.loads(json.dumps(benchmark.to_json(), allow_nan=False))
    assert len(data["rows"]) == len(benchmark.rows)


def test_numbers_are_the_public_code_s(benchmark):
    if benchmark.public_code is None:
        pytest.skip("WildMeOrg/pairx is not importable")
    compared = [row.exactness for row in benchmark.rows if row.exactness is not None]
    assert len(compared) >= 3
    for exactness in compared:
        assert exactness.is_met, exactness
        assert exactness.n_agreeing >= 0.95 * exactness.n_lines


def test_memory_is_bounded(benchmark):
    """Unlike time, memory does not depend on who else is using the machine."""
    memory, kept = (next(row for row in benchmark.rows if row.key == key) for key in ("memory", "kept"))
    assert kept.is_met
    assert memory.is_met is not False  # None in a trial


def test_host_with_the_flag_off_is_as_it_was_without_the_plugin(benchmark):
    flag = next(row for row in benchmark.rows if row.key == "flag")
    assert flag.details["same"] is True and flag.details["imported"] == []
