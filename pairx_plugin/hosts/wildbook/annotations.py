"""The host's rows as records of the hook contract: annotations, and a query with its ranked candidates."""

from __future__ import annotations

import math
import os
import posixpath
import uuid
from collections.abc import Sequence
from typing import Any

from pairx_hooks import Annotation, Candidate, RankedQuery

__all__ = ["annotation_of", "best_candidates", "model_id_of", "ranked_query_of", "uuid_text"]

_UNKNOWN_NAMES = ("", "____")


def uuid_text(ibs: Any, aid: int) -> str:
    """Return an annotation's UUID, the id that leaves the host."""
    return str(ibs.get_annot_uuids(aid))


def annotation_of(ibs: Any, aid: int) -> Annotation:
    """Return an annotation of the host as a record; its id is the host's annotation UUID.

    `image` is an address that only the host understands, so that where the host cannot make a chip, nobody else cuts
    one that the network never saw. Where the photograph lies stands in `extra`.
    """
    name = ibs.get_annot_names(aid)
    x, y, width, height = (float(value) for value in ibs.get_annot_bboxes(aid))
    path = str(ibs.get_annot_image_paths(aid) or "")
    return Annotation(
        annotation_id=uuid_text(ibs, aid),
        image=f"wbia:annot/{uuid_text(ibs, aid)}",
        bbox=(x, y, width, height),
        theta=float(ibs.get_annot_thetas(aid) or 0.0),
        name=None if name is None or str(name) in _UNKNOWN_NAMES else str(name),
        species=_text(ibs.get_annot_species_texts(aid)),
        viewpoint=_text(ibs.get_annot_viewpoints(aid)),
        extra={
            "aid": int(aid),
            "visual_uuid": str(ibs.get_annot_visual_uuids(aid)),
            "file_name": str(ibs.get_image_gnames(ibs.get_annot_gids(aid)) or os.path.basename(path)),
            "path": path,
        },
    )


def best_candidates(daids: Sequence[int], scores: Sequence[float], k: int) -> list[int]:
    """Return the positions of the `k` best annotation scores, best first; equal ones in the host's order.

    >>> best_candidates([11, 12, 13], [0.2, float("nan"), 0.9], 2)
    [2, 0]
    """
    finite = [index for index in range(len(daids)) if math.isfinite(float(scores[index]))]
    return sorted(finite, key=lambda index: -float(scores[index]))[:k]


def ranked_query_of(
    ibs: Any, match: Any, positions: Sequence[int], *, model_id: str, score_scale: str
) -> tuple[RankedQuery, dict[str, int]]:
    """Return a match of the host as a ranked query, and the row ids by annotation id.

    Args:
        match: the host's ``AnnotMatch``.
        positions: places in its lists of the candidates that matter, best first.
    """
    names = dict(zip(_integers(match.unique_nids), match.name_score_list))
    candidates = []
    aids = {}
    for rank, position in enumerate(positions, start=1):
        aid = int(match.daid_list[position])
        annotation = annotation_of(ibs, aid)
        aids[annotation.annotation_id] = aid
        candidates.append(
            Candidate(
                annotation=annotation,
                rank=rank,
                score=_finite(match.annot_score_list[position]),
                name_score=_finite(names.get(int(match.dnid_list[position]))),
            )
        )
    query = annotation_of(ibs, int(match.qaid))
    aids[query.annotation_id] = int(match.qaid)
    ranked = RankedQuery(
        query_id=query.annotation_id,
        query=query,
        candidates=tuple(candidates),
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


def checked_uuid(text: Any) -> str:
    """Return a UUID in its usual spelling.

    Raises:
        ValueError: it is none.
    """
    return str(uuid.UUID(str(text)))


def _integers(values: Sequence[Any]) -> list[int]:
    return [int(value) for value in values]


def _finite(value: Any) -> float | None:
    if value is None or not math.isfinite(float(value)):
        return None
    return float(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
