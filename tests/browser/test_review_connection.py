"""A server that is slow, silent or started anew: nothing waits for ever, and nothing that was pressed is lost."""

from __future__ import annotations

import re

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect
EXPLANATIONS = re.compile(r"/explanations(/[0-9a-f]+)?$")
WAIT_FOR_QUERIES = """
    const ask = window.fetch;
    window.fetch = async (address, options) => {
        if (window.slow && String(address).includes("/queries/")) await window.slow;
        return ask(address, options);
    };
"""


def silence(page) -> None:
    page.route(EXPLANATIONS, lambda route: route.abort())


def test_silent_server_is_called_so_and_evidence_comes_when_it_answers(serve, open_page):
    server = serve({1: "stuck"})
    page = open_page(server)
    EXPECT(page.locator(".state-running")).to_be_visible()
    silence(page)
    EXPECT(page.locator(".state-silent")).to_contain_text("The server does not answer.")
    EXPECT(page.locator("#retry")).to_have_count(0)
    page.click("#candidate-2")  # asked for anew, and not answered either
    EXPECT(page.locator(".state-silent")).to_be_visible()
    page.unroute(EXPLANATIONS)
    server.source.gate.set()
    EXPECT(page.locator("#state")).to_be_empty()
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)


def test_photographs_that_were_lost_with_the_connection_come_back_with_it(serve, open_page):
    page = open_page(serve())
    EXPECT(page.locator("#state")).to_be_empty()
    silence(page)
    page.route("**/chips/*", lambda route: route.abort())
    page.click("#candidate-5")
    EXPECT(page.locator(".lost-words")).to_have_count(2)
    EXPECT(page.locator(".state-silent")).to_be_visible()
    page.unroute("**/chips/*")
    page.unroute(EXPLANATIONS)
    EXPECT(page.locator(".lost-words")).to_have_count(0)
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)


def test_query_that_cannot_be_had_is_told_of_on_the_page(serve, open_page):
    page = open_page(serve())
    page.route("**/queries/*", lambda route: route.abort())
    page.click("#next-query")
    EXPECT(page.locator("#toast")).to_contain_text("could not be loaded")
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0412.jpg")
    EXPECT(page.locator(".frame.loading")).to_have_count(0)


def test_every_press_counts_while_a_query_is_on_its_way(serve, open_page):
    page = open_page(serve(), script=WAIT_FOR_QUERIES)
    page.evaluate("void (window.slow = new Promise(resolve => { window.go = resolve; }))")
    page.keyboard.press("ArrowDown")
    EXPECT(page.locator(".frame.loading")).to_be_visible()
    page.keyboard.press("ArrowUp")  # back to the first, which is what shall be shown in the end
    page.evaluate("window.go()")
    EXPECT(page.locator(".frame.loading")).to_have_count(0)
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0412.jpg")
    page.keyboard.press("ArrowDown")
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0422.jpg")


def test_kept_lines_are_not_said_to_be_looked_for(serve, open_page):
    page = open_page(serve({1: "stuck_kept"}))
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)
    EXPECT(page.locator(".state-partial")).to_have_text("The lines are ready; the colours are on their way.")


def test_method_without_lines_does_not_claim_any(serve, open_page):
    page = open_page(serve({1: "slow_maps"}))
    EXPECT(page.locator(".state-partial")).to_have_text("The colours are on their way.")
    EXPECT(page.locator("#count-tool")).to_be_hidden()


def test_colours_are_asked_for_again_when_the_evidence_has_grown(serve, open_page):
    server = serve({1: "slow"})
    page = open_page(server)
    EXPECT(page.locator(".state-partial")).to_be_visible()
    addresses = "[...document.querySelectorAll('mask image')].map(image => image.getAttribute('href'))"
    before = page.evaluate(addresses)
    server.source.gate.set()
    EXPECT(page.locator("#state")).to_be_empty()
    after = page.evaluate(addresses)
    paths = [{address.split("?")[0] for address in found} for found in (before, after)]
    assert before and paths[0] <= paths[1]  # the same pictures, which a browser would take from its memory
    assert not set(before) & set(after)
