"""Measurements that need a process of their own, run as ``python -m pairx_plugin.benchmark.child TASK``.

The plan comes in as JSON on the standard input, what was found goes out as JSON on the standard output. Imports are
made by task, since what a process has imported counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .plan import Plan

__all__ = ["in_a_process_of_its_own", "main"]

_MODULE = "pairx_plugin.benchmark.child"


def in_a_process_of_its_own(task: str, plan: Plan, public_code: Path | None = None) -> dict[str, Any]:
    """Run a task of this module in a new process.

    Returns:
        What the task found, or ``{"failure": sentence}``.
    """
    asked = json.dumps({"plan": plan.to_json(), "public_code": None if public_code is None else str(public_code)})
    command = [sys.executable, "-m", _MODULE, task]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    try:
        found: dict[str, Any] = json.loads(done.stdout)
        return found
    except json.JSONDecodeError:
        lines = done.stderr.strip().splitlines()
        how = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with {done.returncode}"
        return {"failure": f"the process that measured '{task}' {how}: {lines[-1] if lines else 'it said nothing'}"}


def main(arguments: list[str] | None = None) -> None:
    """Run the task that the command line names."""
    (task,) = sys.argv[1:] if arguments is None else arguments
    asked = json.load(sys.stdin)
    public_code = asked["public_code"]
    found = _TASKS[task](Plan.from_json(asked["plan"]), None if public_code is None else Path(public_code))
    json.dump(found, sys.stdout, allow_nan=False)


def _ranking_of_ours(plan: Plan, public_code: Path | None) -> dict[str, Any]:
    from .bench import Bench
    from .memory import resident
    from .rankings import K_COLORS, explain_candidates

    bench = _threaded(plan, Bench)
    pictures = bench.pictures("memory", 0)
    query, candidates = pictures.query(), pictures.candidates(plan.n_candidates)
    before = _memory(bench)
    explanations = explain_candidates(bench, bench.model, query, candidates, K_COLORS)
    return {"before": before, "peak": _memory(bench), "after": resident(), "n": len(explanations)}


def _ranking_of_the_public_code(plan: Plan, public_code: Path | None) -> dict[str, Any]:
    from .bench import Bench
    from .rankings import K_COLORS, public_pairs
    from .reference import find_public_code

    reference = find_public_code(public_code)
    bench = _threaded(plan, lambda plan: Bench(plan, reference, copies=False))
    pictures, n = bench.pictures("memory", 0), min(plan.reference_pairs, plan.n_candidates)
    query, candidates = pictures.query(), pictures.candidates(n)
    before = _memory(bench)
    public_pairs(bench, query, candidates, K_COLORS)
    return {"before": before, "peak": _memory(bench), "n": n}


def _kept(plan: Plan, public_code: Path | None) -> dict[str, Any]:
    from .bench import Bench
    from .keeping import measure_kept_tensors

    return measure_kept_tensors(_threaded(plan, Bench))


def _flag(plan: Plan, public_code: Path | None) -> dict[str, Any]:
    from .flag_off import run_hosts

    return run_hosts(plan.host_runs)


def _threaded(plan: Plan, make: Callable[[Plan], Any]) -> Any:
    import torch

    torch.set_num_threads(plan.threads)
    return make(plan)


def _memory(bench: Any) -> dict[str, int | None]:
    from .memory import peak_resident
    from .storages import device_peak

    return {"resident": peak_resident(), "device": device_peak(bench.device)}


_TASKS: Mapping[str, Callable[[Plan, Path | None], dict[str, Any]]] = {
    "ranking-ours": _ranking_of_ours,
    "ranking-public": _ranking_of_the_public_code,
    "kept": _kept,
    "flag": _flag,
}

if __name__ == "__main__":
    main()
