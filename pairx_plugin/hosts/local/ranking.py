"""Ranks a gallery by cosine similarity, as MiewID does.

The score of a candidate is (2 - distance) / 2 with distance = 1 - cosine, so it lies in 0..1; the score of an
individual is the best of its annotations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pairx_hooks import Annotation, Candidate, RankedQuery

from ...errors import HostError
from .annotations import Problem
from .gallery import Gallery

__all__ = ["Ranking", "rank_gallery"]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One query's candidates, and how well they fit what is known.

    Attributes:
        ranked_query: the best candidates, as the hooks get them.
        correct_rank: rank of the first annotation of the query's individual among all that were searched;
            None where the name is not known or nobody else has it.
        average_precision: over all that were searched, in 0..1; None as above.
        warnings: about the query, and about candidates by their id.
        chip_sha256: digests of the chips of query and candidates, by annotation id.
    """

    ranked_query: RankedQuery
    correct_rank: int | None = None
    average_precision: float | None = None
    warnings: tuple[Problem, ...] = ()
    candidate_warnings: dict[str, tuple[Problem, ...]] = field(default_factory=dict)
    chip_sha256: dict[str, str] = field(default_factory=dict)


def rank_gallery(
    gallery: Gallery, query: Annotation, *, query_id: str, model_id: str, n_candidates: int
) -> Ranking:
    """Rank everything in `gallery` but the query itself.

    Only the query's own annotation is excluded. Another annotation with the same pixels is a candidate like
    every other and carries a warning, as does a candidate that shows what a better ranked one shows.

    Raises:
        HostError: the query is not in the gallery; the message repeats why.
    """
    ids = [annotation.annotation_id for annotation in gallery.annotations]
    if query.annotation_id not in ids:
        problem = gallery.left_out.get(query.annotation_id)
        raise HostError(
            problem.message if problem else f"the query '{query.annotation_id}' is not in the gallery"
        )
    own = ids.index(query.annotation_id)
    order, scores = _order(gallery.embeddings, own)
    names = [annotation.name for annotation in gallery.annotations]
    candidates = _candidates(gallery, order, scores, n_candidates)
    correct_rank, precision = _figures(names[own], [names[index] for index in order])
    return Ranking(
        ranked_query=RankedQuery(
            query_id=query_id,
            query=query,
            candidates=candidates,
            model_id=model_id,
            score_scale="half_cosine",
            n_searched=len(order),
        ),
        correct_rank=correct_rank,
        average_precision=precision,
        warnings=(*gallery.doubts.get(query.annotation_id, ()), *([] if order else [_alone(query)])),
        candidate_warnings=_doubts(gallery, own, order[:n_candidates]),
        chip_sha256={ids[index]: gallery.chip_sha256[index] for index in [own, *order[:n_candidates]]},
    )


def _candidates(
    gallery: Gallery, order: Sequence[int], scores: NDArray[np.float64], n: int
) -> tuple[Candidate, ...]:
    name_scores: dict[str | None, float | None] = {None: None}
    for index in order:  # best first, so that the first of a name is its maximum
        name_scores.setdefault(gallery.annotations[index].name, float(scores[index]))
    return tuple(
        Candidate(
            annotation=gallery.annotations[index],
            rank=rank,
            score=float(scores[index]),
            name_score=name_scores[gallery.annotations[index].name],
        )
        for rank, index in enumerate(order[:n], start=1)
    )


def _order(embeddings: NDArray[np.float64], own: int) -> tuple[list[int], NDArray[np.float64]]:
    # einsum, not a matrix product: a row's cosine must not depend on how many rows there are.
    cosine = np.clip(np.einsum("nd,d->n", embeddings, embeddings[own]), -1.0, 1.0)
    scores = (2.0 - (1.0 - cosine)) / 2.0
    order = np.argsort(-scores, kind="stable")  # equal scores keep the order of the file
    return [int(index) for index in order if index != own], scores


def _figures(name: str | None, ranked: Sequence[str | None]) -> tuple[int | None, float | None]:
    """Return the rank of the first correct annotation and the average precision over all correct ones."""
    correct = [rank for rank, other in enumerate(ranked, start=1) if name is not None and other == name]
    if not correct:
        return None, None
    return correct[0], sum(found / rank for found, rank in enumerate(correct, start=1)) / len(correct)


def _alone(query: Annotation) -> Problem:
    return Problem(
        code="NO_CANDIDATES",
        where=query.annotation_id,
        message=f"query '{query.annotation_id}' has no candidates: no other annotation could be embedded",
    )


def _doubts(gallery: Gallery, own: int, order: Sequence[int]) -> dict[str, tuple[Problem, ...]]:
    """Collect the chips' doubts, and say which candidates show what the query or a better candidate shows."""
    query = gallery.annotations[own]
    seen = {gallery.chip_sha256[own]: f"the query '{query.annotation_id}'"}
    found: dict[str, tuple[Problem, ...]] = {}
    for index in order:
        annotation, digest = gallery.annotations[index], gallery.chip_sha256[index]
        key = annotation.annotation_id
        doubts = list(gallery.doubts.get(key, ()))
        if digest in seen:
            message = f"candidate '{key}' shows exactly the pixels of {seen[digest]}; a match says nothing"
            doubts.append(Problem(code="SAME_PIXELS", where=key, message=message))
        elif annotation.image == query.image:
            message = (
                f"candidate '{key}' was cut from the same photograph as the query; the boxes may overlap"
            )
            doubts.append(Problem(code="SAME_PHOTOGRAPH", where=key, message=message))
        if doubts:
            found[key] = tuple(doubts)
        seen.setdefault(digest, f"candidate '{key}'")
    return found
