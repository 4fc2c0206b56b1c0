"""All rows of a plan, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from .bench import Bench, Progress
from .child import in_a_process_of_its_own
from .flatness import measure_flatness
from .keeping import measure_kept, measure_memory
from .pairs import measure_batch, measure_pair
from .plan import Plan
from .rankings import measure_lines, measure_ranking
from .reference import PublicCode
from .results import OURS, Benchmark, Row, Wanted, machine
from .statistics import Spread, median_interval, ratios
from .warming import warm_up

__all__ = ["run_benchmark"]


def run_benchmark(plan: Plan, reference: PublicCode | None, progress: Progress) -> Benchmark:
    """Measure every row of the plan.

    What makes a single row impossible is in that row's `failures`, and the others are measured all the same.

    Args:
        plan: what to measure.
        reference: the public code, None to measure ours alone.
        progress: called as work goes on with the sentence that says what is measured, and how many steps are done, of
            how many.

    Raises:
        LayerNotFound, ModelError, ModelNotFound, MissingExtra: the network cannot be loaded, or not be explained.
        SettingsError: there is no such device.
    """
    started = time.perf_counter()
    with _threads(plan.threads):
        progress("Loading the network", 0, 1)
        bench = Bench(plan, reference)
        progress("Warming up", 0, 1)
        warm_up(bench)
        rows = tuple(_MEASURES[key](bench, _sentences(progress)) for key in plan.chosen_rows)
        return Benchmark(
            plan=plan,
            layer=bench.layer,
            input_size=bench.size,
            machine=machine(bench.device),
            public_code=reference.to_json() if reference is not None else None,
            rows=rows,
            seconds=time.perf_counter() - started,
        )


def _sentences(progress: Progress) -> Progress:
    """Let what is measured begin with a capital where it stands alone."""
    return lambda stage, done, total: progress(stage[:1].upper() + stage[1:], done, total)


def _measure_flag(bench: Bench, progress: Progress) -> Row:
    title = "the sample host with the flag off"
    progress(title, 0, 1)
    found = in_a_process_of_its_own("flag", bench.plan)
    progress(title, 1, 1)
    if "failure" in found:
        return Row(key="flag", title=title, unit="s", failures={OURS: found["failure"]})
    return _flag_row(title, found)


def _flag_row(title: str, found: Mapping[str, Any]) -> Row:
    off, without = Spread.of(found["off"]), Spread.of(found["without"])
    ratio = ratios(off, without)
    assert off is not None and without is not None and ratio is not None
    low, high = median_interval(ratio.values)
    faults = {}
    if not found["same"]:
        faults[OURS] = "ranks or scores differ between the host with the flag off and the one without the plugin"
    elif found["imported"]:
        faults[OURS] = f"with the flag off, parts of the plugin were imported: {', '.join(found['imported'])}"
    return Row(
        key="flag",
        title=title,
        unit="s",
        ours=off,
        ratio=ratio,
        figure=low,
        wanted=Wanted(limit=1.0, above=False),
        details={
            "without": without.to_json(),
            "median_ratio_interval": [low, high],
            **{name: found[name] for name in ("imported", "same", "photographs")},
        },
        notes=[
            f"Beside the same host without the plugin: {found['photographs']} photographs, each a query, with an "
            f"embedding that costs next to nothing. With 95 % confidence the median quotient lies between {low:.4f} "
            f"and {high:.4f}; a cost is measurable if all of that is above 1. Ranks and scores "
            f"{'are' if found['same'] else 'are not'} the same to the last bit."
        ],
        failures=faults,
    )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    had = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(had)


_MEASURES: Mapping[str, Callable[[Bench, Progress], Row]] = {
    "pair": measure_pair,
    "ranking": measure_ranking,
    "lines": measure_lines,
    "memory": measure_memory,
    "kept": measure_kept,
    "flatness": measure_flatness,
    "batch": measure_batch,
    "flag": _measure_flag,
}
