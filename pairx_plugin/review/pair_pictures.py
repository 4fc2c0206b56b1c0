"""One pair's pictures as other programs ask for them: JPEG in Wildbook IA's versions, and links as a drawing."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from pairx_hooks import Candidate, Explanation

from ..chips import Chip
from ..errors import EvidenceError
from ..pixels import Pixels
from ..rendering.palettes import SAFE
from ..rendering.style import Style
from ..rendering.panels import render
from ..report import encoded_picture
from ..report.drawing import draw_pair
from ..report.page_templates import page_templates
from ..report.pictures import PictureEmbedder
from ..report.reading import read_record
from .evidence_parts import EvidenceParts
from .failures import ApiFailure
from .redrawing import draw_again, layer_of
from .services import Services
from .source import ReviewQuery

__all__ = ["VERSIONS", "candidate_of", "chips_of", "find_query", "jpeg", "links_svg", "pair_picture"]

# Wildbook IA's versions and their other names
VERSIONS = {"clean": "clean", "matches": "matches", "match": "matches", "heatmask": "heatmask", "mask": "heatmask"}
_QUALITY = 92
_WIDEST = 4096


def find_query(services: Services, query_id: str, task_id: str | None = None) -> ReviewQuery:
    """Return a query by its id, or by its annotation's id where a task is named.

    Raises:
        ApiFailure: there is none.
    """
    tasks = services.source.tasks() if task_id is None else [services.task(task_id)]
    for task in tasks:
        for item in task.queries:
            name = item.query_id if task_id is None else item.annotation.annotation_id
            found = services.source.query(task.task_id, item.query_id) if name == query_id else None
            if found is not None:
                return found
    what = "match result" if task_id is None else f"query in the task {task_id!r:.80}"
    raise ApiFailure(404, "NOT_ASSOCIATED", f"there is no {what} {query_id!r:.80}")


def candidate_of(query: ReviewQuery, annotation_id: str) -> Candidate:
    """Return a query's candidate by its annotation's id.

    Raises:
        ApiFailure: there is none.
    """
    for item in query.ranked_query.candidates:
        if item.annotation.annotation_id == annotation_id:
            return item
    raise ApiFailure(404, "NOT_ASSOCIATED", f"the query has no candidate {annotation_id!r:.80}")


def chips_of(services: Services, query: ReviewQuery, candidate: Candidate) -> tuple[Chip, Chip]:
    """Return both chips of a pair as they are cut today.

    Raises:
        ChipError: one cannot be cut.
    """
    return services.source.chip(query.ranked_query.query), services.source.chip(candidate.annotation)


def pair_picture(services: Services, query: ReviewQuery, candidate: Candidate, view: str) -> Pixels:
    """Return what there is of a pair, newest first: just computed, or kept by the host.

    Raises:
        ApiFailure: there is no evidence of the pair to draw.
        ChipError: a chip cannot be cut.
    """
    chips = chips_of(services, query, candidate)
    # Lines that were found on other pixels must not lie on these.
    changed = services.source.changed(query, candidate) == "CHIP_CHANGED"
    reason: EvidenceError | None = None
    for parts in _evidence(services, query, candidate, anew=changed):
        try:
            return draw_again(view, *chips, parts)
        except EvidenceError as error:
            reason = error
    kept = None if changed else _kept_picture(services, query.explanations.get(candidate.rank), view)
    if kept is not None:
        return kept
    if view == "clean":
        return draw_again(view, *chips, None)
    if changed:
        raise ApiFailure(404, "STALE", "what was found before lies on other pixels; ask for the explanation anew")
    raise ApiFailure(404, "NOT_ASSOCIATED", str(reason or "the pair has not been explained; ask for that first"))


def links_svg(parts: EvidenceParts, query: Chip, candidate: Chip) -> str:
    """Return the links of an explanation over the plain pair, as a document of its own without script or address.

    Raises:
        EvidenceError: the record does not say where the links go.
    """
    plain = render("clean", query.pixels, candidate.pixels, layer_of(parts), Style())
    picture = encoded_picture(plain, "clean", max_side=_WIDEST)
    drawing = draw_pair(read_record(parts.record), picture)
    if drawing is None:
        raise EvidenceError("the record does not say where its links go on these chips")
    hues = ["#{:02x}{:02x}{:02x}".format(*hue) for hue in SAFE.hues]
    neutral = "#{:02x}{:02x}{:02x}".format(*SAFE.neutral)
    embedded = PictureEmbedder(max_width=_WIDEST).embed(picture)
    return page_templates("pairx_plugin.review", purpose="a drawing of links").get_template("links.svg.j2").render(
        drawing=drawing, picture=embedded, hues=hues, neutral=neutral
    )


def jpeg(pixels: Pixels) -> bytes:
    """Return a picture as JPEG."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def _evidence(
    services: Services, query: ReviewQuery, candidate: Candidate, *, anew: bool
) -> Iterator[EvidenceParts]:
    """Yield what was found of a pair, newest first; with `anew`, only what was asked for after its pixels changed."""
    for job in reversed(services.queue.jobs_of(query.ranked_query.query_id)):
        same = job.key.task_id == query.task_id and job.candidate.rank == candidate.rank
        if same and job.parts is not None and (job.key.made_anew or not anew):
            yield job.parts


def _kept_picture(services: Services, kept: Explanation | None, view: str) -> Pixels | None:
    """Return a picture that the host has kept, from below the folder of its pictures and from nowhere else."""
    for artifact in kept.artifacts if kept is not None and kept.status.usable else ():
        folder = services.source.pictures
        data = artifact.data
        if artifact.version != view:
            continue
        if not data and artifact.path and folder is not None:
            path = (Path(folder) / artifact.path).resolve()
            data = path.read_bytes() if path.is_relative_to(Path(folder).resolve()) and path.is_file() else b""
        if data:
            with Image.open(io.BytesIO(data), formats=("PNG", "WEBP", "JPEG")) as image:
                return np.array(image.convert("RGB"), np.uint8)
    return None
