"""Rows ``ranking`` and ``lines``: one query and its candidates, beside as many single pairs of the public code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pairx_hooks import Status

from ..errors import PropagationError
from ..explanation import PairExplanation
from ..models.embedding import EmbeddingModel
from ..pipeline import explain_ranking
from .bench import Bench, Progress, Run, Side, take_turns
from .exactness import Found
from .pairs import row_of
from .results import OURS, PUBLIC, Row, Wanted

__all__ = ["K_COLORS", "K_LINES", "explain_candidates", "measure_lines", "measure_ranking", "public_pairs"]

K_LINES, K_COLORS = 20, 5


def measure_ranking(bench: Bench, progress: Progress) -> Row:
    """Measure a ranking with lines and colours."""
    return _measure(bench, "ranking", K_COLORS, Wanted(limit=10, aim=20, above=True), progress)


def measure_lines(bench: Bench, progress: Progress) -> Row:
    """Measure a ranking with lines only."""
    return _measure(bench, "lines", 0, Wanted(limit=6, aim=12, above=True), progress)


def explain_candidates(
    bench: Bench, model: EmbeddingModel, query: Any, candidates: Sequence[Any], k_colors: int, **more: Any
) -> list[PairExplanation]:
    """Explain a ranking, and accept no explanation that failed: what failed was quick, and would flatter us.

    Raises:
        PropagationError: a candidate could not be explained; says how many and why.
    """
    explanations = explain_ranking(
        model, query, candidates, layer=bench.layer, k_lines=K_LINES, k_colors=k_colors, **more
    )
    failed = [explanation for explanation in explanations if explanation.status is not Status.READY]
    if failed:
        failure = failed[0].failure
        reason = f"[{failure.code}] {failure.message}" if failure else f"status {failed[0].status.value}"
        raise PropagationError(f"{len(failed)} of {len(explanations)} candidates could not be explained: {reason}")
    return explanations


def public_pairs(bench: Bench, query: Any, candidates: Sequence[Any], k_colors: int) -> Run:
    """Let the public code explain pairs one after the other on one network, as its users do.

    Returns:
        Seconds without drawing, stages with it, evidence by pair.
    """
    assert bench.reference is not None
    network = bench.fresh_model().network
    runs = [
        bench.reference.explain(
            bench.tensors([query], [candidate]),
            ([query], [candidate]),
            network,
            bench.layer,
            k_lines=K_LINES,
            k_colors=k_colors,
        )
        for candidate in candidates
    ]
    return Run(
        seconds=sum(run.evidence_seconds for run in runs),
        stages=_summed([run.stages for run in runs]),
        found=[Found.of_public(run.layer, 0) for run in runs],
    )


def _measure(bench: Bench, key: str, k_colors: int, wanted: Wanted, progress: Progress) -> Row:
    plan = bench.plan
    title = f"ranking of {plan.n_candidates}, {f'{k_colors} colours' if k_colors else 'lines only'}"
    sides: dict[str, Side] = {OURS: lambda turn: _ours(bench, key, turn, k_colors)}
    notes = [f"explain_ranking, {K_LINES} lines. Times are without drawing; the stages show it apart."]
    notes.append(
        "Our preparing includes the query's forward pass; our matching also tests which matches fit one pose, which "
        "the public code does not do."
    )
    if bench.reference is not None:
        sides[PUBLIC] = lambda turn: _public(bench, key, turn, k_colors)
        if _n_pairs(bench) < plan.n_candidates:
            notes.append(
                f"In each turn the public code explained {_n_pairs(bench)} of the {plan.n_candidates} pairs; its time "
                f"is scaled to all of them."
            )
    turns = take_turns(sides, plan.repeats, lambda done, total: progress(title, done, total))
    return row_of(bench, key, title, turns, wanted, notes)


def _n_pairs(bench: Bench) -> int:
    return min(bench.plan.reference_pairs, bench.plan.n_candidates)


def _ours(bench: Bench, key: str, turn: int, k_colors: int) -> Run:
    pictures, n = bench.pictures(key, turn), bench.plan.n_candidates
    query, candidates, model = pictures.query(), pictures.candidates(n), bench.fresh_model()
    clock = bench.clock()
    seconds, explanations = clock.time(lambda: explain_candidates(bench, model, query, candidates, k_colors))
    stages = _summed([explanation.provenance["seconds"] for explanation in explanations])
    stages = {"preparing": stages.pop("prepare", 0.0), **stages}
    stages["other"] = max(0.0, seconds - sum(stages.values()))
    drawn = explanations[: _n_pairs(bench)]
    with clock.stage("rendering"):
        for explanation in drawn:
            explanation.picture("both")
    stages["rendering"] = clock.seconds["rendering"] * n / len(drawn)
    return Run(seconds=seconds, stages=stages, found=[Found.of_layer(item.layers[0]) for item in drawn])


def _public(bench: Bench, key: str, turn: int, k_colors: int) -> Run:
    pictures, n = bench.pictures(key, turn), _n_pairs(bench)
    run = public_pairs(bench, pictures.query(), pictures.candidates(n), k_colors)
    scale = bench.plan.n_candidates / n
    stages = {name: seconds * scale for name, seconds in run.stages.items()}
    return Run(seconds=run.seconds * scale, stages=stages, found=run.found)


def _summed(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for run in runs for name in run)
    return {name: sum(run.get(name, 0.0) for run in runs) for name in names}
