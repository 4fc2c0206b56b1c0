"""The pair in a browser: lines and colours drawn from data, pointed at, chosen, hidden, and asked for anew."""

from __future__ import annotations

import re

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def page(serve, open_page):
    shown = open_page(serve())
    EXPECT(shown.locator("#state")).to_be_empty()
    return shown


def has_opacity(page, selector: str, value: float) -> None:
    EXPECT(page.locator(selector).first).to_have_css("opacity", f"{value:g}")


def middle(page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_photographs_keep_their_proportions_and_query_stands_left(page, wait_for):
    def panes():
        return [page.locator(".border").nth(side).bounding_box() for side in (0, 1)]

    def beside(left, right):
        return left["x"] + left["width"] < right["x"]

    query, candidate = panes()
    assert query["width"] / query["height"] == pytest.approx(1.5, abs=0.02)
    assert beside(query, candidate)
    page.keyboard.press("x")
    wait_for(lambda: beside(*reversed(panes())), "the candidate at the left")


def test_links_differ_by_more_than_colour(page):
    page.fill("#count", "20")
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(20)
    links = page.locator(".link").evaluate_all(
        """links => links.map(link => {
            const core = link.querySelector(".line .core");
            const style = getComputedStyle(core);
            const casing = getComputedStyle(link.querySelector(".line .casing"));
            return [link.dataset.rank, style.stroke, core.getAttribute("stroke-dasharray"), casing.stroke];
        })"""
    )
    assert len(links) == 20
    looks = {(colour, dash) for rank, colour, dash, _ in links if int(rank) <= 15}
    assert len(looks) == 15
    assert {casing for *_, casing in links} == {"rgb(255, 255, 255)"}
    numbers = page.locator(".plate text").all_text_contents()
    assert sorted(numbers, key=int) == sorted([str(n) for n in range(1, 21)] * 2, key=int)


def test_ring_is_as_large_as_a_cell(page):
    ring = page.locator(".link[data-rank='1'] .ring .core").first
    pane = page.locator(".border").first.bounding_box()
    assert float(ring.get_attribute("rx")) == pytest.approx(pane["width"] / 14 / 2, rel=0.02)


def test_hover_highlights_and_click_selects(page):
    x, y = middle(page, ".link[data-rank='3'] .reach")
    page.mouse.move(x, y)
    has_opacity(page, ".link[data-rank='1']", 0.25)
    has_opacity(page, ".link[data-rank='3']", 1)
    EXPECT(page.locator('.tint[data-rank="3"]:not([visibility=hidden])')).to_have_count(2)  # its own map alone
    page.mouse.move(5, 5)
    has_opacity(page, ".link[data-rank='1']", 1)
    page.mouse.click(x, y)
    page.mouse.move(5, 5)
    EXPECT(page.locator(".link[data-rank='3']")).to_have_attribute("aria-pressed", "true")
    has_opacity(page, ".link[data-rank='1']", 0.25)
    page.mouse.click(x, y)
    EXPECT(page.locator(".link[data-rank='3']")).to_have_attribute("aria-pressed", "false")


def test_focus_highlights_and_enter_selects(page):
    page.locator(".link[data-rank='2']").focus()
    has_opacity(page, ".link[data-rank='5']", 0.25)
    page.keyboard.press("Enter")
    EXPECT(page.locator(".link[data-rank='2']")).to_have_attribute("aria-pressed", "true")
    label = page.locator(".link[data-rank='2']").get_attribute("aria-label")
    assert label.startswith("Link 2: ") and "in the query" in label
    page.keyboard.press("Escape")
    EXPECT(page.locator(".link[data-rank='2']")).to_have_attribute("aria-pressed", "false")


def test_table_and_drawing_point_at_the_same_link(page):
    page.click("#links-part summary")
    page.locator("#links tbody tr").nth(4).hover()
    EXPECT(page.locator(".link.on")).to_have_attribute("data-rank", "5")
    page.click("#links [data-rank='4'] button")
    EXPECT(page.locator(".link[data-rank='4']")).to_have_attribute("aria-pressed", "true")
    EXPECT(page.locator("#links tr.on")).to_have_attribute("data-rank", "4")


def test_held_key_hides_everything_drawn(page, wait_for):
    def shown() -> set[str]:
        all_of_them = "all => all.map(one => getComputedStyle(one).visibility)"
        return set(page.locator(".links, .masks").evaluate_all(all_of_them))

    def all_hidden() -> bool:
        return shown() == {"hidden"}

    def none_hidden() -> bool:
        return "hidden" not in shown()

    page.keyboard.press("v")
    before = page.locator(".frame").screenshot()
    page.keyboard.down("h")
    wait_for(all_hidden, "hiding")
    EXPECT(page.locator(".photo").first).to_have_css("filter", "none")
    assert page.locator(".frame").screenshot() != before
    page.keyboard.up("h")
    wait_for(none_hidden, "showing again")
    page.locator("#hide-all").focus()
    page.keyboard.press("Space")  # by keyboard the button stays pressed, as nobody can hold and look around
    wait_for(all_hidden, "hiding")
    page.keyboard.press("Space")
    wait_for(none_hidden, "showing again")


def maps_loaded(page) -> bool:
    """Whether every mask's picture is there; they load by themselves, seen or not."""
    return page.evaluate(
        """() => {
            const wanted = [...document.querySelectorAll("mask image")].map(one => new URL(one.href.baseVal, location));
            const loaded = new Set(performance.getEntriesByType("resource").map(one => one.name));
            return wanted.length > 0 && wanted.every(url => loaded.has(url.href));
        }"""
    )


def test_colour_and_strength_are_the_browsers_work(page, wait_for):
    page.click("label[for=view-colours]")
    wait_for(lambda: maps_loaded(page), "the maps")
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    tint = '.tint[data-kind="pixel"][data-rank="1"]'
    has_opacity(page, tint, 0.6)
    assert page.locator(tint).first.evaluate("tint => getComputedStyle(tint).fill") == "rgb(86, 180, 233)"
    page.fill("#opacity", "20")
    has_opacity(page, tint, 0.2)
    page.locator("#swap").focus()
    page.keyboard.press("]")
    has_opacity(page, tint, 0.3)
    page.select_option("#map-kind", "intermediate")
    EXPECT(page.locator('.tint[data-kind="intermediate"]:not([visibility=hidden])')).to_have_count(2)
    EXPECT(page.locator('.tint[data-kind="pixel"]:not([visibility=hidden])')).to_have_count(0)
    assert [url for url in requests if "/maps/" in url] == []


def test_layer_and_explainer_pickers_ask_for_other_evidence(serve, open_page):
    server = serve()
    page = open_page(server)
    EXPECT(page.locator("#state")).to_be_empty()
    EXPECT(page.locator("#level-broad")).to_be_disabled()
    EXPECT(page.locator("#explainer option[value=other]")).to_be_disabled()
    page.click("label[for=level-fine]")
    EXPECT(page.locator("#state")).to_be_empty()
    assert ("q1", 1, "blocks.2") in [(query, rank, asked.layer_key) for query, rank, asked in server.source.asked]
    EXPECT(page.locator("label[for=level-medium]")).to_have_attribute("title", re.compile("7%"))


def test_variant_of_an_explainer_asks_for_its_own_evidence(serve, open_page):
    server = serve()
    page = open_page(server)
    EXPECT(page.locator("#explainer option")).to_have_count(4)
    page.select_option("#explainer", "rivals triplet")
    EXPECT(page.locator("#explainer option:checked")).to_have_text("Rivals: why this one and not another")
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    asked = [asked for _, rank, asked in server.source.asked if rank == 1][-1]
    assert (asked.explainer, asked.variant, dict(asked.options)) == ("rivals", "triplet", {"attention_mode": "triplet"})


def test_fading_is_switched_off_where_motion_is_not_wanted(serve, open_page):
    for motion, seconds in (("reduce", "0s"), ("no-preference", "0.12s")):
        page = open_page(serve(), reduced_motion=motion)
        EXPECT(page.locator(".link").first).to_have_css("transition-duration", seconds)
