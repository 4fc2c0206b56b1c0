"""Rankings that were made elsewhere, read from what Wildbook, Wildbook IA or a table of pairs says of them.

Nothing is looked up here: photographs are named as they were given, and whoever takes the task decides which it may
read. Source of the shapes: WildMeOrg/Wildbook, ``ia/Task.java`` and ``ia/MatchResult.java`` at 0f0ba66; wildbook-ia,
``wbia/web/apis_query.py`` at 81df56f.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pairx_hooks import Annotation, Candidate, RankedQuery

from ..errors import PairXError
from .failures import ApiFailure

__all__ = [
    "UNNAMED",
    "AnnotationDiffers",
    "ImportedTask",
    "from_cm_dict",
    "from_csv",
    "from_match_results",
    "from_pairs",
]

UNNAMED = "new"  # the id of a query that came without one; whoever keeps it gives it one
_DEEPEST, _MOST_QUERIES, _MOST_CANDIDATES = 20, 500, 500


class AnnotationDiffers(PairXError, ValueError):
    """A host knows an annotation of that id, and it is another."""

    code = "ANNOTATION_DIFFERS"


@dataclass(frozen=True, kw_only=True)
class ImportedTask:
    """Queries with their candidates, best first; photographs as they were named.

    Attributes:
        method: what ranked them, for people.
    """

    title: str
    queries: tuple[RankedQuery, ...]
    method: str = ""


def from_match_results(root: Mapping[str, Any], title: str) -> ImportedTask:
    """Read Wildbook's ``matchResultsRoot``: a tree of tasks, of which those with results are taken.

    Raises:
        ApiFailure: it is no such tree, or an annotation names no photograph.
    """
    queries, methods = [], []
    for number, node in enumerate(_nodes(root)):
        found = node["matchResults"]
        prospects = _mapping(found.get("prospects"), "matchResults.prospects")
        listed = prospects.get("annot") or prospects.get("indiv") or []
        field = f"matchResults[{number}]"
        rows = [
            (_wildbook_annotation(_mapping(row, field).get("annotation"), f"{field}.prospects"), row.get("score"))
            for row in _list(listed, field)
        ]
        query = _wildbook_annotation(found.get("queryAnnotation"), f"{field}.queryAnnotation")
        method = _mapping(node.get("method") or {}, f"{field}.method")
        methods.append(_text(method.get("name")) or _text(method.get("description")))
        searched = found.get("numberCandidates")
        queries.append(_ranked(_text(found.get("id")), query, rows, searched, field, _text(method.get("name"))))
    return _task(title, queries, next(filter(None, methods), ""))


def from_cm_dict(cm_dict: Mapping[str, Any], annotations: Mapping[str, Any], title: str) -> ImportedTask:
    """Read Wildbook IA's ``cm_dict``; what it says of annotations are ids, so `annotations` says what they are.

    Raises:
        ApiFailure: lists do not fit, or an annotation is not described.
    """
    queries = []
    for uuid, match in cm_dict.items():
        field = f"cm_dict[{uuid:.40}]"
        found = _mapping(match, field)
        ids, scores = (_list(found.get(name), field) for name in ("dannot_uuid_list", "annot_score_list"))
        if len(ids) != len(scores):
            raise _wrong(f"{len(ids)} candidates and {len(scores)} scores", field)
        rows = [(_described(_uuid(name), annotations, field), score) for name, score in zip(ids, scores)]
        rows.sort(key=lambda row: -(_score(row[1]) or 0.0))
        queries.append(_ranked("", _described(str(uuid), annotations, field), rows, None, field, ""))
    return _task(title, queries, "")


def from_pairs(rows: Sequence[Mapping[str, Any]], title: str) -> ImportedTask:
    """Read a table of pairs: ``query`` and ``candidate`` name photographs; ``score``, ``query_bbox`` (x y w h),
    ``query_theta``, ``query_name``, ``query_id`` and the same of the candidate are optional.

    Raises:
        ApiFailure: a row names no photograph, or a number is none.
    """
    by_query: dict[str, tuple[Annotation, list[tuple[Annotation, Any]]]] = {}
    for number, row in enumerate(rows):
        field = f"pairs[{number}]"
        query, candidate = (_row_annotation(_mapping(row, field), side, field) for side in ("query", "candidate"))
        by_query.setdefault(query.annotation_id, (query, []))[1].append((candidate, row.get("score")))
    queries = [_ranked("", query, found, None, "pairs", "") for query, found in by_query.values()]
    return _task(title, queries, "")


def from_csv(text: str, title: str) -> ImportedTask:
    """Read the same table as CSV with a first line of names."""
    try:
        return from_pairs(list(csv.DictReader(io.StringIO(text.lstrip("\ufeff")), strict=True)), title)
    except csv.Error as error:
        raise _wrong(f"the table is no CSV: {error}", "pairs") from error


def _nodes(root: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    node = _mapping(root, "matchResultsRoot")
    if depth > _DEEPEST:
        raise _wrong("the tree of tasks is too deep", "matchResultsRoot")
    if isinstance(node.get("matchResults"), Mapping):
        yield node
    for child in _list(node.get("children") or [], "children"):
        yield from _nodes(child, depth + 1)


def _task(title: str, queries: list[RankedQuery], method: str) -> ImportedTask:
    if not queries:
        raise _wrong("there is no query with results in it", "")
    if len(queries) > _MOST_QUERIES:
        raise _wrong(f"{len(queries)} queries; {_MOST_QUERIES} may be taken at once", "")
    return ImportedTask(title=title, queries=tuple(queries), method=method)


def _ranked(
    query_id: str,
    query: Annotation,
    rows: Sequence[tuple[Annotation, Any]],
    searched: Any,
    field: str,
    method: str,
) -> RankedQuery:
    if len(rows) > _MOST_CANDIDATES:
        raise _wrong(f"{len(rows)} candidates; {_MOST_CANDIDATES} may be taken with a query", field)
    unique = {annotation.annotation_id: (annotation, score) for annotation, score in reversed(rows)}
    ordered = [unique[key] for key in dict.fromkeys(annotation.annotation_id for annotation, _ in rows)]
    return RankedQuery(
        query_id=query_id or UNNAMED,
        query=query,
        candidates=tuple(
            Candidate(annotation=annotation, rank=rank, score=_score(score))
            for rank, (annotation, score) in enumerate(ordered, start=1)
        ),
        model_id=method,
        score_scale="raw",
        n_searched=searched if isinstance(searched, int) and searched >= 0 else None,
    )


def _wildbook_annotation(value: Any, field: str) -> Annotation:
    found = _mapping(value, field)
    asset = _mapping(found.get("asset") or {}, f"{field}.asset")
    individual = _mapping(found.get("individual") or {}, f"{field}.individual")
    encounter = _mapping(found.get("encounter") or {}, f"{field}.encounter")
    box = None if found.get("trivial") else tuple(found.get(name) for name in ("x", "y", "width", "height"))
    return _annotation(
        {
            "id": found.get("id"),
            "image": asset.get("url"),
            "bbox": None if box is None or None in box else box,
            "theta": found.get("theta"),
            "name": individual.get("displayName") or individual.get("id"),
            "species": encounter.get("taxonomy"),
            "extra": {"encounter_id": _text(encounter.get("id")) or None},
        },
        field,
    )


def _described(uuid: str, annotations: Mapping[str, Any], field: str) -> Annotation:
    if uuid not in annotations:
        raise _wrong(f"the annotation {uuid!r:.60} is not described in 'annotations'", field)
    return _annotation({**_mapping(annotations[uuid], f"annotations[{uuid:.40}]"), "id": uuid}, field)


def _row_annotation(row: Mapping[str, Any], side: str, field: str) -> Annotation:
    box = row.get(f"{side}_bbox") or None
    numbers = box.replace(",", " ").split() if isinstance(box, str) else box
    values = {"image": row.get(side), "bbox": numbers, "theta": row.get(f"{side}_theta") or 0.0}
    made_of = hashlib.sha256(json.dumps(values, default=str).encode("utf-8", "replace")).hexdigest()[:32]
    name = row.get(f"{side}_id") or f"pair-{made_of}"
    return _annotation({**values, "id": name, "name": row.get(f"{side}_name")}, f"{field}.{side}")


def _annotation(values: Mapping[str, Any], field: str) -> Annotation:
    image, name = _text(values.get("image")), _text(values.get("id"))
    if not image or not name:
        raise _wrong("an annotation needs an id and a photograph", field)
    box = values.get("bbox")
    try:
        bbox = None if box is None else tuple(float(part) for part in box)
        theta = float(values.get("theta") or 0.0)
    except (TypeError, ValueError, OverflowError) as error:
        raise _wrong(f"box or turn are no numbers: {error}", field) from error
    if (bbox is not None and len(bbox) != 4) or not all(math.isfinite(part) for part in (*(bbox or ()), theta)):
        raise _wrong("a box is four finite numbers, x y width height, and a turn is one", field)
    return Annotation(
        annotation_id=name,
        image=image,
        bbox=bbox,  # type: ignore[arg-type]
        theta=theta,
        name=_text(values.get("name")) or None,
        species=_text(values.get("species")) or None,
        extra={key: item for key, item in (values.get("extra") or {}).items() if item is not None}
        if isinstance(values.get("extra"), Mapping)
        else {},
    )


def _uuid(value: Any) -> str:
    """Wildbook IA writes a UUID as a text, or as a mapping of one key."""
    return _text(value.get("__UUID__")) if isinstance(value, Mapping) else _text(value)


def _score(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    text = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "")[:2000]


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(f"this must be an object, not {type(value).__name__}", field)
    return value


def _list(value: Any, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(f"this must be a list, not {type(value).__name__}", field)
    return value


def _wrong(message: str, field: str) -> ApiFailure:
    return ApiFailure(422, "BAD_REQUEST", f"{field or 'the task'}: {message}", field=field)
