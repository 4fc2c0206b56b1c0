"""Methods that draw no lines: the page says so, and keeps what speaks for and against apart."""

from __future__ import annotations

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect


def test_view_of_lines_says_that_there_are_none_and_colours_have_two_hues(serve, open_page):
    page = open_page(serve({1: "maps"}))
    EXPECT(page.locator("#words h3")).to_have_text("What the colours say")
    EXPECT(page.locator("#no-lines")).to_be_visible()
    EXPECT(page.locator("#no-lines")).to_contain_text("draws no lines")
    EXPECT(page.locator("#words")).to_contain_text("orange speaks for the similarity, blue against it")
    EXPECT(page.locator(".link")).to_have_count(0)
    page.click("label[for=view-colours]")
    EXPECT(page.locator("#no-lines")).to_be_hidden()
    shown = page.locator(".tint[visibility=visible]")
    EXPECT(shown).to_have_count(4)
    fills = shown.evaluate_all("all => all.map(one => [one.dataset.hue, getComputedStyle(one).fill])")
    assert sorted(set(map(tuple, fills))) == [("against", "rgb(0, 114, 178)"), ("for", "rgb(213, 94, 0)")]
    # hue is not the only sign: what speaks against is hatched, and the key below the pair says so
    hatched = page.locator(".hatched[visibility=visible]")
    EXPECT(hatched).to_have_count(2)
    assert set(hatched.evaluate_all("all => all.map(one => one.dataset.sign)")) == {"against"}
    EXPECT(page.locator("#signs")).to_be_visible()
    EXPECT(page.locator("#signs")).to_contain_text("against it")


def test_pair_with_links_says_nothing_of_missing_lines(serve, open_page):
    page = open_page(serve({1: "maps"}))
    EXPECT(page.locator("#no-lines")).to_be_visible()
    page.click("#candidate-2")
    EXPECT(page.locator(".link").first).to_be_attached()
    EXPECT(page.locator("#no-lines")).to_be_hidden()
    EXPECT(page.locator("#words h3").last).to_have_text("What the links say")


def test_links_own_maps_show_both_signs_in_the_links_hue(serve, open_page, check_axe):
    page = open_page(serve({1: "signed"}))
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    EXPECT(page.locator("#words")).to_contain_text("what is hatched speaks against the similarity")
    EXPECT(page.locator("#signs")).to_be_hidden()  # nothing is coloured yet
    page.click("label[for=view-colours]")
    one = '.tint[data-kind="pixel"][data-rank="2"]'
    EXPECT(page.locator(f"{one}[visibility=visible]")).to_have_count(4)
    looks = page.locator(one).evaluate_all("all => all.map(one => [one.dataset.sign, getComputedStyle(one).fill])")
    assert sorted(set(map(tuple, looks))) == [("against", "rgb(240, 228, 66)"), ("for", "rgb(240, 228, 66)")]
    EXPECT(page.locator('.hatched[data-rank="2"][visibility=visible]')).to_have_count(2)
    EXPECT(page.locator("#signs")).to_be_visible()
    check_axe(page, "signed maps")


def test_maps_without_signs_are_not_hatched(serve, open_page):
    page = open_page(serve())
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    page.click("label[for=view-colours]")
    EXPECT(page.locator('.tint[data-kind="pixel"][visibility=visible]')).to_have_count(10)
    EXPECT(page.locator(".hatched")).to_have_count(0)
    EXPECT(page.locator("#signs")).to_be_hidden()


def test_rows_tell_of_the_usual_explainer_and_never_show_bars_of_another(serve, open_page):
    server = serve({1: "kept", 6: "kept"})
    page = open_page(server)
    EXPECT(page.locator("#state")).to_be_empty()
    EXPECT(page.locator("#candidate-1 .meter .full")).to_have_count(3)

    def unassessed(route):
        found = route.fetch()
        body = found.json()
        if body.get("words") and body["explainer"] == "rivals":
            body["words"].update(band="not_assessed", level=None)
        route.fulfill(response=found, json=body)

    page.route("**/explanations*", unassessed)
    page.route("**/explanations/*", unassessed)
    page.select_option("#explainer", "rivals")
    EXPECT(page.locator("#candidate-1 .standing")).to_contain_text("not assessed")
    EXPECT(page.locator("#candidate-1 .meter .full")).to_have_count(0)
    page.click("#candidate-5")
    EXPECT(page.locator("#candidate-5 .standing")).to_contain_text("not assessed")
    query = page.request.get(f"{server.address}/review/v1/tasks/t1/queries/q1").json()
    statuses = [candidate["evidence"]["status"] for candidate in query["candidates"]]
    assert statuses[4] is None and statuses[0] == "ready"  # nobody has asked for the usual explanation of the fifth
