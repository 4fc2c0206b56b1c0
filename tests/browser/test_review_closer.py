"""A closer look at the pair in a browser: enlarging, moving, light, blinking, and places with likely partners."""

from __future__ import annotations

import math

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect

PANES = "panes => panes.map(pane => pane.getAttribute('visibility'))"


@pytest.fixture
def page(serve, open_page):
    shown = open_page(serve())
    EXPECT(shown.locator("#state")).to_be_empty()
    return shown


def look(page, side: int) -> dict[str, float]:
    """The part of the photograph that a pane shows, in one reading."""
    return page.evaluate(
        """side => {
            const [box, pane] = [".photo", ".border"].map(
                what => document.querySelectorAll(what)[side].getBoundingClientRect());
            const zoom = box.width / pane.width;
            return { zoom, x: (pane.x - box.x) / box.width, y: (pane.y - box.y) / box.height };
        }""",
        side,
    )


def near(value: float, wanted: float, slack: float = 0.01) -> bool:
    return abs(value - wanted) <= slack


def test_wheel_enlarges_at_the_pointer_and_the_other_side_follows(page, wait_for):
    pane = page.locator(".border").first.bounding_box()
    x, y = pane["x"] + pane["width"] * 0.7, pane["y"] + pane["height"] * 0.3
    before = look(page, 0)
    under = (before["x"] + 0.7 / before["zoom"], before["y"] + 0.3 / before["zoom"])
    page.mouse.move(x, y)
    for _ in range(3):
        page.mouse.wheel(0, -120)  # it returns before the page has heard of it
    thrice = math.exp(3 * 120 / 450)
    wait_for(lambda: near(look(page, 0)["zoom"], thrice), "three turns of the wheel")
    after = look(page, 0)
    assert after["zoom"] > 1.8
    assert after["x"] + 0.7 / after["zoom"] == pytest.approx(under[0], abs=0.01)
    assert after["y"] + 0.3 / after["zoom"] == pytest.approx(under[1], abs=0.01)
    assert look(page, 1)["zoom"] == pytest.approx(after["zoom"], rel=0.01)
    page.click("#zoom-fit")
    wait_for(lambda: near(look(page, 0)["zoom"], 1), "the whole photograph")
    page.click("#linked")
    EXPECT(page.locator("#linked")).to_have_attribute("aria-pressed", "false")
    page.mouse.move(x, y)
    page.mouse.wheel(0, -120)
    wait_for(lambda: look(page, 0)["zoom"] > 1.2, "one turn of the wheel")
    assert look(page, 1)["zoom"] == pytest.approx(1, abs=0.01)


def test_dragging_moves_an_enlarged_photograph(page, wait_for):
    page.keyboard.press("z")
    wait_for(lambda: look(page, 0)["zoom"] > 2, "the enlargement")
    before = look(page, 0)
    pane = page.locator(".border").first.bounding_box()
    page.mouse.move(pane["x"] + 60, pane["y"] + pane["height"] - 40)
    page.mouse.down()
    page.mouse.move(pane["x"] + 160, pane["y"] + pane["height"] - 40, steps=5)
    page.mouse.up()
    wait_for(lambda: look(page, 0)["x"] < before["x"], "the movement")
    EXPECT(page.locator(".pair:not(.moving)")).to_be_attached()  # the hand has let go
    EXPECT(page.locator("#probe-words")).to_be_empty()  # a drag is no press


def test_chosen_link_out_of_sight_is_brought_into_sight(page):
    page.keyboard.press("z")
    page.click("#links-part summary")
    for rank in (2, 5, 8):
        page.click(f"#links [data-rank='{rank}'] button")
        for side in (0, 1):
            ring = page.locator(f".link[data-rank='{rank}'] .ring").nth(side)
            EXPECT(ring).to_have_attribute("visibility", "visible")


