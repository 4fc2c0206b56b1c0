"""The host's rows as records of the hook contract: annotations, and a query with its ranked candidates."""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Sequence
from typing import Any

from pairx_hooks import Annotation, Candidate, RankedQuery

__all__ = [
    "annotation_of",
    "annotations_of",
    "best_candidates",
    "finite",
    "model_id_of",
    "ranked_query_of",
    "uuid_text",
]

_UNKNOWN_NAMES = ("", "____")


def uuid_text(ibs: Any, aid: int) -> str:
    """Return an annotation's UUID, the id that leaves the host."""
    return str(ibs.get_annot_uuids(aid))


def annotation_of(ibs: Any, aid: int) -> Annotation:
    """Return an annotation of the host as a record; see :func:`annotations_of`."""
    return annotations_of(ibs, [aid])[0]


def annotations_of(ibs: Any, aids: Sequence[int]) -> list[Annotation]:
    """Return annotations of the host as records; an id is the host's annotation UUID.

    `image` is an address that only the host understands, so that where the host cannot make a chip, nobody else cuts
    one that the network never saw. Where the photograph lies stands in `extra`. The host takes as long for one
    annotation as for twenty.
    """
    aids = [int(aid) for aid in aids]
    if not aids:
        return []
    columns = (
        ibs.get_annot_uuids(aids),
        ibs.get_annot_names(aids),
        ibs.get_annot_bboxes(aids),
        ibs.get_annot_thetas(aids),
        ibs.get_annot_species_texts(aids),
        ibs.get_annot_viewpoints(aids),
        ibs.get_annot_visual_uuids(aids),
        ibs.get_image_gnames(ibs.get_annot_gids(aids)),
        ibs.get_annot_image_paths(aids),
    )
    return [_annotation(aid, *row) for aid, row in zip(aids, zip(*columns))]


def _annotation(
    aid: int,
    annot_uuid: Any,
    name: Any,
    bbox: Any,
    theta: Any,
    species: Any,
    viewpoint: Any,
    visual_uuid: Any,
    file_name: Any,
    path: Any,
) -> Annotation:
    x, y, width, height = (float(value) for value in bbox)
    path = str(path or "")
    return Annotation(
        annotation_id=str(annot_uuid),
        image=f"wbia:annot/{annot_uuid}",
        bbox=(x, y, width, height),
        theta=float(theta or 0.0),
        name=None if name is None or str(name) in _UNKNOWN_NAMES else str(name),
        species=_text(species),
        viewpoint=_text(viewpoint),
        extra={
            "aid": aid,
            "visual_uuid": str(visual_uuid),
            "file_name": str(file_name or os.path.basename(path)),
            "path": path,
        },
    )


def best_candidates(daids: Sequence[int], scores: Sequence[float], k: int) -> list[int]:
    """Return the positions of the `k` best annotation scores, best first; equal ones in the host's order.

    >>> best_candidates([11, 12, 13], [0.2, float("nan"), 0.9], 2)
    [2, 0]
    """
    numbers = [index for index in range(len(daids)) if math.isfinite(float(scores[index]))]
    return sorted(numbers, key=lambda index: -float(scores[index]))[:k]


def ranked_query_of(
    ibs: Any, match: Any, positions: Sequence[int], *, model_id: str, score_scale: str
) -> tuple[RankedQuery, dict[str, int]]:
    """Return a match of the host as a ranked query, and the row ids by annotation id.

    Args:
        match: the host's ``AnnotMatch``.
        positions: places in its lists of the candidates that matter, best first.
    """
    names = dict(zip(_integers(match.unique_nids), match.name_score_list))
    found = [int(match.qaid), *(int(match.daid_list[position]) for position in positions)]
    query, *annotations = annotations_of(ibs, found)
    candidates = tuple(
        Candidate(
            annotation=annotation,
            rank=rank,
            score=finite(match.annot_score_list[position]),
            name_score=finite(names.get(int(match.dnid_list[position]))),
        )
        for rank, (position, annotation) in enumerate(zip(positions, annotations), start=1)
    )
    aids = {annotation.annotation_id: aid for annotation, aid in zip((query, *annotations), found)}
    ranked = RankedQuery(
        query_id=query.annotation_id,
        query=query,
        candidates=candidates,
        model_id=model_id,
        score_scale=score_scale,
        n_searched=len(match.daid_list),
    )
    return ranked, aids


def model_id_of(model_url: Any) -> str:
    """Return a short name of a model: the file's name in its address, without the ending.

    >>> model_id_of("https://example.org/models/miew_id.msv3.bin")
    'miew_id.msv3'
    """
    name = posixpath.basename(str(model_url or "").rstrip("/"))
    return posixpath.splitext(name)[0] or "MiewId"


def _integers(values: Sequence[Any]) -> list[int]:
    return [int(value) for value in values]


def finite(value: Any) -> float | None:
    """Return a score, None where there is none that is a number."""
    if value is None or not math.isfinite(float(value)):
        return None
    return float(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
