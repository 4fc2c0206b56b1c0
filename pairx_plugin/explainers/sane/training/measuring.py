"""How good a head is on photographs that it was not trained on: of single ones, and of pairs.

The figures are those of the evaluation protocol's section on attributes: mean average precision, calibration error,
agreement of what is named with the truth, coverage and accuracy of abstention, and the similarity that is lost when the
place of what is named is hidden, beside a random attribute's place and a random place.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....errors import SettingsError
from ....models.checks import check_evaluation_mode
from ....models.embedding import EmbeddingModel
from ....models.optional import import_optional
from ...base import Stop
from ..attribute_head import EVIDENCE_GROUPS, AttributeHead, Reading
from ..forward import Forward
from ..options import SaneOptions
from ..pictures import Picture
from ..ranking import name_attributes
from .labels import LabelledPhotograph
from .removal import region_of, removal_effects
from .resampling import interval
from .validation_pairs import COARSE

__all__ = ["measure_head"]

Advance = Callable[[str, int, int], None]
_BINS = 10
_LEVELS = (0.0, 0.25, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Seen:
    """One photograph with everything that is known and read of it."""

    photograph: LabelledPhotograph
    picture: Picture
    reading: Reading


def measure_head(
    model: EmbeddingModel,
    head: AttributeHead,
    photographs: Sequence[LabelledPhotograph],
    *,
    options: SaneOptions = COARSE,
    other_pairs: int = 100,
    seed: int = 0,
    advance: Advance = lambda stage, done, total: None,
) -> dict[str, Any]:
    """Measure a head.

    Args:
        model: the network that the head belongs to.
        photographs: of individuals that the head was not trained on.
        options: of the saliency that overlaps are measured with.
        other_pairs: how many pairs of two individuals of one species are drawn beside all pairs of one.
        seed: of what is drawn.
        advance: told of the stages ``photographs`` and ``pairs``.

    Returns:
        JSON data: ``labels`` by name, ``map``, ``map_evidence`` and ``calibration_error``, and ``same`` and ``other``
        pairs, see :func:`_pair_figures`.

    Raises:
        SettingsError: the head belongs to another network.
        MissingExtra: scikit-learn cannot be imported.
    """
    check_evaluation_mode(model.network)
    if head.model_sha256 != model.fingerprint():
        raise SettingsError("the attribute head was fitted on another network; give that one, or train another head")
    forward = Forward(model.network, head.layer, options.batch)
    seen = list(_seen(model, forward, head, photographs, options.settled(model.device.type), seed, advance))
    figures = _label_figures(head, seen)
    groups = _pairs(seen, other_pairs, seed)
    total, done = sum(map(len, groups.values())), 0
    for kind, pairs in groups.items():
        outcomes: list[dict[str, Any]] = []
        for first, second in pairs:
            outcomes.append(_outcome(forward, head, seen[first], seen[second], seed + len(outcomes)))
            done += 1
            advance("pairs", done, total)
        figures[kind] = _pair_figures(outcomes, seed)
    return figures


def _seen(
    model: EmbeddingModel,
    forward: Forward,
    head: AttributeHead,
    photographs: Sequence[LabelledPhotograph],
    options: SaneOptions,
    seed: int,
    advance: Advance,
) -> Iterator[_Seen]:
    for done, photograph in enumerate(photographs, start=1):
        picture = Picture(model, forward, photograph.chip(), options, seed, features=True)
        picture.masked(Stop())
        assert picture.features is not None
        yield _Seen(photograph=photograph, picture=picture, reading=head.read(picture.features))
        advance("photographs", done, len(photographs))


def _label_figures(head: AttributeHead, seen: Sequence[_Seen]) -> dict[str, Any]:
    metrics = import_optional("sklearn.metrics", extra="attributes", purpose="measuring an attribute head")
    labels: dict[str, Any] = {}
    errors = []
    for index, label in enumerate(head.labels):
        known = [(item, item.photograph.labels.get((label.group, label.name))) for item in seen]
        truth = np.array([value for _, value in known if value is not None], bool)
        chance = np.array([item.reading.probability[index] for item, value in known if value is not None])
        facts: dict[str, Any] = {"n": len(truth), "prevalence": float(truth.mean()) if len(truth) else None}
        if 0 < truth.sum() < len(truth):
            facts["average_precision"] = float(metrics.average_precision_score(truth, chance))
            facts["calibration_error"] = _calibration_error(chance, truth)
            errors.append(facts["calibration_error"])
        labels[f"{label.group}:{label.name}"] = facts
    measured = {name: facts for name, facts in labels.items() if "average_precision" in facts}
    evidence = {name: facts for name, facts in measured.items() if name.partition(":")[0] in EVIDENCE_GROUPS}
    return {
        "n_photographs": len(seen),
        "n_individuals": len({item.photograph.individual for item in seen}),
        "labels": labels,
        **{
            f"{what}{suffix}": _mean([facts[key] for facts in part.values()])
            for suffix, part in (("", measured), ("_evidence", evidence))
            for what, key in (("map", "average_precision"), ("prevalence", "prevalence"))
        },
        "calibration_error": _mean(errors),
    }


def _calibration_error(chance: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Return the expected calibration error over ten bins of equal width."""
    bins = np.minimum((chance * _BINS).astype(int), _BINS - 1)
    gaps = [
        (bins == which).mean() * abs(float(chance[bins == which].mean()) - float(truth[bins == which].mean()))
        for which in range(_BINS)
        if (bins == which).any()
    ]
    return float(sum(gaps))


