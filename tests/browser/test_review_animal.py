"""Links outside of the animal: counted, marked by more than colour, listed; nothing where nobody knows where it is."""

from __future__ import annotations

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def page(serve, open_page):
    shown = open_page(serve({1: "outside"}))
    EXPECT(shown.locator("#evidence")).to_have_attribute("aria-busy", "false")
    return shown


def outside(page) -> list[int]:
    """The ranks of the links that end in the right half of the candidate, by where their rings are."""
    return page.evaluate(
        """() => {
            const pane = document.querySelectorAll(".border")[1].getBoundingClientRect();
            return [...document.querySelectorAll(".link:not(.unseen)")].filter(link => {
                const ring = link.querySelectorAll(".ring .core")[1].getBoundingClientRect();
                return ring.x + ring.width / 2 > pane.x + pane.width / 2;
            }).map(link => Number(link.dataset.rank)).sort((a, b) => a - b);
        }"""
    )


def test_links_outside_are_counted_marked_and_listed(page, check_axe):
    page.fill("#count", "20")
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(20)
    wanted = outside(page)
    assert 0 < len(wanted) < 20
    EXPECT(page.locator(".says")).to_contain_text(f"Of 20 links, {len(wanted)} end outside the animal.")
    marked = page.locator(".link:has(.ring.outside)")
    EXPECT(marked).to_have_count(len(wanted))
    assert sorted(marked.evaluate_all("all => all.map(one => Number(one.dataset.rank))")) == wanted
    cross = page.locator(f".link[data-rank='{wanted[0]}'] .ring.outside .cross.core")
    EXPECT(cross).to_have_count(1)
    assert cross.get_attribute("d").count("M") == 2
    label = page.locator(f".link[data-rank='{wanted[0]}']").get_attribute("aria-label")
    assert label.endswith("on the animal: candidate: no")
    EXPECT(page.locator("#crossed")).to_be_visible()
    page.click("#links-part summary")
    EXPECT(page.locator("#links thead")).to_contain_text("On the animal")
    EXPECT(page.locator("#links td.away")).to_have_count(len(wanted))
    EXPECT(page.locator("#links td.away .icon")).to_have_count(len(wanted))
    EXPECT(page.locator("#links tbody tr").nth(wanted[0] - 1)).to_contain_text("candidate: no")
    check_axe(page, "links outside")


def test_doubt_says_that_much_lies_outside(page):
    EXPECT(page.locator(".doubts")).to_contain_text("end outside the animal")
    EXPECT(page.locator("#words > :first-child")).to_have_class("doubts")


def test_nothing_is_said_where_nobody_knows_where_the_animal_is(page):
    page.click("#candidate-2")
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    EXPECT(page.locator(".says")).to_contain_text("links fit")
    EXPECT(page.locator("#words")).not_to_contain_text("the animal")
    EXPECT(page.locator(".ring.outside")).to_have_count(0)
    EXPECT(page.locator("#crossed")).to_be_hidden()
    EXPECT(page.locator("#links thead")).not_to_contain_text("On the animal")


def test_key_goes_with_everything_that_is_drawn(page):
    EXPECT(page.locator("#crossed")).to_be_visible()
    page.click("label[for=view-plain]")
    EXPECT(page.locator("#crossed")).to_be_hidden()


def test_key_is_there_only_while_a_link_that_it_explains_is_drawn(serve, open_page):
    page = open_page(serve({3: "outside"}))
    page.click("#candidate-3")
    EXPECT(page.locator("#crossed")).to_be_visible()
    first = outside(page)[0]
    assert first > 1
    for count, shown in ((first - 1, False), (first, True)):
        page.fill("#count", str(count))
        EXPECT(page.locator("#crossed")).to_be_visible(visible=shown)


@pytest.mark.parametrize("tag", ["de", "es", "fr", "it"])
def test_outside_is_said_in_other_languages(serve, open_page, tag):
    words = {"de": "außerhalb des Tieres", "es": "fuera del animal", "fr": "en dehors de l’animal"}
    words["it"] = "fuori dall’animale"
    page = open_page(serve({1: "outside"}), locale=tag)
    EXPECT(page.locator(".says")).to_contain_text(words[tag])
    EXPECT(page.locator("#crossed")).to_contain_text(words[tag])
