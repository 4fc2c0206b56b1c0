"""Kept answers as records of the hook contract, with the host's annotations as they are today."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from pairx_hooks import Annotation, Candidate, Explanation, Failure, RankedQuery

from ...report import Note
from .annotations import annotations_of
from .records import explanation_of
from .shelf import Shelf

__all__ = ["annotations_by_uuid", "notes_of_answer", "ranked_query_of_answer", "told_explanation"]


def annotations_by_uuid(ibs: Any, uuids: Sequence[str]) -> dict[str, Annotation]:
    """Return annotations by UUID; one that was deleted since has its UUID alone, and the ranking stands as it was."""
    aids = dict(zip(uuids, ibs.get_annot_aids_from_uuid([uuid.UUID(text) for text in uuids])))
    there = [text for text in uuids if aids[text] is not None]
    found = dict(zip(there, annotations_of(ibs, [aids[text] for text in there])))
    shown = {key: dataclasses.replace(item, image=str(item.extra["file_name"])) for key, item in found.items()}
    return {text: shown.get(text) or Annotation(annotation_id=text) for text in uuids}


def ranked_query_of_answer(ibs: Any, answer: Mapping[str, Any]) -> RankedQuery:
    """Return a kept answer as a ranked query; its images are file names."""
    ranking = answer.get("ranking") or []
    query = str(answer["query_annot_uuid"])
    known = annotations_by_uuid(ibs, [query, *(str(row["dannot_uuid"]) for row in ranking)])
    return RankedQuery(
        query_id=query,
        query=known[query],
        candidates=tuple(
            Candidate(annotation=known[str(row["dannot_uuid"])], rank=row["rank"], score=row["score"])
            for row in ranking
        ),
        model_id=str((answer.get("model") or {}).get("model_id", "")),
        score_scale=str(answer.get("score_scale", "raw")),
        n_searched=answer.get("n_candidates"),
    )


def told_explanation(
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
        return explanation_of(shelf, ranked, candidate, record)
    failure = Failure(code="RECORD_MISSING", message="the explanation was made, and its record is not there any more")
    return Explanation.without_evidence(ranked, candidate, failure)


def notes_of_answer(answer: Mapping[str, Any]) -> list[Note]:
    """Return what a query's answer complains of."""
    notes = [answer["failure"]] if answer.get("failure") else []
    found = [*notes, *answer.get("warnings", ())]
    return [Note.from_json(item) for item in found]