def _pairs(seen: Sequence[_Seen], other_pairs: int, seed: int) -> dict[str, list[tuple[int, int]]]:
    """Return all pairs of one individual, and some of two individuals of one species."""
    same, other = [], []
    for first, second in itertools.combinations(range(len(seen)), 2):
        ends = seen[first].photograph, seen[second].photograph
        if ends[0].individual == ends[1].individual:
            same.append((first, second))
        elif ends[0].species == ends[1].species:
            other.append((first, second))
    drawn = np.random.default_rng(seed).permutation(len(other))[:other_pairs]
    return {"same": same, "other": [other[int(index)] for index in sorted(drawn)]}


def _outcome(forward: Forward, head: AttributeHead, first: _Seen, second: _Seen, seed: int) -> dict[str, Any]:
    """Explain one pair, and say how right that was and what hiding it does."""
    stop = Stop()
    maps = (
        first.picture.saliency(second.picture.embedding, stop),
        second.picture.saliency(first.picture.embedding, stop),
    )
    named = name_attributes(head, (first.reading, second.reading), maps)
    best = next((item for item in named.attributes if item.kind == "same"), None)
    nameable = [
        (index, label)
        for index, label in enumerate(head.labels)
        if label.group in EVIDENCE_GROUPS and label.threshold is not None
    ]
    both = np.minimum(first.reading.probability, second.reading.probability)
    truths = [_is_true((label.group, label.name), first, second) for _, label in nameable]
    outcome: dict[str, Any] = {
        "individual": first.photograph.individual,
        "similarity": float((first.picture.embedding * second.picture.embedding).sum()),
        "named": best.name if best else None,
        "true": _is_true((best.group, best.name), first, second) if best else None,
        "chance": _mean([float(truth) for truth in truths if truth is not None]),
    }
    if nameable:
        surest, label = max(nameable, key=lambda item: float(both[item[0]]))
        outcome["surest"] = float(both[surest])
        outcome["surest_true"] = _is_true((label.group, label.name), first, second)
    if best is not None and best.map_0 is not None and best.map_1 is not None:
        own = [index for index, label in nameable if label.name == best.name][0]
        outcome["lost"] = _lost(forward, head, (first, second), own, seed)
    return outcome


def _lost(
    forward: Forward, head: AttributeHead, sides: tuple[_Seen, _Seen], own: int, seed: int
) -> Mapping[str, float]:
    """Return the similarity lost with the place of an attribute, of a random other one, and of random cells."""
    rng = np.random.default_rng(seed)
    others = [index for index in range(len(head.labels)) if index != own] or [own]
    another = int(rng.choice(others))
    drops = []
    for side, other in (sides, sides[::-1]):
        maps = side.reading.maps
        noise = rng.random(maps[own].shape).astype(np.float32)
        regions = [region_of(maps[own]), region_of(maps[another]), region_of(noise)]
        drops.append(removal_effects(forward, side.picture, other.picture.embedding, regions))
    own_drop, another_drop, noise_drop = np.mean(drops, axis=0)
    return {"attribute": float(own_drop), "random_attribute": float(another_drop), "random_cells": float(noise_drop)}


def _is_true(name: tuple[str, str], first: _Seen, second: _Seen) -> bool | None:
    values = [side.photograph.labels.get(name) for side in (first, second)]
    return None if None in values else all(values)


def _pair_figures(outcomes: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """Return coverage, agreement and lost similarity, each with a 95 % interval over individuals.

    ``coverage``: share of pairs for which something is named. ``agreement``: share of those in which both photographs
    truly show it; ``chance``: the same for an attribute drawn at random. ``curve``: if the surest attribute were named
    from a confidence on, the share of pairs and how often it is true. ``lost``: of similarity, by what is hidden.
    """
    by_individual: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for outcome in outcomes:
        by_individual[outcome["individual"]].append(outcome)

    def figure(values: Callable[[Mapping[str, Any]], float | None]) -> dict[str, Any] | None:
        groups = [[v for v in map(values, own) if v is not None] for own in by_individual.values()]
        return interval([group for group in groups if group], seed)

    return {
        "n_pairs": len(outcomes),
        "coverage": figure(lambda o: float(o["named"] is not None)),
        "agreement": figure(lambda o: None if o["true"] is None else float(o["true"])),
        "chance": figure(lambda o: o["chance"]),
        "unknown": sum(o["named"] is not None and o["true"] is None for o in outcomes),
        "curve": [_point(outcomes, level) for level in _LEVELS],
        "lost": {
            name: figure(lambda o, name=name: o["lost"][name] if "lost" in o else None)  # type: ignore[misc]
            for name in ("attribute", "random_attribute", "random_cells")
        },
    }


def _point(outcomes: Sequence[Mapping[str, Any]], level: float) -> dict[str, Any]:
    known = [o for o in outcomes if o.get("surest_true") is not None]
    sure = [o for o in known if o["surest"] >= level]
    accuracy = _mean([float(o["surest_true"]) for o in sure])
    return {"confidence": level, "coverage": len(sure) / len(known) if known else None, "accuracy": accuracy}


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
