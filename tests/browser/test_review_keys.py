"""The page's keys: at rest while somebody types, switched off and changed."""

from __future__ import annotations

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect


def test_keys_rest_while_somebody_types_and_say_so(serve, open_page):
    page = open_page(serve())
    page.locator("#note").focus()
    EXPECT(page.locator("#resting")).to_be_visible()
    page.keyboard.type("1 2 3 vxz")
    EXPECT(page.locator("#note")).to_have_value("1 2 3 vxz")
    EXPECT(page.locator("#candidate-1 .badge-none")).to_be_visible()
    EXPECT(page.locator("#view-lines")).to_be_checked()
    page.locator("#candidates").focus()
    EXPECT(page.locator("#resting")).to_be_hidden()


def test_keys_can_be_switched_off_and_changed(serve, open_page):
    page = open_page(serve())
    page.keyboard.press("?")
    EXPECT(page.locator("#keys")).to_be_visible()
    page.click("[data-name=match] button")
    page.keyboard.press("2")
    EXPECT(page.locator("#keys-wrong")).to_contain_text("2 is taken by: No match")
    page.click("[data-name=match] button")
    page.keyboard.press("m")
    EXPECT(page.locator("[data-name=match] kbd")).to_have_text("M")
    page.click("#keys-close")
    page.keyboard.press("1")
    EXPECT(page.locator("#candidate-1 .badge-none")).to_be_visible()
    page.keyboard.press("m")
    EXPECT(page.locator("#candidate-1 .badge-match")).to_be_visible()
    page.reload()
    EXPECT(page.locator("kbd[data-key=match]")).to_have_text("M")
    page.keyboard.press("?")
    page.uncheck("#keys-on")
    page.click("#keys-close")
    EXPECT(page.locator("kbd[data-key=match]")).to_be_hidden()
    page.keyboard.press("m")
    page.click(".verdict[data-decision=unreviewed]")  # one after another is stored, so this one would be second
    EXPECT(page.locator("#progress-words")).to_have_text("2 of 6 decided")
    EXPECT(page.locator(".badge-match")).to_have_count(1)
