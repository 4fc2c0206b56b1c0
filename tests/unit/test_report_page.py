"""The report as a page: one file, no request, no script, and every candidate in its place."""

from __future__ import annotations

import base64
import io
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pairx_hooks import Annotation, Artifact, Candidate, Explanation, Failure, RankedQuery, Status
from pairx_plugin.errors import MissingExtra, SettingsError, StoreError
from pairx_plugin.report import Note, QueryPhotograph, ReportQuery, RunFacts, write_report

HOSTILE = '<script>alert("x")</script>"\'><img src=x onerror=alert(1)>&amp;{{ 7*7 }}'
VOID = {"meta", "link", "img", "input", "br", "hr"}
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class Page(HTMLParser):
    """Reads a page into a list of (tag, attributes, path), and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.words: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append((self._open[-1], " ".join(data.split())))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [found for name, found, _ in self.elements if name == tag and attributes.items() <= found.items()]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [found for _, found, _ in self.elements if name in (found.get("class") or "").split()]

    @property
    def prose(self) -> str:
        return " ".join(words for tag, words in self.words if tag != "style")


def picture(version: str = "matches", colour: str = "teal", size: tuple[int, int] = (60, 30)) -> Artifact:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return Artifact(version=version, media_type="image/png", width=size[0], height=size[1], data=stream.getvalue())


def record(**changes: Any) -> dict[str, Any]:
    link = {"kpts0": [0.1, 0.2], "kpts1": [0.9, 0.5], "relevance_share": 0.25, "distance": 1.5}
    return {
        "schema": "pairx.explanation/1",
        "id": "sha256:" + "ab" * 32,
        "created": "2026-05-02T07:10:00Z",
        "algorithm": "pairx",
        "model_id": "miewid",
        "model_sha256": "sha256:" + "cd" * 32,
        "similarity": 0.5,
        "params": {"k_lines": 20, "mode": "reference", "layer_key": "blocks.3"},
        "layer_key": "blocks.3",
        "num_matches": 40,
        "matches": [
            {**link, "rank": 1, "inlier": True},
            {**link, "rank": 2, "inlier": False, "kpts0": [0.5, 0.5], "relevance_share": 0.125},
            {**link, "rank": 3, "inlier": None, "kpts1": [0.5, 0.99], "distance": None},
        ],
        "plausibility": {
            "n_inliers": 12,
            "n_chance": 6,
            "n_tested": 20,
            "irm_rob": 0.5,
            "match_coverage": 0.25,
            "reasons": [{"code": "POSE_CONSISTENT", "values": {"n": 12, "of": 20, "by_chance": 6}}],
        },
        "warnings": [{"code": "FEW_MATCHES", "message": "few", "values": {"layer": "blocks.3", "matches": 3}}],
        "images": [
            {"role": "query", "warnings": [{"code": "BBOX_OVERHANGS", "message": "Part of it is black."}]},
            {"role": "candidate", "warnings": []},
        ],
        "provenance": {"service": "pairx-plugin", "version": "0.1.0", "torch": "2.0", "seconds": {"forward": 1.5}},
        **changes,
    }


def explained(rank: int, **changes: Any) -> Explanation:
    views = tuple(picture(version) for version in ("matches", "heatmask", "clean"))
    given = {
        "query_id": "q",
        "candidate_id": f"c{rank}",
        "rank": rank,
        "status": Status.READY,
        "explainer": "pairx",
        "record": record(),
        "artifacts": views,
    }
    return Explanation(**{**given, **changes})


def failed(rank: int, code: str = "IMAGE_NOT_FOUND", status: Status = Status.FAILED, **more: Any) -> Explanation:
    failure = Failure(code=code, message="no photograph at 'x.jpg'", **more)
    return explained(rank, status=status, failure=failure, record={}, artifacts=())


def ranked(n: int = 6, **changes: Any) -> RankedQuery:
    candidates = [
        Candidate(
            annotation=Annotation(annotation_id=f"c{rank}", image=f"photos/c{rank}.jpg", name=f"animal {rank % 3}"),
            rank=rank,
            score=0.99 - rank / 100,
        )
        for rank in range(1, n + 1)
    ]
    given = {
        "query_id": "q",
        "query": Annotation(annotation_id="q", image="photos/query.jpg", name="animal 1"),
        "candidates": tuple(candidates),
        "model_id": "miewid",
        "score_scale": "half_cosine",
        "n_searched": 99,
    }
    return RankedQuery(**{**given, **changes})


def full_query(**changes: Any) -> ReportQuery:
    partial = explained(
        3, status=Status.PARTIAL, artifacts=(), failure=Failure(code="PICTURES_FAILED", message="no room")
    )
    given = {
        "ranked_query": ranked(),
        "explanations": [explained(1), failed(2, retryable=True), partial, explained(5, status=Status.SKIPPED)],
        "photograph": QueryPhotograph(picture=picture("photograph"), outline=((0.1, 0.1), (0.9, 0.1), (0.9, 0.8))),
        "chips": {"c2": picture("chip", "red"), "c4": picture("chip", "blue")},
    }
    return ReportQuery(**{**given, **changes})


def written(tmp_path: Path, *queries: ReportQuery, **options: Any) -> Page:
    path = tmp_path / "report.html"
    write_report(path, queries, **options)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture()
def page(tmp_path: Path) -> Page:
    return written(tmp_path, full_query(), full_query(explanations=()))


def test_page_makes_no_request_and_holds_no_script(page: Page) -> None:
    tags = Counter(tag for tag, _, _ in page.elements)
    assert not {"script", "iframe", "object", "embed", "form", "base", "audio", "video", "source"} & set(tags)
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"] or ""
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    for tag, attributes, _ in page.elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, name, value)
    styles = "".join(re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL))
    assert "url(" not in styles and "@import" not in styles and "http" not in styles


def test_page_is_sound_html_with_landmarks_and_headings_in_steps(page: Page) -> None:
    assert page.text.lstrip().startswith("<!DOCTYPE html>")
    assert page.all("html")[0]["lang"] == "en"
    ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in page.elements:
        for name in ("for", "aria-labelledby"):
            assert attributes.get(name) is None or attributes[name] in ids
        target = attributes.get("href") or ""
        assert not target.startswith("#") or target[1:] in ids
    levels = [HEADINGS.index(tag) + 1 for tag, _, _ in page.elements if tag in HEADINGS]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in zip(levels, levels[1:]))
    assert [len(page.all(tag)) for tag in ("main", "nav")] == [1, 1]
    assert page.elements[-1][0] in ("p", "footer") and all(image["alt"] is not None for image in page.all("img"))


def test_views_are_switched_by_labelled_radio_buttons_lines_first(page: Page) -> None:
    radios = page.all("input", type="radio")
    groups = Counter(radio["name"] for radio in radios)
    assert set(groups.values()) == {3} and len(groups) == 1
    labels = {label["for"] for label in page.all("label")}
    assert {radio["id"] for radio in radios} <= labels
    chosen = [radio["id"] for radio in radios if "checked" in radio]
    assert chosen == ["q1-c1-v2"]
    assert ("label", "Lines") in page.words
    panes = [found["class"] for found in page.of_class("pane")]
    assert panes == ["pane pane-v1 kind-clean", "pane pane-v2 kind-matches", "pane pane-v3 kind-heatmask"]
    for key in ("v1", "v2", "v3"):
        assert f".pick-{key}:checked ~ .panes .pane-{key} {{ visibility: visible; }}" in page.text
    # the sibling combinator needs the radio buttons before the panes, in one parent
    assert page.text.index('class="pick pick-v3"') < page.text.index('class="panes"')
    parents = {
        path
        for tag, found, path in page.elements
        if "pick" in (found.get("class") or "") or found.get("class") == "panes"
    }
    assert len(parents) == 1


def test_every_candidate_is_there_in_order_whatever_became_of_it(page: Page) -> None:
    anchors = [found["id"] for _, found, _ in page.elements if re.fullmatch(r"q1-c\d", found.get("id") or "")]
    assert anchors == [f"q1-c{rank}" for rank in range(1, 7)]
    shown = [rank for rank in range(1, 7) if page.all("section", id=f"q1-c{rank}")]
    assert shown == [1, 2, 3]
    assert [item["value"] for item in page.all("li") if (item.get("id") or "").startswith("q1-")] == ["4", "5", "6"]
    assert [item["value"] for item in page.all("li") if (item.get("id") or "").startswith("q2-")] == list("123456")
    assert "0.970" in page.prose and "Ranked, not explained: 3 candidates" in page.prose


def test_failed_candidate_keeps_rank_and_score_and_says_why(tmp_path: Path) -> None:
    query = full_query(ranked_query=ranked(1), explanations=[failed(1, retryable=True)], chips={})
    prose = written(tmp_path, query).prose
    for words in (
        "Rank 1",
        "0.980",
        "Not explained: something went wrong.",
        "The photograph is not where the host says.",
        "no photograph at 'x.jpg'",
        "Trying again may help.",
        "The candidate keeps its rank and its score.",
    ):
        assert words in prose


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status.QUEUED, "still waiting"),
        (Status.RUNNING, "still being worked on"),
        (Status.STALE, "another model, chip or setting"),
        (Status.UNSUPPORTED, "is not supported"),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
def test_unfinished_states_are_said_in_words(tmp_path: Path, status: Status, words: str) -> None:
    explanation = failed(1, code="ODD_CODE", status=status)
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[explanation]))
    assert words in page.prose
    assert page.all("section", id="q1-c1")


def test_names_and_notes_are_escaped(tmp_path: Path) -> None:
    animal = Annotation(annotation_id=HOSTILE, image=f"a/{HOSTILE}", name=HOSTILE, extra={"file_name": HOSTILE})
    hostile = record(
        id=HOSTILE,
        algorithm=HOSTILE,
        layer_key=HOSTILE,
        warnings=[{"code": "ODD", "message": HOSTILE}],
        plausibility={"reasons": [{"code": HOSTILE, "values": {}}]},
    )
    query = ReportQuery(
        ranked_query=RankedQuery(
            query_id="q", query=animal, candidates=(Candidate(annotation=animal, rank=1),), model_id=HOSTILE
        ),
        explanations=[explained(1, record=hostile, artifacts=(picture(HOSTILE), picture("clean")))],
        notes={HOSTILE: [Note(code="ODD", message=HOSTILE)]},
    )
    page = written(
        tmp_path, query, title=HOSTILE, run=RunFacts(model_id=HOSTILE, notes=[Note(code="X", message=HOSTILE)])
    )
    assert page.all("script") == [] and "<script" not in page.text
    assert all("onerror" not in found for _, found, _ in page.elements)
    assert page.prose.count('<script>alert("x")</script>') > 8
    assert "{{ 7*7 }}" in page.prose


def test_surrogates_and_controls_in_names_do_not_stop_the_report(tmp_path: Path) -> None:
    odd = "\udcff\u202egpj.\x00"
    query = full_query(ranked_query=ranked(1, query=Annotation(annotation_id="q", image=f"a/{odd}", name=odd)))
    page = written(tmp_path, query)
    assert "Query 1" in page.prose
    assert len(page.all("bdi")) > 5


def test_evidence_is_put_into_words(page: Page) -> None:
    for words in (
        "Weak evidence",
        "that the links share one pose, as those of two animals standing alike may",
        "uncalibrated",
        "Not a probability.",
        "12 of 20 links fit one consistent pose; the same places paired at random reach only 6.",
        "So few links (3) agree with any pose.",
        "Query: Part of it is black.",
        "upper left (10%, 20%)",
        "middle right (90%, 50%)",
        "lower centre (50%, 99%)",
        "25.0%",
        "not tested",
        "sha256:abababababababab",
        "k_lines 20, mode reference",
        "pairx-plugin 0.1.0, torch 2.0",
        "1.5 s",
    ):
        assert words in page.prose, words
    prose = page.prose
    assert prose.index("Doubts first") < prose.index("What the links say")
    alt = [image["alt"] or "" for image in page.all("img")]
    assert any(
        "3 numbered lines; the strongest joins upper left of the query with middle right" in text for text in alt
    )


@pytest.mark.parametrize(("n_edge", "told"), [(2, False), (3, True), (9, True)])
def test_many_links_at_the_edge_are_a_doubt(tmp_path: Path, n_edge: int, told: bool) -> None:
    links = [{"kpts0": [0.5, 0.97 if index < n_edge else 0.5], "kpts1": [0.4, 0.4]} for index in range(9)]
    explanation = explained(1, record=record(matches=links))
    prose = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[explanation])).prose
    assert (f"{n_edge} of 9 links end at the very edge of a chip" in prose) is told


def test_how_to_read_says_evidence_not_proof_once_at_the_head(page: Page) -> None:
    assert page.prose.count("It is not proof that two photographs show one individual.") == 1
    assert "Chance counts as 4 links at least" in page.prose


def test_names_that_the_host_knows_are_shown_quietly_and_can_be_hidden(tmp_path: Path) -> None:
    shown = written(tmp_path, full_query()).prose
    assert "same individual as the query" in shown and "another individual than the query" in shown
    hidden = written(tmp_path, full_query(show_names=False)).prose
    assert "individual as the query" not in hidden and "individual than the query" not in hidden


def test_name_is_not_compared_where_one_is_unknown(tmp_path: Path) -> None:
    query = full_query(ranked_query=ranked(3, query=Annotation(annotation_id="q", image="q.jpg")))
    assert "individual as the query" not in written(tmp_path, query).prose


def test_json_record_can_be_taken_out_of_the_page(page: Page) -> None:
    link = next(found for found in page.all("a") if "download" in found)
    data = (link["href"] or "").removeprefix("data:application/json;base64,")
    assert json.loads(base64.b64decode(data))["num_matches"] == 40


@pytest.mark.parametrize(
    "broken",
    [
        {"matches": "many", "plausibility": 3, "warnings": {"a": 1}, "images": [1], "provenance": [], "params": None},
        {"matches": [None, {"kpts0": [1], "kpts1": ["a", "b"], "rank": "x", "inlier": "yes"}], "layer_key": 7},
        {"other_layers": [{"layer_key": "b", "matches": [], "plausibility": None}, 5], "similarity": "high"},
        {"plausibility": {"n_inliers": 3.5, "n_chance": True, "n_tested": 20, "reasons": [{"code": None}, {}]}},
    ],
    ids=["types", "links", "layers", "figures"],
)
def test_record_that_does_not_fit_never_costs_the_report(tmp_path: Path, broken: dict[str, Any]) -> None:
    page = written(tmp_path, full_query(explanations=[explained(1, record=record(**broken))]))
    assert page.all("section", id="q1-c1")
    assert "Not assessed" in page.prose or "Weak evidence" in page.prose


def test_record_of_another_explainer_without_links_is_shown(tmp_path: Path) -> None:
    foreign = explained(1, record={"algorithm": "other"}, artifacts=(picture("attention"),))
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[foreign]))
    assert page.all("input", type="radio") == []
    assert page.of_class("only") and "attention of query and candidate 1" in (page.all("img")[1]["alt"] or "")


def test_explanation_that_holds_nothing_says_so(tmp_path: Path) -> None:
    empty = explained(1, record={}, artifacts=())
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[empty]))
    assert "neither pictures nor figures" in page.prose


def test_two_pictures_of_one_version_get_switches_of_their_own(tmp_path: Path) -> None:
    twice = explained(1, artifacts=(picture("matches"), picture("matches", "red")))
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[twice]))
    assert ("label", "Lines (2)") in page.words
    assert [radio["id"] for radio in page.all("input", type="radio")] == ["q1-c1-v1", "q1-c1-v2"]


def test_record_of_a_failure_is_provenance_and_no_evidence(tmp_path: Path) -> None:
    lost = failed(1)
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[replace(lost, record=record())]))
    assert "What the links say" not in page.prose and "Not explained: something went wrong." in page.prose
    assert "k_lines 20" in page.prose


def test_query_without_candidates_and_query_that_failed_say_so(tmp_path: Path) -> None:
    empty = full_query(ranked_query=ranked(0), explanations=(), photograph=None)
    lost = replace(empty, failure=Failure(code="IMAGE_UNREADABLE", message="cut off at byte 7"))
    prose = written(tmp_path, empty, lost).prose
    assert "This query has no candidates." in prose and "could not be shown" in prose
    assert "This query could not be ranked." in prose and "cut off at byte 7" in prose


def test_report_without_queries_is_a_page(tmp_path: Path) -> None:
    assert "How to read this" in written(tmp_path).prose


def test_picture_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    broken = replace(picture("heatmask"), data=b"GIF89a")
    gone = replace(picture("clean"), data=b"", path="gone/clean.webp")
    page = written(tmp_path, full_query(explanations=[explained(1, artifacts=(picture(), broken, gone))]))
    assert page.prose.count("A picture could not be read") == 2
    assert len([image for image in page.all("img") if "numbered lines" in (image["alt"] or "")]) == 1


def test_report_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    size = write_report(path, [full_query()])
    assert size == path.stat().st_size
    before = path.read_bytes()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(path, [full_query()], on_query=stop)
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]


def test_place_that_cannot_be_written_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written.*choose another place"):
        write_report(tmp_path / "file" / "report.html", [])


def test_progress_counts_queries(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_report(tmp_path / "r.html", [full_query(), full_query()], on_query=lambda *step: seen.append(step))
    assert seen == [(1, 2), (2, 2)]


def test_unknown_language_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no language 'eo'.*choose from: en, de"):
        write_report(tmp_path / "r.html", [], language="eo")


def test_missing_jinja_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"pairx-plugin\[sample\]"):
        write_report(tmp_path / "r.html", [])
