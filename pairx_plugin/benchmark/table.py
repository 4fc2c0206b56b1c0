"""The figures in words: lines of the tables that the command prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .exactness import Exactness
from .results import OURS, PUBLIC, Benchmark, Row
from .statistics import Spread

__all__ = ["exactness_lines", "main_lines", "note_lines", "stage_lines"]

_STAGES = ("preparing", "forward", "relevance", "matching", "pixels", "other", "rendering")
_NONE = "-"


def main_lines(benchmark: Benchmark) -> list[tuple[str, str, str, str, str, str]]:
    """Return for each row: what was measured, ours, the public code's, the figure, what was wanted, whether it is."""
    return [
        (
            row.title,
            _amount(row.ours, row.unit),
            _amount(row.public, row.unit),
            _figure(row),
            _wanted(row),
            {True: "yes", False: "no", None: ""}[row.is_met],
        )
        for row in benchmark.rows
    ]


def exactness_lines(benchmark: Benchmark) -> list[tuple[str, str, str, str, str]]:
    """Return for each row that was compared: relevance maps, pixel maps, whether that is as wanted, matches."""
    return [
        (
            row.title,
            _share(row.exactness.relevance),
            _pixel_share(row.exactness),
            "yes" if row.exactness.is_met else "no",
            f"{row.exactness.n_agreeing} of {row.exactness.n_lines}",
        )
        for row in benchmark.rows
        if row.exactness is not None
    ]


def stage_lines(benchmark: Benchmark) -> tuple[list[str], list[list[str]]]:
    """Return the columns, a stage and then each row's ours and public, and one line per stage."""
    columns = [(row.key, name) for row in benchmark.rows for name in (OURS, PUBLIC) if name in row.stages]
    stages = {(row.key, name): found for row in benchmark.rows for name, found in row.stages.items()}
    used = [stage for stage in _STAGES if any(stage in stages[column] for column in columns)]
    further = dict.fromkeys(stage for column in columns for stage in stages[column] if stage not in _STAGES)
    lines = [
        [stage, *(seconds_in_words(stages[column][stage]) if stage in stages[column] else _NONE for column in columns)]
        for stage in (*used, *further)
    ]
    return [f"{key} {name}" for key, name in columns], lines


def note_lines(benchmark: Benchmark) -> Iterator[str]:
    """Yield what a reader of the figures needs to know, each with its row."""
    plan, machine = benchmark.plan, benchmark.machine
    height, width = benchmark.input_size
    yield (
        f"{plan.model} at {height} x {width}, {benchmark.layer}, on {machine['device']} ({machine['processor']}), "
        f"{machine['threads']} threads, torch {machine['torch']}, float32. Medians, with smallest and largest in "
        f"brackets; ratios are taken turn by turn. Measuring took {seconds_in_words(benchmark.seconds)}."
    )
    if plan.quick:
        yield "A trial with a small network and small pictures: what was wanted of the engine's speed does not apply."
    if benchmark.public_code is None:
        yield "WildMeOrg/pairx was not compared; name a checkout of it with --reference."
    for row in benchmark.rows:
        for note in row.notes:
            yield f"{row.key}: {note}"
        for name, reason in row.failures.items():
            yield f"{row.key}: {name} could not be measured as it should: {' '.join(reason.split())}"


def seconds_in_words(*seconds: float) -> str:
    """Return seconds with three digits, in milliseconds, seconds or minutes; see :func:`bytes_in_words`."""
    return _in_words(seconds, (("s", 1.0), ("ms", 1e-3)) if seconds[0] < 600 else (("min", 60.0),))


def bytes_in_words(*counts: float) -> str:
    """Return bytes with three digits, in decimal units.

    Args:
        counts: one number, or a median with its smallest and largest, which come in brackets in the same unit.
    """
    return _in_words(counts, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1.0)))


def _in_words(values: Sequence[float], units: Sequence[tuple[str, float]]) -> str:
    """Use the largest unit that the first value reaches when it is rounded."""
    unit, size = next(((name, size) for name, size in units if values[0] >= 0.9995 * size), units[-1])
    shown = [_digits(value / size) for value in values]
    spread = f" ({shown[1]} to {shown[2]})" if len(set(shown)) > 1 else ""
    return f"{shown[0]} {unit}{spread}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def _amount(spread: Spread | None, unit: str) -> str:
    if spread is None:
        return _NONE
    words = bytes_in_words if unit == "bytes" else seconds_in_words
    return words(spread.median, spread.least, spread.most)


def _figure(row: Row) -> str:
    if row.ratio is not None:
        ratio, digits = row.ratio, 2 if row.key == "flag" else 1
        spread = "" if len(ratio.values) == 1 else f" ({ratio.least:.{digits}f} to {ratio.most:.{digits}f})"
        words = {"flag": "of the time", "memory": "times less"}.get(row.key, "times faster")
        return f"{ratio.median:.{digits}f}{spread} {words}"
    if row.figure is None or row.key not in ("kept", "flatness"):
        return _NONE
    words = {"kept": "of the weights", "flatness": "between lengths"}[row.key]
    return f"{row.figure:.1%} {words}"


def _wanted(row: Row) -> str:
    wanted = row.wanted
    if wanted is None:
        return _NONE
    if row.key == "flag":
        return "no measurable cost"
    if row.key in ("kept", "flatness"):
        return f"at most {wanted.limit:.0%}"
    if row.key == "memory":
        aim = "" if wanted.aim is None else f", aim {bytes_in_words(wanted.aim)}"
        return f"at most {bytes_in_words(wanted.limit)}{aim}"
    return f"at least {wanted.limit:g}" + ("" if wanted.aim is None else f", aim {wanted.aim:g}")


def _share(value: float | None) -> str:
    if value is None:
        return _NONE
    return f"{value:.1e}" if math.isfinite(value) else "do not fit"


def _pixel_share(found: Exactness) -> str:
    if found.pixels is None:
        return "none compared" if found.n_pixels_there else _NONE
    return f"{_share(found.pixels)} ({found.n_pixels} of {found.n_pixels_there})"
