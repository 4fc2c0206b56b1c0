"""Rows ``pair`` and ``batch``: pairs of images through the drop-in ``explain``, beside the public one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .. import compat
from .bench import Bench, Progress, Run, Side, Turns, take_turns
from .clock import median_stages
from .exactness import Found, compare
from .results import OURS, PUBLIC, Row, Wanted
from .stages import walk
from .statistics import Spread, ratios

__all__ = ["measure_batch", "measure_pair", "row_of"]

K_LINES, K_COLORS = 20, 10

Picture = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """B pairs of images: pictures and tensors of both sides."""

    pictures: tuple[list[Picture], list[Picture]]
    tensors: tuple[torch.Tensor, torch.Tensor]


def measure_pair(bench: Bench, progress: Progress) -> Row:
    """Measure one pair on a network that was never explained before."""
    title = f"one cold pair, {K_COLORS} colours"
    return _measure(bench, "pair", title, 1, Wanted(limit=7, aim=15, above=True), progress)


def measure_batch(bench: Bench, progress: Progress) -> Row:
    """Measure several pairs in one call."""
    count = bench.plan.pairs_at_once
    title = f"{count} pairs in one call, {K_COLORS} colours"
    wanted = Wanted(limit=10, aim=25, above=True) if bench.device.type == "cuda" else None
    return _measure(bench, "batch", title, count, wanted, progress)


def _measure(
    bench: Bench, key: str, title: str, count: int, wanted: Wanted | None, progress: Progress
) -> Row:
    sides: dict[str, Side] = {OURS: lambda turn: _ours(bench, _inputs(bench, key, turn, count))}
    if bench.reference is not None:
        sides[PUBLIC] = lambda turn: _public(bench, _inputs(bench, key, turn, count))
    turns = take_turns(sides, bench.plan.repeats, lambda done, total: progress(title, done, total))
    notes = [
        f"compat.explain, {K_LINES} lines, pictures drawn. Each turn takes other pictures and a copy of the network "
        f"that was never explained, and includes preparing it. The stages of ours are those of a walk of their own "
        f"through the engine's public parts."
    ]
    return row_of(bench, key, title, turns, wanted, notes)


def row_of(
    bench: Bench, key: str, title: str, turns: Turns, wanted: Wanted | None, notes: Sequence[str] = ()
) -> Row:
    """Put together a row in which two implementations did the same work."""
    ours, public = turns.runs[OURS], turns.runs.get(PUBLIC, [])
    spreads = Spread.of(run.seconds for run in ours), Spread.of(run.seconds for run in public)
    ratio = ratios(spreads[1], spreads[0])
    pairs = [pair for own, other in zip(ours, public) for pair in zip(own.found, other.found)]
    return Row(
        key=key,
        title=title,
        unit="s",
        ours=spreads[0],
        public=spreads[1],
        ratio=ratio,
        figure=ratio.median if ratio else None,
        wanted=wanted if bench.has_wanted_sizes else None,
        exactness=compare(pairs),
        stages={name: median_stages([run.stages for run in runs]) for name, runs in turns.runs.items() if runs},
        notes=notes,
        failures=turns.failures,
    )


def _inputs(bench: Bench, key: str, turn: int, count: int) -> _Pairs:
    sources = [bench.pictures(f"{key}/{index}", turn) for index in range(count)]
    queries = [source.query() for source in sources]
    candidates = [source.candidate(0) for source in sources]
    return _Pairs(pictures=(queries, candidates), tensors=bench.tensors(queries, candidates))


def _ours(bench: Bench, inputs: _Pairs) -> Run:
    network = bench.fresh_model().network
    arguments = (*inputs.tensors, *inputs.pictures, network, [bench.layer], K_LINES, K_COLORS)
    seconds, _ = bench.clock().time(lambda: compat.explain(*arguments))
    found: Sequence[Found] = ()
    if bench.reference is not None:
        result = compat.pairx(None, *inputs.tensors, network, [bench.layer], K_LINES, K_COLORS)[bench.layer]
        found = [Found.of_public(result, index) for index in range(len(inputs.pictures[0]))]
    stages = walk(
        bench.clock(),
        bench.fresh_model().network,
        bench.layer,
        inputs.tensors,
        inputs.pictures,
        k_lines=K_LINES,
        k_colors=K_COLORS,
    )
    return Run(seconds=seconds, stages=stages, found=found)


def _public(bench: Bench, inputs: _Pairs) -> Run:
    assert bench.reference is not None
    run = bench.reference.explain(
        inputs.tensors,
        inputs.pictures,
        bench.fresh_model().network,
        bench.layer,
        k_lines=K_LINES,
        k_colors=K_COLORS,
    )
    found = [Found.of_public(run.layer, index) for index in range(len(inputs.pictures[0]))]
    return Run(seconds=run.seconds, stages=run.stages, found=found)
