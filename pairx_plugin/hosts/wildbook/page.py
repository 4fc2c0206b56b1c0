"""The review page that the host serves: a query's candidates in rank order, with what is kept of each.

Written by :mod:`pairx_plugin.report`, without script and without requests of its own.
"""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Mapping
from typing import Any

from pairx_hooks import Annotation, Artifact, Candidate, Explanation, Failure, RankedQuery, Status

from ...boxes import box_to_image
from ...photographs import read_photograph
from ...report import Note, QueryPhotograph, ReportQuery, RunFacts, encoded_picture, render_report
from .annotations import annotation_of
from .freshness import staleness
from .records import explanation_of
from .seams import harmless
from .shelf import Shelf

__all__ = ["review_page"]

logger = logging.getLogger(__name__)

_CHIP_SIDE, _PHOTOGRAPH_SIDE = 220, 960
_CORNERS = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


def review_page(ibs: Any, shelf: Shelf, answer: Mapping[str, Any]) -> str:
    """Return the page of one query as HTML.

    Args:
        ibs: the host's controller.
        shelf: where the explanations lie.
        answer: what came of the query, as :meth:`.shelf.Shelf.read_query` returns it.
    """
    query = _annotation(ibs, str(answer["query_annot_uuid"]))
    ranked = _ranked_query(ibs, answer, query)
    explanations, notes = [], {}
    for candidate in ranked.candidates:
        record = shelf.read_pair(query.annotation_id, candidate.annotation.annotation_id)
        explanation = _explanation(shelf, ranked, candidate, record, answer)
        if explanation is not None:
            explanations.append(explanation)
        reason = staleness(record, ibs) if record is not None and explanation is not None else None
        if reason:
            note = Note(code="STALE", message=f"This explanation is stale: {reason}.")
            notes[candidate.annotation.annotation_id] = (note,)
    explained = {item.candidate_id for item in explanations if item.artifacts}
    rest = [item.annotation for item in ranked.candidates if item.annotation.annotation_id not in explained]
    report = ReportQuery(
        ranked_query=ranked,
        explanations=explanations,
        photograph=harmless("showing the query", _photograph, query),
        chips={item.annotation_id: chip for item in rest if (chip := harmless("showing a chip", _chip, ibs, item))},
        notes=notes,
        failure=None,
    )
    run = RunFacts(model_id=ranked.model_id, n_annotations=ranked.n_searched, notes=_notes(answer))
    return "".join(render_report([report], run=run))


def _ranked_query(ibs: Any, answer: Mapping[str, Any], query: Annotation) -> RankedQuery:
    ranking = answer.get("ranking") or []
    candidates = tuple(
        Candidate(annotation=_annotation(ibs, row["dannot_uuid"]), rank=row["rank"], score=row["score"])
        for row in ranking
    )
    return RankedQuery(
        query_id=query.annotation_id,
        query=query,
        candidates=candidates,
        model_id=str((answer.get("model") or {}).get("model_id", "")),
        score_scale=str(answer.get("score_scale", "raw")),
        n_searched=answer.get("n_candidates"),
    )


def _explanation(
    shelf: Shelf,
    ranked: RankedQuery,
    candidate: Candidate,
    record: Mapping[str, Any] | None,
    answer: Mapping[str, Any],
) -> Explanation | None:
    """Return what the query's answer says of a candidate; None where it was not asked for."""
    duuid = candidate.annotation.annotation_id
    told = next((item for item in answer.get("explanations", ()) if item["dannot_uuid"] == duuid), None)
    if told is None:
        return None
    if record is not None:
        found: Explanation = explanation_of(shelf, ranked, candidate, record)
        return found
    failure = Failure(code="RECORD_MISSING", message="the explanation was made, and its record is not there any more")
    return Explanation(
        query_id=ranked.query_id, candidate_id=duuid, rank=candidate.rank, status=Status.FAILED, failure=failure
    )


def _notes(answer: Mapping[str, Any]) -> list[Note]:
    notes = [answer["failure"]] if answer.get("failure") else []
    found = [*notes, *answer.get("warnings", ())]
    return [Note(code=str(item.get("code", "")), message=str(item.get("message", ""))) for item in found]


def _annotation(ibs: Any, annot_uuid: str) -> Annotation:
    aid = ibs.get_annot_aids_from_uuid(uuid.UUID(annot_uuid))
    if aid is None:  # deleted since; the ranking stands as it was
        return Annotation(annotation_id=annot_uuid)
    annotation = annotation_of(ibs, aid)
    return dataclasses.replace(annotation, image=str(annotation.extra["file_name"]))


def _photograph(annotation: Annotation) -> QueryPhotograph | None:
    if not annotation.extra.get("path"):
        return None
    photograph = read_photograph(annotation.extra["path"])
    width, height = photograph.size
    outline: tuple[tuple[float, float], ...] = ()
    if annotation.bbox is not None:
        a, b, c, d, e, f = box_to_image(annotation.bbox, annotation.theta or 0.0)
        outline = tuple(((a * x + b * y + c) / width, (d * x + e * y + f) / height) for x, y in _CORNERS)
    picture = encoded_picture(photograph.pixels, "query", max_side=_PHOTOGRAPH_SIDE)
    return QueryPhotograph(picture=picture, outline=outline)


def _chip(ibs: Any, annotation: Annotation) -> Artifact | None:
    aid = annotation.extra.get("aid")
    if aid is None:
        return None
    return encoded_picture(ibs.get_annot_chips(aid)[..., ::-1].copy(), "chip", max_side=_CHIP_SIDE)
