"""A place and its partner in the other photograph: by a link, by an estimate, by an explainer that knows all pairs."""

from __future__ import annotations

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect
CELLS = 14


@pytest.fixture
def page(serve, open_page):
    shown = open_page(serve({1: "partners", 3: "few"}))
    EXPECT(shown.locator("#evidence")).to_have_attribute("aria-busy", "false")
    return shown


def press(page, side: int, x: float, y: float) -> None:
    pane = page.locator(".border").nth(side).bounding_box()
    page.mouse.click(pane["x"] + pane["width"] * x, pane["y"] + pane["height"] * y)


def ring(page, side: int, kind: str) -> tuple[float, float]:
    """Where the ring of the partner lies, in shares of its photograph."""
    EXPECT(page.locator(f".probe .{kind} circle.core")).to_have_count(1)
    return tuple(
        page.evaluate(
            """([side, kind]) => {
                const ring = document.querySelector(`.probe .${kind} circle.core`).getBoundingClientRect();
                const pane = document.querySelectorAll(".border")[side].getBoundingClientRect();
                const [x, y] = [ring.x + ring.width / 2 - pane.x, ring.y + ring.height / 2 - pane.y];
                return [x / pane.width, y / pane.height];
            }""",
            [side, kind],
        )
    )


def test_explainer_that_knows_all_pairs_answers_with_a_map_of_both_signs(page, check_axe):
    press(page, 0, 4.5 / CELLS, 0.5 / CELLS)
    words = page.locator("#probe-words")
    EXPECT(words).to_contain_text("of the query, adds most to the similarity together with")
    EXPECT(words).to_contain_text("(39%, 4%)")  # one cell to the right: 5.5 of 14
    x, y = ring(page, 1, "found")
    assert x == pytest.approx(5.5 / CELLS, abs=0.01) and y == pytest.approx(0.5 / CELLS, abs=0.01)
    tints = page.locator('.pane[data-side="1"] .tint[data-kind="partner"][visibility=visible]')
    EXPECT(tints).to_have_count(2)
    assert sorted(tints.evaluate_all("all => all.map(one => one.dataset.sign)")) == ["against", "for"]
    EXPECT(page.locator('.hatched[data-kind="partner"][visibility=visible]')).to_have_count(1)
    EXPECT(page.locator("#signs")).to_be_visible()
    EXPECT(page.locator("#news")).to_contain_text("adds most to the similarity")
    check_axe(page, "partners of a place")


def test_answer_goes_the_other_way_too(page):
    press(page, 1, 5.5 / CELLS, 0.5 / CELLS)
    EXPECT(page.locator("#probe-words")).to_contain_text("of the candidate, adds most to the similarity together with")
    x, _ = ring(page, 0, "found")
    assert x == pytest.approx(4.5 / CELLS, abs=0.01)


def test_place_moves_by_whole_cells_with_the_keyboard(page):
    page.locator(".pane").first.focus()
    page.keyboard.press("Enter")
    EXPECT(page.locator("#probe-words")).to_contain_text("(61%, 54%)")  # 7.5 of 14 is the middle's cell
    page.keyboard.press("ArrowRight")
    EXPECT(page.locator("#probe-words")).to_contain_text("(68%, 54%)")
    page.keyboard.press("Escape")
    EXPECT(page.locator("#probe-words")).to_be_empty()
    EXPECT(page.locator('[data-kind="partner"]')).to_have_count(0)


def test_map_goes_with_its_pair(page):
    press(page, 0, 0.5, 0.5)
    EXPECT(page.locator('.tint[data-kind="partner"]')).to_have_count(2)
    page.click("#candidate-2")
    EXPECT(page.locator('[data-kind="partner"]')).to_have_count(0)
    EXPECT(page.locator("#probe-words")).to_be_empty()


def test_place_in_a_links_cell_is_answered_by_that_link(page):
    page.click("#candidate-5")  # its links shift every cell by one row up and one column right
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    page.fill("#count", "1")
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(1)
    ends = page.evaluate("() => fetch(document.querySelector('#figures-part a').href).then(answer => answer.json())")
    link = next(item for item in ends["record"]["matches"] if item["rank"] == 9)
    press(page, 0, link["kpts0"][0], link["kpts0"][1])
    EXPECT(page.locator("#probe-words")).to_contain_text("Link 9 joins this place")
    x, y = ring(page, 1, "found")
    assert (x, y) == pytest.approx(link["kpts1"], abs=0.01)
    EXPECT(page.locator(".link.on")).to_have_attribute("data-rank", "9")  # shown, though not among the first
    page.keyboard.press("Escape")


def test_too_few_links_name_the_nearest_and_guess_nothing(page):
    page.click("#candidate-3")
    EXPECT(page.locator(".link")).to_have_count(3)
    press(page, 0, 0.02, 0.98)
    EXPECT(page.locator("#probe-words")).to_contain_text("too few links")
    EXPECT(page.locator("#probe-words")).to_contain_text("The nearest link is")
    EXPECT(page.locator(".guess, .found")).to_have_count(0)
    EXPECT(page.locator(".link.on")).to_have_count(1)


@pytest.mark.parametrize("tag", ["de", "es", "fr", "it"])
def test_partner_is_told_in_other_languages(serve, open_page, tag):
    words = {"de": "trägt zusammen mit", "es": "aporta más", "fr": "contribue le plus", "it": "contribuisce di più"}
    page = open_page(serve({1: "partners"}), locale=tag)
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    press(page, 0, 0.5, 0.5)
    EXPECT(page.locator("#probe-words")).to_contain_text(words[tag])
