"""Row ``flatness``: whether the two-hundredth candidate costs what the second one did."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

from ..explanation import PairExplanation
from ..settings import Settings
from .bench import Bench, Progress
from .rankings import K_COLORS, K_LINES, explain_candidates
from .results import Row, Wanted
from .statistics import Spread

__all__ = ["measure_flatness", "per_candidate"]


def measure_flatness(bench: Bench, progress: Progress) -> Row:
    """Measure rankings of several lengths, short ones before and after the longest."""
    lengths = sorted(bench.plan.lengths)
    title = f"one more candidate, of {lengths[0]} to {lengths[-1]}"
    order = _order(lengths)
    total, done = sum(order), 0
    batch = min(Settings().batch_size, lengths[0] - 1)  # the shortest ranking has a candidate beyond its first batch
    costs: dict[int, list[float]] = {length: [] for length in lengths}
    growth, times = list[float](), list[float]()

    def told(_: int, __: PairExplanation) -> None:
        nonlocal done
        times.append(time.perf_counter())
        done += 1
        progress(title, done, total)

    failures: dict[str, str] = {}
    progress(title, 0, total)
    for turn, length in enumerate(order):
        times.clear()
        pictures = bench.pictures("flatness", turn)
        query, candidates, model = pictures.query(), pictures.candidates(length), bench.fresh_model()
        try:
            explain_candidates(bench, model, query, candidates, K_COLORS, batch_size=batch, on_finished=told)
        except Exception as error:  # whatever the network or the engine raises is this row's failure
            failures["ours"] = f"{type(error).__name__}: {error}"
            break
        costs[length].append(per_candidate(times, batch))
        if length == lengths[-1]:
            growth.append(_growth(times))
    return _row(bench, title, {length: found for length, found in costs.items() if found}, growth, failures)


def per_candidate(times: Sequence[float], batch: int) -> float:
    """Return the seconds of one more candidate: what came after the first batch, by the number of its candidates.

    Args:
        times: when each candidate was finished; the first ones pay for the query and come with their batch.
        batch: how many candidates are explained at once.
    """
    first = min(batch, len(times) - 1)
    return (times[-1] - times[first - 1]) / (len(times) - first)


def _order(lengths: Sequence[int]) -> list[int]:
    """Return the lengths upwards and downwards again, short rankings as often as makes twenty candidates or so."""
    enough = min(20, lengths[-1])
    upwards = [length for length in lengths[:-1] for _ in range(math.ceil(enough / length))]
    return [*upwards, lengths[-1], *upwards[::-1]]


def _growth(times: Sequence[float]) -> float:
    """Return how much longer candidates of the last quarter took than those of the first, as a quotient of medians."""
    steps = [later - sooner for sooner, later in zip(times, times[1:])]
    quarter = max(1, len(steps) // 4)
    first, last = statistics.median(steps[:quarter]), statistics.median(steps[-quarter:])
    return last / first if first > 0 else float("nan")


def _row(
    bench: Bench, title: str, costs: dict[int, list[float]], growth: Sequence[float], failures: dict[str, str]
) -> Row:
    medians = {length: statistics.median(found) for length, found in costs.items()}
    complete = not failures and len(medians) > 1 and min(medians.values()) > 0
    spread = max(medians.values()) / min(medians.values()) - 1 if complete else None
    details: dict[str, Any] = {
        "seconds_per_candidate": {str(length): Spread(tuple(found)).to_json() for length, found in costs.items()},
        "last_quarter_over_first": growth[0] if growth and math.isfinite(growth[0]) else None,
    }
    listed = ", ".join(f"{length}: {seconds:.3g} s" for length, seconds in medians.items())
    return Row(
        key="flatness",
        title=title,
        unit="s",
        ours=Spread.of(medians.values()),
        figure=spread,
        wanted=None if bench.plan.quick else Wanted(limit=0.1, above=False),
        details=details,
        notes=[
            f"{K_LINES} lines, {K_COLORS} colours, the query's own work left out. By length of the ranking: "
            f"{listed or 'nothing measured'}."
        ],
        failures=failures,
    )
