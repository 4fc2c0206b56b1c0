"""What the templates show, ready in words: they themselves only place it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from pairx_hooks import Artifact, Candidate, Explanation, Status

from .animal import with_inside
from .attributes import AttributesView, attributes_view
from .bands import Band
from .pictures import json_uri
from .picture_views import PictureView, default_key, file_name_of, picture_views
from .queries import ReportQuery
from .reading import LayerFacts, Link, RecordFacts, read_record
from .words import Words

__all__ = ["CandidateView", "LayerView", "LinkView", "QueryView", "layer_view", "view_query"]

_NO_RECORD = read_record({})


@dataclass(frozen=True, kw_only=True)
class LinkView:
    """One row of the table of links.

    Attributes:
        inside: whether it lies on the animal, in words; empty where nobody knows of any link.
        outside: which of its ends lie beside the animal.
    """

    rank: int
    place_0: str
    place_1: str
    share: str
    distance: str
    pose: str
    inside: str = ""
    outside: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, kw_only=True)
class LayerView:
    """One layer's band, sentences, figures and links."""

    layer_key: str
    title: str
    band: Band
    band_words: str
    sentences: list[str]
    figures: list[tuple[str, str]]
    links: list[LinkView]
    maps_only: bool = False
    band_means: str = ""
    calibration: str = ""


@dataclass(frozen=True, kw_only=True)
class CandidateView:
    """One candidate: explained, failed, or ranked only.

    Attributes:
        decision: what a reviewer said; empty where nobody was to decide.
        pictures: views of the pair in the order of their switches; `default_picture` is the key of the first shown.
        states: sentences that say why something is missing.
        reason: the failure's own message, which names values and the next step.
        attributes: named attributes; None where the explainer names none.
        record_uri: the record as a data URI, empty where there is none.
    """

    anchor: str
    rank: int
    title: str
    file_name: str
    score: str
    scale: str
    names: str
    status: str
    chip: Artifact | None
    decision: str = ""
    undecided: bool = False
    states: list[str] = field(default_factory=list)
    reason: str = ""
    doubts: list[str] = field(default_factory=list)
    pictures: list[PictureView] = field(default_factory=list)
    default_picture: str = ""
    layers: list[LayerView] = field(default_factory=list)
    attributes: AttributesView | None = None
    provenance: list[tuple[str, str]] = field(default_factory=list)
    record_uri: str = ""
    record_name: str = ""

    @property
    def explained(self) -> bool:
        """Whether there is evidence to look at."""
        return bool(self.layers or self.pictures)

    @property
    def ranked_only(self) -> bool:
        """Whether nothing was asked for, so that a line in a list will do."""
        return self.status == Status.SKIPPED.value


@dataclass(frozen=True, kw_only=True)
class QueryView:
    """One query and its candidates in order: sections, and lists of those that were ranked only."""

    anchor: str
    number: int
    title: str
    source: ReportQuery
    facts: list[tuple[str, str]]
    states: list[str]
    reason: str
    notes: list[str]
    groups: list[tuple[bool, list[CandidateView]]]

    @property
    def candidates(self) -> Iterator[CandidateView]:
        """All candidates, best first."""
        for _, group in self.groups:
            yield from group


def view_query(index: int, query: ReportQuery, words: Words) -> QueryView:
    """Put one query, the `index`-th of the report from 1, into words."""
    ranked, say = query.ranked_query, words.say
    explanations = {explanation.rank: explanation for explanation in query.explanations}
    views = [
        _candidate(f"q{index}-c{position}", query, candidate, explanations.get(candidate.rank), words)
        for position, candidate in enumerate(ranked.candidates, start=1)
    ]
    groups = [(alone, list(group)) for alone, group in groupby(views, key=lambda view: view.ranked_only)]
    states = [] if query.failure is None else [say("QUERY_FAILED"), words.failure(query.failure)]
    if not views and query.failure is None:
        states.append(say("NO_CANDIDATES"))
    return QueryView(
        anchor=f"q{index}",
        number=index,
        title=file_name_of(ranked.query.extra, ranked.query.image, ranked.query.annotation_id),
        source=query,
        facts=_query_facts(query, views, words),
        states=[state for state in states if state],
        reason=query.failure.message if query.failure else "",
        notes=words.notes(query.notes.get(ranked.query.annotation_id, ())),
        groups=groups,
    )


