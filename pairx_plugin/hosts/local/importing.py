"""Takes rankings that were made elsewhere into the review database, as runs like its own."""

from __future__ import annotations

import dataclasses
import hashlib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pairx_hooks import Annotation, RankedQuery

from ...atomic_files import write_whole
from ...errors import ChipForbidden, StoreError
from ...photographs import read_photograph
from ...review.imported import UNNAMED, AnnotationDiffers, ImportedTask
from ..photograph_gate import PhotographGate
from .database import ReviewDatabase
from .ranking import Ranking
from .reading_back import annotation_of
from .schema import MatchRun

__all__ = ["import_task"]

_FOLDER = "imported"


def import_task(
    database: ReviewDatabase, task: ImportedTask, gate: PhotographGate | None, folder: Path, newest: MatchRun
) -> str:
    """Write a task as a finished run, and return the run's id.

    Photographs are read through the gate once and kept in a folder of ours, so that what is reviewed stays what was
    imported. The network that explains is the newest run's, whatever ranked.

    Args:
        gate: to the photographs that a task may name; None where none may be.
        folder: of the host's pictures.
        newest: whose network explains.

    Raises:
        ChipError: a photograph may not be read, or is none.
        AnnotationDiffers: an annotation of that id is there already, and is another.
        StoreError: the photographs cannot be written.
    """
    if gate is None:
        raise ChipForbidden("this server was started without leave to read photographs of imported tasks")
    named = {item.annotation_id: item for query in task.queries for item in _annotations(query)}
    for annotation in named.values():
        gate.check(annotation.image)  # all of them before the first is read
    kept = {name: _kept(item, gate, folder / _FOLDER) for name, item in named.items()}
    _refuse_others(database, kept)
    run_id = database.begin_run(
        config={**_config(newest), "annotations": task.title, "imported": True},
        model_id=task.method or newest.model_id,
        model_fingerprint=newest.model_fingerprint,
        explain=False,
        n_annotations=len(kept),
    )
    database.add_annotations(list(kept.values()))
    for position, query in enumerate(task.queries):
        free = query.query_id != UNNAMED and not database.has_query(query.query_id)
        ranked = _with_kept(query, query.query_id if free else uuid.uuid4().hex, kept)
        database.save_ranking(run_id, position, Ranking(ranked_query=ranked))
    database.finish_run(run_id, rank_1=None, mean_average_precision=None)
    return run_id


def _with_kept(query: RankedQuery, query_id: str, kept: Mapping[str, Annotation]) -> RankedQuery:
    """Return a query under an id of its own, with the photographs that are kept and a score for every candidate."""
    return dataclasses.replace(
        query,
        query_id=query_id,
        query=kept[query.query.annotation_id],
        candidates=tuple(
            dataclasses.replace(item, annotation=kept[item.annotation.annotation_id], score=item.score or 0.0)
            for item in query.candidates
        ),
    )


def _annotations(query: RankedQuery) -> list[Annotation]:
    return [query.query, *(item.annotation for item in query.candidates)]


def _config(newest: MatchRun) -> Mapping[str, Any]:
    """What of the newest run's configuration tells how chips are cut and explained."""
    return {name: newest.config[name] for name in ("model", "output", "chip_side", "pairx") if name in newest.config}


def _kept(annotation: Annotation, gate: PhotographGate, folder: Path) -> Annotation:
    """Return an annotation whose photograph is a file of ours, named by its content."""
    content, label = gate.content(annotation.image), gate.label(annotation.image)
    read_photograph(content, uri=label, max_pixels=gate.rules.max_pixels)  # what is none is told now
    path = folder / f"{hashlib.sha256(content).hexdigest()}.img"
    if not path.exists():
        try:
            write_whole(path, content)
        except OSError as error:
            raise StoreError(f"the photograph {label!r:.80} cannot be kept: {error.strerror or error}") from error
    name = Path(label.replace("\\", "/")).name if not label.startswith("data:") else ""
    extra = {"file_name": name or annotation.annotation_id, **annotation.extra}
    return dataclasses.replace(annotation, image=str(path.absolute()), extra=extra)


def _refuse_others(database: ReviewDatabase, kept: Mapping[str, Annotation]) -> None:
    """What is in the database already stays as it is: a decision on it was a decision on that."""
    for there in map(annotation_of, database.annotations(list(kept))):
        new = kept[there.annotation_id]
        if (there.image, there.bbox, there.theta or 0.0) != (new.image, new.bbox, new.theta or 0.0):
            raise AnnotationDiffers(
                f"the annotation '{there.annotation_id}' is in the database already, with another photograph, box or "
                "turn; give this one another id"
            )
