"""The report as a page: one file, no request, no script, sound HTML, and written whole or not at all."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from report_pages import Page, explained, full_query, picture, ranked, record, written

from pairx_hooks import Annotation, Candidate, RankedQuery
from pairx_plugin.errors import MissingExtra, SettingsError, StoreError
from pairx_plugin.report import Note, ReportQuery, RunFacts, write_report

HOSTILE = '<script>alert("x")</script>"\'><img src=x onerror=alert(1)>&amp;{{ 7*7 }}'

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


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


def test_two_pictures_of_one_version_get_switches_of_their_own(tmp_path: Path) -> None:
    twice = explained(1, artifacts=(picture("matches"), picture("matches", "red")))
    page = written(tmp_path, full_query(ranked_query=ranked(1), explanations=[twice]))
    assert ("label", "Lines (2)") in page.words
    assert [radio["id"] for radio in page.all("input", type="radio")] == ["q1-c1-v1", "q1-c1-v2"]


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


def test_report_without_queries_is_a_page(tmp_path: Path) -> None:
    assert "How to read this" in written(tmp_path).prose


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
