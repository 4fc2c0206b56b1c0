"""Rows ``memory`` and ``kept``: the most memory of a ranking, and what stays beside the host's network."""

from __future__ import annotations

from typing import Any

from ..relevance.propagation import RelevanceModel, cosine_seeds
from .bench import Bench, Progress
from .child import in_a_process_of_its_own
from .rankings import K_COLORS, K_LINES, explain_candidates
from .results import OURS, PUBLIC, Row, Wanted
from .statistics import Spread, ratios
from .storages import live_storages, network_storages

__all__ = ["measure_kept", "measure_kept_tensors", "measure_memory"]

_GIGABYTE = 1e9


def measure_memory(bench: Bench, progress: Progress) -> Row:
    """Measure the most memory that processes of their own hold for a ranking."""
    plan, reference = bench.plan, bench.reference
    title = f"peak memory, ranking of {plan.n_candidates}"
    tasks = {OURS: "ranking-ours", **({PUBLIC: "ranking-public"} if reference is not None else {})}
    found: dict[str, dict[str, Any]] = {}
    progress(title, 0, len(tasks))
    for name, task in tasks.items():
        found[name] = in_a_process_of_its_own(task, plan, reference.folder if reference is not None else None)
        progress(title, len(found), len(tasks))
    failures = {name: result["failure"] for name, result in found.items() if "failure" in result}
    kind = "device" if bench.device.type == "cuda" else "resident"
    peaks = {name: result["peak"][kind] for name, result in found.items() if name not in failures}
    for name, peak in peaks.items():
        if peak is None:
            failures[name] = "the system does not say how much memory a process held"
    ours, public = (Spread.of(value for value in [peaks.get(name)] if value) for name in (OURS, PUBLIC))
    notes = [
        f"{K_LINES} lines, {K_COLORS} colours, in processes of their own; network, torch and pictures are included."
    ]
    if OURS not in failures and kind == "resident" and found[OURS]["after"]:
        before, after = found[OURS]["before"]["resident"] / _GIGABYTE, found[OURS]["after"] / _GIGABYTE
        notes.append(f"Ours began with {before:.2f} GB, and holds {after:.2f} GB afterwards, with all explanations.")
    if PUBLIC in found and PUBLIC not in failures:
        n = found[PUBLIC]["n"]
        notes.append(f"The public code, which holds one pair at a time, explained {n} pair{'s' if n > 1 else ''}.")
    return Row(
        key="memory",
        title=title,
        unit="bytes",
        ours=ours,
        public=public,
        ratio=ratios(public, ours),
        figure=ours.median if ours else None,
        wanted=Wanted(limit=3 * _GIGABYTE, aim=2 * _GIGABYTE, above=False) if bench.has_wanted_sizes else None,
        details={"processes": found, "kind": kind},
        notes=notes,
        failures=failures,
    )


def measure_kept(bench: Bench, progress: Progress) -> Row:
    """Measure what stays in memory between calls, in a process of its own."""
    title = "memory kept beside the network"
    progress(title, 0, 1)
    found = in_a_process_of_its_own("kept", bench.plan)
    progress(title, 1, 1)
    if "failure" in found:
        return Row(key="kept", title=title, unit="bytes", failures={OURS: found["failure"]})
    share = found["by_a_prepared_model"] / found["weights"]
    return Row(
        key="kept",
        title=title,
        unit="bytes",
        ours=Spread((float(found["by_a_prepared_model"]),)),
        figure=share,
        wanted=Wanted(limit=1.1 if found["merges"] else 0.1, above=False),
        details={**found, "share_of_weights": share},
        notes=[
            f"Tensors that are alive once all results are gone and that are not the network's: a prepared "
            f"RelevanceModel that the host keeps holds {share:.1%} of the weights' bytes; after an explain_ranking, "
            f"{found['after_a_call'] / found['weights']:.1%} stay. This network "
            + ("needs merged batch norms, a copy of its weights." if found["merges"] else "needs no merged copy.")
        ],
    )


def measure_kept_tensors(bench: Bench) -> dict[str, Any]:
    """Return bytes of tensors that stay; to be called in a process that does nothing else."""
    pictures = bench.pictures("kept", 0)
    own = network_storages(bench.model.network)
    before = sum(live_storages(own).values())
    explain_candidates(bench, bench.model, pictures.query(), pictures.candidates(2), K_COLORS)
    after_a_call = sum(live_storages(own).values()) - before
    relevance_model = RelevanceModel(bench.model.network)
    _use(relevance_model, bench)
    by_a_model = sum(live_storages(own).values()) - before
    merges = bool(relevance_model.program((1, 3, *bench.size)).canonization.merged)
    del relevance_model
    return {
        "weights": sum(own.values()),
        "merges": merges,
        "after_a_call": max(0, after_a_call),
        "by_a_prepared_model": max(0, by_a_model),
        "after_it_is_gone": max(0, sum(live_storages(own).values()) - before),
    }


def _use(relevance_model: RelevanceModel, bench: Bench) -> None:
    """Ask the model everything that it can be asked, and drop the answers."""
    pictures = bench.pictures("kept", 1)
    tensors = bench.tensors([pictures.query()], [pictures.candidate(0)])
    sides = [relevance_model.forward(tensor, [bench.layer], pixels=True) for tensor in tensors]
    cosine, seeds = cosine_seeds(sides[0].embedding, sides[1].embedding)
    sides[0].at_layers((seeds * cosine[:, None]).to(sides[0].embedding.dtype), [0], [bench.layer])
    height, width = sides[0].feature_maps[bench.layer].shape[2:]
    sides[0].at_pixels(bench.layer, [(int(height) // 2, int(width) // 2)], [0])