def test_press_on_a_place_shows_its_likely_partner(page):
    pane = page.locator(".border").first.bounding_box()
    page.mouse.click(pane["x"] + pane["width"] * 0.5, pane["y"] + pane["height"] * 0.93)
    EXPECT(page.locator("#probe-words")).to_contain_text("estimate of the partner")
    guess = page.locator(".guess circle.core")
    other = page.locator(".border").nth(1).bounding_box()
    frame = page.locator(".pair").bounding_box()
    x = (float(guess.get_attribute("cx")) + frame["x"] - other["x"]) / other["width"]
    y = (float(guess.get_attribute("cy")) + frame["y"] - other["y"]) / other["height"]
    # The scripted links of rank 1 shift every cell by one row down and one column left.
    assert x == pytest.approx(0.5 - 1 / 14, abs=0.03) and y == pytest.approx(min(1.0, 0.93 + 1 / 14), abs=0.03)
    page.click("#candidate-2")
    EXPECT(page.locator("#probe-words")).to_be_empty()


def test_place_can_be_marked_and_moved_by_keyboard(page):
    page.locator(".pane").first.focus()
    page.keyboard.press("Enter")
    EXPECT(page.locator("#probe-words")).not_to_be_empty()
    before = page.locator(".probe path.core").first.get_attribute("d")
    page.keyboard.press("ArrowRight")
    EXPECT(page.locator(".probe path.core").first).not_to_have_attribute("d", before)
    EXPECT(page.locator("#candidates [aria-selected=true]")).to_have_attribute("data-rank", "1")
    page.keyboard.press("Escape")
    EXPECT(page.locator("#probe-words")).to_be_empty()


def test_no_partner_is_made_up_from_too_few_links(serve, open_page):
    page = open_page(serve({1: "few"}))
    EXPECT(page.locator(".link")).to_have_count(3)
    pane = page.locator(".border").first.bounding_box()
    page.mouse.click(pane["x"] + 10, pane["y"] + pane["height"] - 10)
    EXPECT(page.locator("#probe-words")).to_contain_text("too few links")
    EXPECT(page.locator(".guess")).to_have_count(0)


def test_light_of_both_photographs_can_be_changed(page, check_axe):
    page.click("#light summary")
    page.fill("#brightness", "150")
    for side in (0, 1):
        EXPECT(page.locator(".photo").nth(side)).to_have_css("filter", "brightness(1.5) contrast(1)")
    check_axe(page, "light")
    page.keyboard.press("v")
    EXPECT(page.locator(".photo").first).to_have_css("filter", "grayscale(1) brightness(1.5) contrast(1)")
    page.click("#light-reset")
    EXPECT(page.locator("#frame.lit")).to_have_count(0)
    page.keyboard.press("Escape")
    EXPECT(page.locator("#brightness")).to_be_hidden()


def test_blinking_rests_where_motion_is_not_wanted(serve, open_page, wait_for):
    page = open_page(serve(), reduced_motion="reduce")
    EXPECT(page.locator("#state")).to_be_empty()
    page.keyboard.press("b")
    wait_for(lambda: page.locator(".pane").evaluate_all(PANES) == [None, "hidden"], "one photograph alone")
    page.wait_for_timeout(1000)  # longer than a turn takes where motion is wanted
    assert page.locator(".pane").evaluate_all(PANES) == [None, "hidden"]
    page.keyboard.press("b")
    wait_for(lambda: page.locator(".pane").evaluate_all(PANES) == ["hidden", None], "the other one")


def test_blinking_shows_one_and_the_other(serve, open_page, wait_for):
    page = open_page(serve(), reduced_motion="no-preference")
    EXPECT(page.locator("#state")).to_be_empty()
    page.keyboard.press("b")
    for shown in ([None, "hidden"], ["hidden", None], [None, "hidden"]):
        wait_for(lambda: page.locator(".pane").evaluate_all(PANES) == shown, "the other photograph")
