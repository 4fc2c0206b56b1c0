"""Plots as SVG, drawn here and not in a browser, so that a page needs no script.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; series differ in dashes too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["DotRow", "Series", "dot_plot", "line_plot", "reliability_plot"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a6a00", "#5b2a86")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_GREY = "#767676"
Place = Callable[[float], float]


@dataclass(frozen=True, kw_only=True)
class DotRow:
    """One dot with its interval; an empty row where there is no value."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    grey: bool = False


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    grey: bool = False


def dot_plot(rows: Sequence[DotRow], *, title: str, chance: float | None = None, width: int = 460) -> str:
    """Return dots with intervals, one row each; a dashed line marks what chance gives."""
    left, right, line, top = 170, 56, 22, 6
    height = top + line * len(rows) + 26
    edges = [edge for row in rows for edge in (row.value, row.low, row.high) if edge is not None]
    edges += [] if chance is None else [chance]
    low, high = _range(edges)

    def place(value: float) -> float:
        return left + (value - low) / (high - low) * (width - left - right)

    parts = [_axis(low, high, place, top, height - 20)]
    if chance is not None:
        x = place(chance)
        parts.append(f'<line class="chance" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{height - 20}"/>')
    for index, row in enumerate(rows):
        y = top + line * (index + 0.5)
        colour = _GREY if row.grey else COLOURS[0]
        parts.append(f'<text class="label" x="{left - 10}" y="{y + 4:.1f}">{escape(row.label)}</text>')
        if row.value is None:
            parts.append(f'<text class="none" x="{left + 4}" y="{y + 4:.1f}">not measured</text>')
            continue
        if row.low is not None and row.high is not None:
            ends = f'x1="{place(row.low):.1f}" x2="{place(row.high):.1f}"'
            parts.append(f'<line {ends} y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<circle cx="{place(row.value):.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')
        parts.append(f'<text class="value" x="{width - right + 8}" y="{y + 4:.1f}">{row.value:.3f}</text>')
    return _svg(width, height, title, parts)


def line_plot(
    series: Sequence[Series], *, title: str, x_title: str, y_title: str, y_range: tuple[float, float] | None = None
) -> str:
    """Return lines with a legend beneath."""
    width, left, right, top, plot = 460, 46, 12, 8, 190
    rows = -(-len(series) // 2)
    height = top + plot + 44 + 18 * rows
    xs = [value for item in series for value in item.x]
    low_x, high_x = (min(xs), max(xs)) if xs else (0.0, 1.0)
    low, high = y_range or _range([value for item in series for value in item.y])

    def x_of(value: float) -> float:
        return left + (value - low_x) / ((high_x - low_x) or 1.0) * (width - left - right)

    def y_of(value: float) -> float:
        return top + (high - min(max(value, low), high)) / (high - low) * plot

    parts = [_frame(low_x, high_x, low, high, x_of, y_of, left, width - right, top + plot)]
    parts.append(f'<text class="axis" x="{(left + width) / 2:.0f}" y="{top + plot + 32}">{escape(x_title)}</text>')
    turned = f"translate(11 {top + plot / 2:.0f}) rotate(-90)"
    parts.append(f'<text class="axis" transform="{turned}">{escape(y_title)}</text>')
    for index, item in enumerate(series):
        colour = _GREY if item.grey else COLOURS[index % len(COLOURS)]
        style = f'stroke="{colour}" stroke-dasharray="{_DASHES[index % len(_DASHES)]}"'
        points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in zip(item.x, item.y))
        parts.append(f'<polyline class="series" points="{points}" {style}/>')
        x, y = left + (index % 2) * 210, top + plot + 48 + 18 * (index // 2)
        parts.append(f'<line class="series" x1="{x}" x2="{x + 26}" y1="{y}" y2="{y}" {style}/>')
        parts.append(f'<text class="legend" x="{x + 32}" y="{y + 4}">{escape(item.label)}</text>')
    return _svg(width, height, title, parts)


def reliability_plot(bins: Sequence[tuple[float, float, int]], *, title: str) -> str:
    """Return predicted against observed shares; a dot's area is its number of pairs, the diagonal is perfection.

    Args:
        bins: (mean prediction, observed share, number of pairs) each.
    """
    width, side, left, top = 340, 270, 52, 8

    def x_of(value: float) -> float:
        return left + value * side

    def y_of(value: float) -> float:
        return top + (1.0 - value) * side

    most = max((count for _, _, count in bins), default=1)
    parts = [_frame(0.0, 1.0, 0.0, 1.0, x_of, y_of, left, left + side, top + side)]
    parts.append(f'<line class="chance" x1="{x_of(0)}" y1="{y_of(0)}" x2="{x_of(1)}" y2="{y_of(1)}"/>')
    for predicted, observed, count in bins:
        radius = 4.0 + 8.0 * (count / most) ** 0.5
        parts.append(
            f'<circle cx="{x_of(predicted):.1f}" cy="{y_of(observed):.1f}" r="{radius:.1f}" fill="{COLOURS[0]}" '
            f'fill-opacity="0.75"><title>{count} pairs: {predicted:.2f} said, {observed:.2f} were</title></circle>'
        )
    parts.append(f'<text class="axis" x="{x_of(0.5)}" y="{top + side + 34}">probability that was said</text>')
    parts.append(f'<text class="axis" transform="translate(12 {y_of(0.5)}) rotate(-90)">share confirmed</text>')
    return _svg(width, top + side + 44, title, parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    low, high = min(low, 0.0), max(high, 0.0)
    spread = (high - low) or 1.0
    return (low - 0.04 * spread if low < 0 else low), high + 0.04 * spread


def _ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 9) for index in range(first, last + 1)]


def _axis(low: float, high: float, place: Place, top: int, bottom: int) -> str:
    marks = []
    for tick in _ticks(low, high):
        x = place(tick)
        marks.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        marks.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 14}">{tick:g}</text>')
    return "".join(marks)


def _frame(
    low_x: float, high_x: float, low: float, high: float, x_of: Place, y_of: Place, left: int, right: int, bottom: int
) -> str:
    marks = []
    for tick in _ticks(low, high):
        y = y_of(tick)
        marks.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        marks.append(f'<text class="tick side" x="{left - 6}" y="{y + 4:.1f}">{tick:g}</text>')
    for tick in _ticks(low_x, high_x):
        x = x_of(tick)
        marks.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 15}">{tick:g}</text>')
    return "".join(marks)


def _svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(parts)}</svg>'
    )