def _query_facts(query: ReportQuery, views: Sequence[CandidateView], words: Words) -> list[tuple[str, str]]:
    ranked, say = query.ranked_query, words.say
    explained = sum(view.explained for view in views)
    others = sum(view.ranked_only for view in views)
    rows = [
        ("QUERY_NAME", (ranked.query.name or "") if query.show_names else ""),
        ("SPECIES", ranked.query.species or ""),
        ("VIEWPOINT", ranked.query.viewpoint or ""),
        ("MODEL", ranked.model_id),
        ("SEARCHED", "" if ranked.n_searched is None else say("SEARCHED_VALUE", n=ranked.n_searched)),
        ("SCORES", say("SCORES_ORDER", scale=words.scale(ranked.score_scale)) if views else ""),
    ]
    if views:
        counts = say("CANDIDATES_VALUE", explained=explained, failed=len(views) - explained - others, others=others)
        rows.append(("CANDIDATES", counts))
    return [(say(key), value) for key, value in rows if value]


def _candidate(
    anchor: str, query: ReportQuery, candidate: Candidate, explanation: Explanation | None, words: Words
) -> CandidateView:
    annotation, ranked = candidate.annotation, query.ranked_query
    file_name = file_name_of(annotation.extra, annotation.image, annotation.annotation_id)
    common: dict[str, Any] = {
        "anchor": anchor,
        "rank": candidate.rank,
        "title": annotation.name or words.say("NAME_UNKNOWN"),
        "file_name": file_name,
        "score": words.score(candidate),
        "scale": words.scale(ranked.score_scale),
        "names": words.names(ranked, candidate) if query.show_names else "",
        "chip": query.chips.get(annotation.annotation_id),
    }
    if query.decisions is not None:
        decided = query.decisions.get(annotation.annotation_id)
        common.update(decision=words.decision(decided), undecided=decided is None)
    if explanation is None:
        return CandidateView(status=Status.SKIPPED.value, **common)
    own, others = query.notes.get(annotation.annotation_id, ()), query.notes.get(ranked.query.annotation_id, ())
    shown = bool(explanation.record or explanation.artifacts)
    facts = read_record(with_inside(explanation.record, ranked.query, annotation))
    pictures = picture_views(query, candidate, file_name, explanation.artifacts, facts, words)
    return CandidateView(
        status=explanation.status.value,
        states=_states(explanation, words),
        reason=explanation.failure.message if explanation.failure else "",
        doubts=words.doubts(facts if shown else _NO_RECORD, others if shown else (), own),
        pictures=pictures,
        default_picture=default_key(pictures),
        # A failed explanation's record says what was asked for; there is nothing to say of links.
        layers=[layer_view(candidate, facts, layer, words) for layer in facts.layers if not explanation.status.failed],
        attributes=attributes_view(explanation.record, words) if not explanation.status.failed else None,
        provenance=words.provenance(facts) if explanation.record else [],
        record_uri=json_uri(explanation.to_json()["record"]) if explanation.record else "",
        record_name=f"explanation-{anchor}.json",
        **common,
    )


def _states(explanation: Explanation, words: Words) -> list[str]:
    """Return why an explanation is missing or not whole; nothing where all is well."""
    status = explanation.status
    if status is Status.READY and not explanation.record and not explanation.artifacts:
        return [words.say("STATUS_EMPTY")]
    if status in (Status.READY, Status.SKIPPED):
        return []
    found = [words.say(f"STATUS_{status.value}")]
    if explanation.failure is not None:
        found.append(words.failure(explanation.failure))
        found.append(words.say("RETRYABLE") if explanation.failure.retryable else "")
    if not status.usable:
        found.append(words.say("KEEPS_PLACE"))
    return [state for state in found if state]


def layer_view(candidate: Candidate, facts: RecordFacts, layer: LayerFacts, words: Words) -> LayerView:
    """Put one layer of a candidate's record into words."""
    band = words.band(layer.figures)
    return LayerView(
        layer_key=layer.layer_key,
        title=words.say("SHOWS_MAPS" if layer.maps_only else "SHOWS"),
        band=band,
        band_words=words.say(f"BAND_{band.name}"),
        sentences=words.plausibility(layer),
        figures=[*words.figures(facts, layer), *_name_score(candidate, words)],
        links=[_link(link, words, known=layer.n_outside is not None) for link in layer.links],
        maps_only=layer.maps_only,
        band_means=words.band_means(layer.figures),
        calibration=words.calibration(layer.figures),
    )


def _link(link: Link, words: Words, *, known: bool) -> LinkView:
    pose = "POSE_UNKNOWN" if link.inlier is None else "POSE_YES" if link.inlier else "POSE_NO"
    return LinkView(
        rank=link.rank,
        place_0=words.exact_place(link.place_0),
        place_1=words.exact_place(link.place_1),
        share=words.number("SHARE", link.share),
        distance=words.number("DISTANCE", link.distance),
        pose=words.say(pose),
        inside=words.inside(link) if known else "",
        outside=(link.inside[0] is False, link.inside[1] is False),
    )


def _name_score(candidate: Candidate, words: Words) -> list[tuple[str, str]]:
    if candidate.name_score is None:
        return []
    return [(words.say("FIGURE_NAME_SCORE"), words.number("NUMBER", candidate.name_score))]
