"""Odd shapes: panoramas beside portraits, and names that are longer than any column."""

from __future__ import annotations

from dataclasses import replace

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect
LAY_OUT = """async ([width, most, aspects, swapped]) => {
    const { layOut } = await import("/review/static/geometry.js");
    return layOut(width, most, aspects, swapped);
}"""
LONG = f"Individual of the north-eastern wetland reserve, {'second transect, ' * 12}provisional name Amarantha"


@pytest.mark.parametrize(
    ("width", "aspects", "stacked"),
    [
        (1080, [1.5, 1.4], False),
        (1080, [0.7, 1.9], False),
        (1080, [0.25, 1.4], False),
        (1080, [8.8, 1.4], True),
        (1080, [1.4, 8.8], True),
        (1080, [8.8, 0.25], True),
        (370, [1.4, 1.4], True),
        (370, [0.25, 1.4], True),
        (370, [8.8, 1.4], True),
    ],
    ids=str,
)
@pytest.mark.parametrize("swapped", [False, True], ids=["as ranked", "swapped"])
def test_each_photograph_gets_its_share_of_the_frame(serve, open_page, width, aspects, stacked, swapped):
    page = open_page(serve())
    most = 500
    found = page.evaluate(LAY_OUT, [width, most, aspects, swapped])
    panes = found["panes"]
    assert found["stacked"] is stacked
    first, second = panes[::-1] if swapped else panes
    for pane, aspect in zip(panes, aspects):
        assert pane["w"] / pane["h"] == pytest.approx(aspect)
        assert pane["x"] >= -1e-6 and pane["x"] + pane["w"] <= width + 1e-6
        assert pane["y"] >= 0 and pane["y"] + pane["h"] <= found["height"] + 1e-6 <= most + 2e-6
    after = ("y", "h") if stacked else ("x", "w")
    assert second[after[0]] == pytest.approx(first[after[0]] + first[after[1]] + 12)
    smallest = min(pane["w"] * pane["h"] for pane in panes)
    equal_heights = min(most, (width - 12) / sum(aspects))
    assert smallest >= min(aspects) * equal_heights**2 - 1e-6 or width < 640


@pytest.mark.parametrize("width", [390, 768, 1024, 1440])
def test_long_names_leave_the_page_its_room(serve, open_page, width):
    def opened(name: str):
        server = serve(names={1: name})
        original = server.source._query
        server.source._query = lambda number: replace(original(number), name=name)
        return open_page(server, width=width)

    usual, page = opened("Rata"), opened(LONG)
    heights = [one.locator("header.bar").bounding_box()["height"] for one in (usual, page)]
    assert heights[1] <= heights[0] + 3 * 20  # two lines for the name, and what had stood beside it
    assert page.evaluate("document.documentElement.scrollWidth") == width
    EXPECT(page.locator("#query-facts li > *", has_text="Amarantha")).to_have_attribute("title", LONG)
    EXPECT(page.locator("#candidate-1 bdi").first).to_have_attribute("title", LONG)


CAPTIONS = """
    [...document.querySelectorAll("#captions .caption, .cluster")].map(one => one.getBoundingClientRect().toJSON())
"""
PORTRAIT = '<svg xmlns="http://www.w3.org/2000/svg" width="60" height="300"><rect width="60" height="300"/></svg>'
WIDTH_OF_CANDIDATE = "Number(document.querySelectorAll('.border')[1].getAttribute('width'))"


def test_words_above_a_narrow_photograph_are_neither_cut_off_nor_covered(serve, open_page, wait_for):
    page = open_page(serve(), width=1440)
    page.route("**/chips/2", lambda route: route.fulfill(body=PORTRAIT, content_type="image/svg+xml"))
    page.click("#candidate-2")
    wait_for(lambda: page.evaluate(WIDTH_OF_CANDIDATE) < 200, "the portrait")
    query, candidate, buttons = page.evaluate(CAPTIONS)
    assert candidate["width"] >= 120
    assert query["right"] <= candidate["left"]
    assert buttons["top"] >= candidate["bottom"] or buttons["left"] >= candidate["right"]
