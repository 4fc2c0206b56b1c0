"""Renders the page and writes it, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pairx_hooks import Artifact

from ..atomic_files import replacing, unwritten
from ..errors import StoreError
from ..installed import plugin_version
from .drawing import COUNTS, USUAL_COUNT
from .messages import Messages
from .page_templates import page_templates
from .pictures import Embedded, PictureEmbedder
from .queries import ReportQuery, RunFacts
from .views import view_query
from .words import Words, short

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["OnQuery", "render_report", "write_report"]

OnQuery = Callable[[int, int], None]

_THUMB, _PHOTOGRAPH = 160, 800  # largest width in pixels


def write_report(
    path: str | os.PathLike[str],
    queries: Sequence[ReportQuery],
    *,
    run: RunFacts = RunFacts(),
    title: str | None = None,
    language: str = "en",
    pictures: PictureEmbedder = PictureEmbedder(),
    on_query: OnQuery | None = None,
) -> int:
    """Write a report as one HTML file that opens from disk, needs no script and makes no request.

    Args:
        path: of the file; its folder is made when needed, and a file that is there is replaced.
        queries: in the order in which they shall stand.
        run: what the head of the page says of the run.
        title: of the page; the language's own where it is None.
        language: one of :data:`pairx_plugin.report.messages.LANGUAGE_TAGS`.
        pictures: how pictures are shrunk, and where those lie that come by path.
        on_query: called with how many queries are written and how many there are.

    Returns:
        The size of the file in bytes.

    Raises:
        MissingExtra: Jinja2 cannot be imported.
        SettingsError: there is no such language.
        StoreError: the file cannot be written.
    """
    parts = render_report(queries, run=run, title=title, language=language, pictures=pictures, on_query=on_query)
    size = 0
    try:
        with replacing(path) as file:
            for part in parts:
                # A path may hold bytes that are no UTF-8; a question mark in a caption is better than no report.
                size += file.write(part.encode("utf-8", "replace"))
    except StoreError:
        raise
    except OSError as error:
        raise unwritten("the report", path, error) from error
    return size


def render_report(
    queries: Sequence[ReportQuery],
    *,
    run: RunFacts = RunFacts(),
    title: str | None = None,
    language: str = "en",
    pictures: PictureEmbedder = PictureEmbedder(),
    on_query: OnQuery | None = None,
) -> Iterator[str]:
    """Return the page piece by piece, so that a long report is never in memory as a whole; see :func:`write_report`."""
    say = Messages(language)
    words = Words(say)
    template = _environment(say, pictures).get_template("report.html.j2")
    views = [view_query(index, query, words) for index, query in enumerate(queries, start=1)]
    created = run.created or datetime.now(timezone.utc)

    def watched() -> Iterator[Any]:
        for done, view in enumerate(views, start=1):
            yield view
            if on_query is not None:
                on_query(done, len(views))

    return template.generate(
        language=say,
        title=title or say("TITLE"),
        run=run,
        run_facts=_run_facts(run, len(views), created, say),
        bands_rule=words.bands_rule(),
        views=views,
        picture_keys=sorted({shown.key for view in views for each in view.candidates for shown in each.pictures}),
        any_maps_only=any(layer.maps_only for view in views for each in view.candidates for layer in each.layers),
        watched=watched,
        counts=COUNTS,
        version=plugin_version(),
    )


def _environment(say: Messages, pictures: PictureEmbedder) -> Environment:
    environment = page_templates("pairx_plugin.report", purpose="a report")

    def embed(artifact: Artifact, width: int | None = None) -> Embedded | str:
        try:
            return pictures.embed(artifact, width)
        except StoreError as error:  # one lost picture must not cost the report
            return say("PICTURE_LOST", reason=error)

    widths = {"thumb_width": _THUMB, "photograph_width": _PHOTOGRAPH}
    environment.globals.update(say=say, embed=embed, usual_count=USUAL_COUNT, **widths)
    environment.tests["picture"] = lambda value: isinstance(value, Embedded)
    return environment


def _run_facts(run: RunFacts, n_queries: int, created: datetime, say: Messages) -> list[tuple[str, str]]:
    model = " ".join(filter(None, (run.model_id, short(run.model_fingerprint))))
    rows = [("QUERIES", str(n_queries)), ("MODEL", model)]
    if run.n_annotations is not None:
        rows.append(("N_ANNOTATIONS", str(run.n_annotations)))
    if run.rank_1 is not None:
        rows.append(("RANK_1", say("RANK_1_VALUE", share=run.rank_1, n=run.n_judged)))
    if run.mean_average_precision is not None:
        rows.append(("MEAN_AVERAGE_PRECISION", say("NUMBER", value=run.mean_average_precision)))
    rows.append(("CREATED", say("DATE", value=created.astimezone(timezone.utc))))
    return [(say(key), value) for key, value in rows if value]
