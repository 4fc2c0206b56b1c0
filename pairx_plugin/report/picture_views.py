"""The views of one pair: what each switch says, and the words for those who do not see the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pairx_hooks import Artifact, Candidate

from .drawing import PairDrawing, draw_pair
from .queries import ReportQuery
from .reading import Link, RecordFacts
from .words import Words

__all__ = ["PictureView", "default_key", "file_name_of", "picture_views"]

_VIEW_ORDER = ("clean", "matches", "heatmask", "both")


@dataclass(frozen=True, kw_only=True)
class PictureView:
    """One view of a pair: what its switch says, and the words for those who do not see it.

    Attributes:
        drawing: of the links, over the plain picture; where there is one, the view's own picture is not needed.
    """

    kind: str
    key: str
    label: str
    alt: str
    artifact: Artifact
    drawing: PairDrawing | None = None


def picture_views(
    query: ReportQuery,
    candidate: Candidate,
    file_name: str,
    artifacts: Sequence[Artifact],
    facts: RecordFacts,
    words: Words,
) -> list[PictureView]:
    """Return the views of a pair in the order of their switches; two of one version get switches of their own.

    A picture of lines is left out where the method draws none and there are colours to look at.
    """
    order = {version: place for place, version in enumerate(_VIEW_ORDER)}
    if facts.layers and facts.layers[0].maps_only and any(item.version == "heatmask" for item in artifacts):
        artifacts = [item for item in artifacts if item.version != "matches"]
    found: list[PictureView] = []
    counts: dict[str, int] = {}
    plain = [item for item in artifacts if item.version == "clean"]
    lines = [item for item in artifacts if item.version == "matches"]
    drawing = draw_pair(facts, plain[0]) if len(plain) == len(lines) == 1 else None
    for artifact in sorted(artifacts, key=lambda item: order.get(item.version, len(order))):
        kind = artifact.version if artifact.version in order else "other"
        label = words.say(f"VIEW_{kind.upper()}", version=artifact.version)
        counts[label] = number = counts.get(label, 0) + 1
        found.append(
            PictureView(
                kind=kind,
                key=f"v{len(found) + 1}",
                label=label if number == 1 else words.say("VIEW_AGAIN", view=label, number=number),
                alt=_alt(kind, artifact.version, query, candidate, file_name, facts, words),
                artifact=artifact,
                drawing=drawing if kind in ("clean", "matches") else None,
            )
        )
    return found


def _alt(
    kind: str,
    version: str,
    query: ReportQuery,
    candidate: Candidate,
    file_name: str,
    facts: RecordFacts,
    words: Words,
) -> str:
    asked = query.ranked_query.query
    values = {
        "rank": candidate.rank,
        "query": file_name_of(asked.extra, asked.image, asked.annotation_id),
        "candidate": file_name,
        "version": version,
    }
    layer = facts.layers[0] if facts.layers else None
    if kind == "heatmask" and layer is not None and not layer.n_coloured:
        return words.say("ALT_MAPS_SIGNED" if layer.signed else "ALT_MAPS", **values)
    if kind != "matches":
        return words.say(f"ALT_{kind.upper()}", **values)
    links: Sequence[Link] = layer.links if layer else ()
    if not links:
        return words.say("ALT_NO_MATCHES", **values)
    places = {"place_0": words.place(links[0].place_0), "place_1": words.place(links[0].place_1)}
    return words.say("ALT_MATCHES", n=len(links), **places, **values)


def default_key(pictures: Sequence[PictureView]) -> str:
    """Return the key of the view that is shown first: the lines, if there are any, else the colours."""
    lines = any(view.kind in ("matches", "both") for view in pictures)
    kinds = ("matches", "both", "clean") if lines else ("heatmask", "clean")
    preferred = [view.key for kind in kinds for view in pictures if view.kind == kind]
    return next(iter([*preferred, *(view.key for view in pictures)]), "")


def file_name_of(extra: Mapping[str, object], image: str, annotation_id: str) -> str:
    """Return what a person calls the photograph: the host's file name, or the end of its path."""
    named = extra.get("file_name")
    return str(named) if named else image.replace("\\", "/").rsplit("/", 1)[-1] or annotation_id
