"""Links drawn over the plain pair: in their places, as many as wanted, and no picture twice."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pairx_hooks import Annotation, Artifact, Candidate, Explanation, RankedQuery, Status
from pairx_plugin.rendering.layout import lay_out
from pairx_plugin.rendering.style import Style
from pairx_plugin.report import ReportQuery, write_report
from pairx_plugin.report.drawing import draw_pair
from pairx_plugin.report.reading import read_record

SIZES = (300, 400), (200, 400)  # (height, width) of the chips
LAYOUT = lay_out(*SIZES, Style())


def record(n: int = 24, **changes: Any) -> dict[str, Any]:
    links = [
        {"rank": i + 1, "kpts0": [0.1 + 0.8 * i / n, 0.3], "kpts1": [0.5, 0.2 + 0.6 * i / n], "relevance_share": 0.01}
        for i in range(n)
    ]
    chips = [
        {"role": role, "chip": {"height": height, "width": width}}
        for role, (height, width) in zip(("query", "candidate"), SIZES)
    ]
    grid = {"0": [14, 20], "1": [14, 20]}
    return {"layer_key": "b", "matches": links, "num_matches": n, "grid": grid, "images": chips, **changes}


def plain(width: int = LAYOUT.width, height: int = LAYOUT.height) -> Artifact:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(stream, "PNG")
    return Artifact(version="clean", media_type="image/png", width=width, height=height, data=stream.getvalue())


def page_of(tmp_path: Path, data: dict[str, Any], *artifacts: Artifact) -> str:
    animal = Annotation(annotation_id="c", image="c.jpg")
    ranked = RankedQuery(query_id="q", query=animal, candidates=(Candidate(annotation=animal, rank=1),))
    found = Explanation(
        query_id="q", candidate_id="c", rank=1, status=Status.READY, record=data, artifacts=artifacts
    )
    write_report(tmp_path / "r.html", [ReportQuery(ranked_query=ranked, explanations=[found])])
    return (tmp_path / "r.html").read_text(encoding="utf-8")


def test_rings_lie_where_the_record_says_and_are_as_large_as_cells() -> None:
    drawing = draw_pair(read_record(record()), plain())
    assert drawing is not None and len(drawing.links) == 24
    first = drawing.links[-1]  # the most relevant lies on top
    assert first.rank == 1
    x, y, rx, ry = first.rings[0]
    assert (x, y) == pytest.approx((LAYOUT.box_0.x + 0.1 * LAYOUT.box_0.width, 0.3 * LAYOUT.box_0.height), abs=0.1)
    assert (rx, ry) == pytest.approx(LAYOUT.box_0.cell_radii((14, 20)))
    assert first.rings[1][0] == pytest.approx(LAYOUT.box_1.x + 0.5 * LAYOUT.box_1.width, abs=0.1)


def test_links_differ_in_hue_and_dash_and_the_last_share_one_look() -> None:
    drawing = draw_pair(read_record(record()), plain())
    assert drawing is not None
    looks = {link.rank: (link.hue, link.dash) for link in drawing.links}
    assert len({looks[rank] for rank in range(1, 16)}) == 15
    assert {looks[rank] for rank in range(16, 25)} == {("none", "")}


def test_counts_end_with_all_and_links_know_where_they_go() -> None:
    drawing = draw_pair(read_record(record(14)), plain())
    assert drawing is not None and list(drawing.counts) == [5, 8, 12, 14]
    beyond = {link.rank: link.beyond for link in drawing.links}
    assert (beyond[5], beyond[6], beyond[13]) == ((), (5,), (5, 8, 12))
    few = draw_pair(read_record(record(3)), plain())
    assert few is not None and list(few.counts) == []


@pytest.mark.parametrize(
    ("data", "picture"),
    [
        (record(), plain(500, 300)),
        (record(images=[]), plain()),
        (record(grid={"0": [14]}), plain()),
        (record(grid=None), plain()),
        (record(0), plain()),
        ({}, plain()),
    ],
    ids=["another layout", "no chips", "half a grid", "no grid", "no links", "no record"],
)
def test_nothing_is_drawn_where_places_are_not_known(data: dict[str, Any], picture: Artifact) -> None:
    assert draw_pair(read_record(data), picture) is None


def test_plain_picture_is_in_the_page_once_and_that_of_lines_not_at_all(tmp_path: Path) -> None:
    lines = Artifact(version="matches", media_type="image/png", width=9, height=9, data=plain(9, 9).data)
    page = page_of(tmp_path, record(), plain(), lines)
    assert page.count("data:image/") == 1
    assert 'id="q1-c1-plain"' in page and '<use href="#q1-c1-plain"/>' in page
    assert len(re.findall(r'<g class="link[" ]', page)) == 24
    assert 'aria-label="Query and candidate 1 with 24 numbered lines' in page
    checked = re.search(r'<input class="count count-8"[^>]*>', page)
    assert checked is not None and "checked" in checked.group(0)
    assert ".viewer:has(.count-8:checked) .beyond-8 { display: none; }" in page


def test_picture_of_lines_is_kept_where_nothing_can_be_drawn(tmp_path: Path) -> None:
    lines = Artifact(version="matches", media_type="image/png", width=9, height=9, data=plain(9, 9).data)
    page = page_of(tmp_path, record(images=[]), plain(), lines)
    assert page.count("data:image/") == 2 and "<use" not in page


def test_lost_plain_picture_is_told(tmp_path: Path) -> None:
    gone = Artifact(version="clean", media_type="image/png", width=LAYOUT.width, height=LAYOUT.height, path="gone.png")
    lines = Artifact(version="matches", media_type="image/png", width=9, height=9, data=plain(9, 9).data)
    page = page_of(tmp_path, record(), gone, lines)
    assert "A picture could not be read" in page


def test_ring_outside_the_animal_is_dashed_and_crossed_as_the_sentence_below_says(tmp_path) -> None:
    data = record()
    data["matches"][8]["inside0"] = False  # link 9, which is not among the eight that are shown at first
    drawing = draw_pair(read_record(data), plain())
    assert drawing is not None
    ninth = next(link for link in drawing.links if link.rank == 9)
    assert ninth.ring_dashes[0] and not ninth.ring_dashes[1] and len(ninth.crosses) == 1
    assert all(link.ring_dashes == ("", "") for link in drawing.links if link.rank != 9)
    lines = Artifact(version="matches", media_type="image/png", width=9, height=9, data=plain(9, 9).data)
    page = page_of(tmp_path, data, plain(), lines)
    assert len(re.findall(r'<ellipse [^>]*stroke-dasharray="[\d. ]+"', page)) == 3  # outline, casing and core
    told = re.search(r'<p class="dim([^"]*)">A dashed ring with a cross lies outside the animal', page)
    assert told is not None and told[1].split() == ["beyond-5", "beyond-8"]
