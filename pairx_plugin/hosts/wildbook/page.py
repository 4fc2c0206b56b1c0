"""The plain page that the host serves: a query's candidates in rank order, with what is kept of each.

Written by :mod:`pairx_plugin.report`, without script and without requests of its own; :mod:`.review_mount` serves the
page on which a reviewer decides.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from pairx_hooks import Annotation, Artifact

from ...boxes import box_to_image
from ...photographs import read_photograph
from ...report import Note, QueryPhotograph, ReportQuery, RunFacts, encoded_picture, render_report
from .freshness import staleness
from .reading_back import notes_of_answer, ranked_query_of_answer, told_explanation
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
    ranked = ranked_query_of_answer(ibs, answer)
    query = ranked.query
    explanations, notes = [], {}
    for candidate in ranked.candidates:
        record = shelf.read_pair(query.annotation_id, candidate.annotation.annotation_id)
        explanation = told_explanation(shelf, ranked, candidate, record, answer)
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
    run = RunFacts(model_id=ranked.model_id, n_annotations=ranked.n_searched, notes=notes_of_answer(answer))
    return "".join(render_report([report], run=run))


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
