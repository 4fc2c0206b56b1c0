"""Which pairs are evaluated: pairs of one individual, and pairs of two that the network finds as similar."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .separation import balanced_matches
from .subjects import Subject

__all__ = ["EvaluationPair", "PairChoice", "choose_pairs"]


@dataclass(frozen=True, kw_only=True)
class EvaluationPair:
    """One pair.

    Attributes:
        pair_id: unique, the same from run to run.
        query_id, candidate_id: of the subjects.
        individual: of the query, for whom confidence intervals are drawn.
        same: whether both show one individual.
        similarity: their cosine.
        stratum: species, and whether they are seen from one side.
        matched_with: id of the pair of the other kind that is as similar; empty where there is none.
        other_id: a subject of another individual and of the query's species, for pair sensitivity; empty if none.
    """

    pair_id: str
    query_id: str
    candidate_id: str
    individual: str
    same: bool
    similarity: float
    stratum: str
    matched_with: str = ""
    other_id: str = ""


@dataclass(frozen=True, kw_only=True)
class PairChoice:
    """The chosen pairs.

    Attributes:
        pairs: of one individual first.
        n_matched: how many of them have an equally similar pair of two individuals.
        n_unmatched: how many have none within the tolerance.
        tolerance: largest difference of the cosines of matched pairs.
        cosine_auc: how far the cosine alone still parts the matched pairs; 0.5 is not at all.
    """

    pairs: tuple[EvaluationPair, ...]
    n_matched: int
    n_unmatched: int
    tolerance: float
    cosine_auc: float | None


def choose_pairs(
    subjects: Sequence[Subject], embeddings: NDArray[np.float64], *, n_pairs: int, seed: int = 0
) -> PairChoice:
    """Choose `n_pairs` pairs of one individual, and for each of them an equally similar pair of two.

    Matched pairs come first, and individuals take turns, so that few pairs still show many animals.

    Args:
        embeddings: (n, D) of unit length, subject by subject.
        n_pairs: how many pairs of one individual; fewer where there are not so many.
        seed: the same subjects and seed give the same pairs.
    """
    rng = np.random.default_rng(seed)
    cosines = embeddings @ embeddings.T
    same, different = _listed(subjects, rng)
    positive, negative = ([float(cosines[pair]) for pair in part] for part in (same, different))
    strata = [[_stratum(subjects, pair) for pair in part] for part in (same, different)]
    matches, _, _ = balanced_matches(positive, negative, *strata, seed=seed)
    chosen = _in_turns([(subjects[pair[0]].name, index in matches) for index, pair in enumerate(same)], n_pairs)
    # once more among the chosen alone: only their own cosines must tell nothing
    kept, tolerance, area = balanced_matches(
        [positive[index] for index in chosen], negative, [strata[0][index] for index in chosen], strata[1], seed=seed
    )
    made: list[EvaluationPair] = []
    others: list[EvaluationPair] = []
    for place, index in enumerate(chosen):
        pair = _made(subjects, same[index], cosines, strata[0][index], seed)
        if place in kept:
            partner = _made(subjects, different[kept[place]], cosines, strata[1][kept[place]], seed)
            others.append(replace(partner, matched_with=pair.pair_id))
            pair = replace(pair, matched_with=partner.pair_id)
        made.append(pair)
    return PairChoice(
        pairs=(*made, *others),
        n_matched=len(kept),
        n_unmatched=len(chosen) - len(kept),
        tolerance=tolerance,
        cosine_auc=area,
    )


def _listed(
    subjects: Sequence[Subject], rng: np.random.Generator
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return all pairs within a species, of one individual and of two; which of a pair is the query is drawn."""
    same: list[tuple[int, int]] = []
    different: list[tuple[int, int]] = []
    for first, second in combinations(range(len(subjects)), 2):
        if subjects[first].species != subjects[second].species:
            continue
        pair = (first, second) if rng.random() < 0.5 else (second, first)
        (same if subjects[first].name == subjects[second].name else different).append(pair)
    return same, different


def _stratum(subjects: Sequence[Subject], pair: tuple[int, int]) -> str:
    first, second = (subjects[index] for index in pair)
    known = first.viewpoint and second.viewpoint
    side = ("same view" if first.viewpoint == second.viewpoint else "other view") if known else "view unknown"
    return f"{first.species}, {side}" if first.species else side


def _in_turns(listed: Sequence[tuple[str, bool]], n: int) -> list[int]:
    """Return up to `n` places: matched pairs before others, individuals taking turns within each."""
    turns: dict[tuple[bool, str], int] = {}
    keyed = []
    for index, (name, matched) in enumerate(listed):
        turn = turns[matched, name] = turns.get((matched, name), -1) + 1
        keyed.append((not matched, turn, index))
    return sorted(index for _, _, index in sorted(keyed)[:n])


def _made(
    subjects: Sequence[Subject],
    pair: tuple[int, int],
    cosines: NDArray[np.float64],
    stratum: str,
    seed: int,
) -> EvaluationPair:
    query, candidate = subjects[pair[0]], subjects[pair[1]]
    pair_id = f"{query.subject_id} | {candidate.subject_id}"
    # drawn for the pair alone, so that another number of pairs gives it no other stranger
    rng = np.random.default_rng(list(hashlib.sha256(f"{seed} {pair_id}".encode()).digest()))
    strangers = [
        item.subject_id
        for item in subjects
        if item.species == query.species and item.name not in (query.name, candidate.name)
    ]
    return EvaluationPair(
        pair_id=pair_id,
        query_id=query.subject_id,
        candidate_id=candidate.subject_id,
        individual=query.name,
        same=query.name == candidate.name,
        similarity=float(cosines[pair]),
        stratum=stratum,
        other_id=strangers[int(rng.integers(len(strangers)))] if strangers else "",
    )
