"""The evaluation itself: every variant on every pair, measure by measure, from where it was left."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MissingExtra, PairXError, SettingsError
from ..installed import plugin_version
from ..models.embedding import EmbeddingModel
from .bench import Bench
from .data_source import DataSource
from .measures import MEASURE_OF, OF_BOTH_KINDS
from .pair_choice import EvaluationPair, PairChoice, choose_pairs
from .plan import Plan
from .results_file import ResultsFile
from .sources import PER_INDIVIDUAL, load_subjects
from .subjects import SubjectSet
from .variants import Variant

__all__ = ["RESULTS", "EvaluationRun", "evaluate"]

logger = logging.getLogger(__name__)

RESULTS = "results.jsonl"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationRun:
    """All that was measured.

    Attributes:
        bench: still able to explain, for pictures of single pairs.
        results: by variant, pair and measure.
        failures: messages by variant, of pairs that an explainer could not explain.
    """

    bench: Bench
    plan: Plan
    variants: tuple[Variant, ...]
    subject_set: SubjectSet
    choice: PairChoice
    results: Mapping[tuple[str, str, str], Mapping[str, Any]]
    failures: Mapping[str, tuple[str, ...]]
    identity: Mapping[str, Any]
    seconds: float

    @property
    def pairs(self) -> tuple[EvaluationPair, ...]:
        """The pairs, those of one individual first."""
        return self.choice.pairs


def evaluate(
    model: EmbeddingModel,
    source: DataSource,
    variants: Sequence[Variant],
    plan: Plan,
    folder: Path,
    *,
    entries: Mapping[str, Any] | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> EvaluationRun:
    """Measure every variant on pairs of a data set, and append each result to ``results.jsonl``.

    Results that are in the folder already are not measured again. A pair that an explainer cannot explain is noted, and
    the others go on.

    Args:
        entries: registered explainers by id; those of all installed plugins where none are given.

    Raises:
        SettingsError: two variants of one name, no pairs, or the folder holds results of something else.
        MissingExtra: a package of the extra ``evaluate`` is missing.
    """
    started = time.perf_counter()
    names = [variant.name for variant in variants]
    if len(set(names)) < len(names) or not names:
        raise SettingsError(f"variants need names of their own, got: {', '.join(names) or 'none'}")
    limit = max(plan.n_photographs, PER_INDIVIDUAL * plan.n_pairs)
    subject_set = load_subjects(source, model, limit=limit, seed=plan.seed, progress=progress)
    bench = Bench(model, subject_set, plan, entries)
    choice = _choice(bench, progress)
    identity = _identity(model, subject_set, plan)
    file = ResultsFile(folder / RESULTS, identity)
    units = _units(variants, choice, plan)
    failures: dict[str, list[str]] = {}
    for number, (variant, pair, measure, key) in enumerate(units):
        progress(f"{variant.name}: {measure}", number, len(units))
        if number and units[number - 1][0] is not variant:
            bench.forget()
        if not file.done(key):
            file.add(key, _measured(bench, variant, pair, measure))
        if file.results[key].get("failed"):
            failures.setdefault(variant.name, []).append(str(file.results[key]["failed"]))
    progress("Done", len(units), len(units))
    return EvaluationRun(
        bench=bench,
        plan=plan,
        variants=tuple(variants),
        subject_set=subject_set,
        choice=choice,
        results={(v.name, p.pair_id, m): file.results[key] for v, p, m, key in units},
        failures={name: tuple(messages) for name, messages in failures.items()},
        identity=identity,
        seconds=time.perf_counter() - started,
    )


def _choice(bench: Bench, progress: Progress) -> PairChoice:
    subjects = bench.subject_set.subjects
    parts = []
    for start in range(0, len(subjects), 16):
        progress("Embedding photographs", start, len(subjects))
        parts.append(bench.embed([subject.chip.pixels for subject in subjects[start : start + 16]]))
    return choose_pairs(subjects, np.concatenate(parts), n_pairs=bench.plan.n_pairs, seed=bench.plan.seed)


def _units(
    variants: Sequence[Variant], choice: PairChoice, plan: Plan
) -> list[tuple[Variant, EvaluationPair, str, tuple[str, str, str]]]:
    units = []
    for variant in variants:
        # another variant of the same name is another variant: its settings are part of the key
        named = f"{variant.name} {_digest(variant)}"
        for pair in choice.pairs:
            for measure in plan.measures:
                if pair.same or measure in OF_BOTH_KINDS:
                    units.append((variant, pair, measure, (named, f"{pair.pair_id} | {pair.other_id}", measure)))
    return units


def _measured(bench: Bench, variant: Variant, pair: EvaluationPair, measure: str) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        found = dict(MEASURE_OF[measure](bench, variant, pair).to_json())
    except MissingExtra:
        raise
    except Exception as error:  # an explainer may raise anything, and the next pair may be all right
        logger.debug("%s could not be measured on %s", measure, pair.pair_id, exc_info=True)
        code = error.code if isinstance(error, PairXError) else "INTERNAL"
        words = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        found = {"figures": {}, "dropped": {}, "details": {}, "failed": f"[{code}] {words}"}
    return {**found, "seconds": round(time.perf_counter() - started, 4)}


def _identity(model: EmbeddingModel, subject_set: SubjectSet, plan: Plan) -> dict[str, Any]:
    return {
        "model": model.fingerprint(),
        "layer": model.default_layer,
        "input size": list(model.input_size),
        "data": subject_set.digest,
        "plan": plan.decides(),
        "version": plugin_version(),
    }


def _digest(variant: Variant) -> str:
    return hashlib.sha256(json.dumps(variant.to_json(), sort_keys=True).encode()).hexdigest()[:12]
