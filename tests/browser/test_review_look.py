"""The look: nothing serious for axe, room from 360 px to 4K, light and dark, five languages; pictures of it all."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect

SIZES = {"phone": (360, 780), "tablet": (820, 1180), "desk": (1440, 900)}
SCRIPT = {2: "doubtful", 3: "failed", 4: "unsupported", 5: "stale_model", 6: "few"}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Folder for screenshots: PAIRX_SCREENSHOTS, which CI keeps, or a temporary one."""
    folder = Path(os.environ.get("PAIRX_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def settle(page) -> None:
    """Wait until nothing more comes by itself: photographs, evidence, and what the page makes of them."""
    EXPECT(page.locator(".frame:not(.loading)")).to_be_attached()
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def show_view(page, view: str) -> None:
    """Bring the page into one of the views that are looked at."""
    page.keyboard.press("Escape")
    if view in ("plain", "lines", "colours"):
        page.click(f"label[for=view-{view}]")
    elif view == "link":
        page.click("label[for=view-lines]")
        page.locator(".link[data-rank='1']").focus()
        page.keyboard.press("Enter")
        page.click("#links-part summary")
    elif view == "keys":
        page.click("#keys-button")
    elif view == "menu":
        page.click("#menu summary")
    elif view == "reasons":
        page.click("#cant-tell")
    else:
        row = page.locator(f"#candidate-{view.partition(' ')[2]}")
        row.click()
        EXPECT(row).to_have_attribute("aria-selected", "true")
    settle(page)


VIEWS = ["lines", "plain", "colours", "link", "keys", "menu", "reasons", *(f"candidate {rank}" for rank in range(2, 7))]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", list(SIZES))
def test_every_view_is_readable_to_axe_and_kept_as_a_picture(serve, open_page, check_axe, pictures, size, theme):
    width, height = SIZES[size]
    page = open_page(serve(SCRIPT), width=width, height=height, color_scheme=theme)
    settle(page)
    for view in VIEWS:
        show_view(page, view)
        page.screenshot(path=pictures / f"review-{view.replace(' ', '-')}-{size}-{theme}.png")
        check_axe(page, f"{view}, {size}, {theme}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_other_pages_are_readable_to_axe(serve, open_page, check_axe, pictures, theme):
    signed = serve(token="t" * 20)
    page = open_page(signed, ready=False, color_scheme=theme)
    EXPECT(page.locator("#token")).to_be_focused()
    check_axe(page, "sign in")
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    EXPECT(page.locator("[role=alert]")).to_be_visible()
    page.screenshot(path=pictures / f"sign-in-{theme}.png")
    check_axe(page, "wrong token")
    page.fill("#token", "t" * 20)
    page.keyboard.press("Enter")
    EXPECT(page.locator("#candidates")).to_be_visible()
    page.goto(signed.address + "/review/tasks/none")
    EXPECT(page.locator("h1")).to_have_text("There is no such task")
    check_axe(page, "missing")


@pytest.mark.parametrize("width", [320, 360, 600, 1023, 1024, 1440, 1600, 2560, 3840])
def test_nothing_overflows_from_a_phone_to_4k(serve, open_page, pictures, width):
    height = {320: 640, 360: 780}.get(width, max(700, width * 9 // 16))
    names = {1: "A very long name of an animal without any blanks:" + "x" * 60}
    page = open_page(serve(names=names), width=width, height=height)
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """width => [...document.querySelectorAll("button, select, input, a, label, h1, p")].filter(element => {
            const box = element.getBoundingClientRect();
            const strip = element.closest("#candidates, .jump, .hidden, .list-head, .wide-only");
            const seen = box.width > 2 && getComputedStyle(element).visibility !== "hidden";
            return seen && !strip && (box.right > width + 1 || box.left < -1);
        }).map(element => element.outerHTML.slice(0, 120))""",
        width,
    )
    assert outside == []
    frame = page.locator(".pair").bounding_box()
    assert frame["width"] > 0.85 * min(width, 640) or width >= 1024
    if width >= 2560:
        assert frame["width"] > width * 0.5
        page.screenshot(path=pictures / f"review-lines-{width}-light.png")


@pytest.mark.parametrize("width", [1024, 1350, 1600, 1920])
def test_words_stay_within_buttons_and_columns_on_desks(serve, open_page, width):
    server = serve({1: "outside"})
    for tag in ("en", "de", "it"):
        page = open_page(server, width=width, height=900, locale=tag)
        settle(page)
        page.locator("#links-part summary").click()
        wide = page.evaluate(
            """[...document.querySelectorAll(".verdict, .evidence, #words, .decide, .tools")]
                .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.id || one.className)"""
        )
        assert wide == [], tag
        covered = page.evaluate(
            """() => {
                const over = document.querySelector(".cluster").getBoundingClientRect();
                return [...document.querySelectorAll(".caption p")].filter(line => {
                    const words = document.createRange();
                    words.selectNodeContents(line);
                    const [box, room] = [words.getBoundingClientRect(), line.getBoundingClientRect()];
                    return Math.min(box.right, room.right) > over.left + 1 && box.left < over.right
                        && box.bottom > over.top + 1 && box.top < over.bottom - 1;
                }).map(line => line.innerText);
            }"""
        )
        assert covered == [], tag


@pytest.mark.parametrize("width", [360, 1440])
def test_targets_are_large_enough(serve, open_page, width):
    page = open_page(serve(), width=width)
    settle(page)
    small = page.evaluate(
        """() => [...document.querySelectorAll(
            "button, select, summary, .choice label, input[type=range], .check"
        )].filter(element => {
            const box = element.getBoundingClientRect();
            return box.width > 2 && !element.closest(".hidden, dialog, td, th") && (box.width < 24 || box.height < 24);
        }).map(element => element.outerHTML.slice(0, 120))"""
    )
    assert small == []
    reach = page.locator(".link:not(.unseen) .reach").evaluate_all(
        "all => all.map(one => Math.min(one.getBoundingClientRect().width, one.getBoundingClientRect().height))"
    )
    assert reach and min(reach) >= 24


@pytest.mark.parametrize("tag", ["en", "de", "es", "fr", "it"])
def test_page_speaks_five_languages_without_a_gap(serve, open_page, pictures, tag):
    page = open_page(serve(SCRIPT), locale=tag)
    settle(page)
    assert page.locator("html").get_attribute("lang") == tag
    for view in ("link", "candidate 3", "candidate 5"):
        show_view(page, view)
    page.click("#keys-button")
    text = page.evaluate("document.body.innerText")
    assert not re.search(r"\b[A-Z]{3,}_[A-Z_]+\b", text.replace("OUT_OF_MEMORY", "").replace("IMG_", ""))
    assert "{" not in text and "undefined" not in text
    page.screenshot(path=pictures / f"review-keys-{tag}.png")
    page.click("#keys-close")
    page.screenshot(path=pictures / f"review-stale-{tag}.png")
    widths = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert widths[0] <= widths[1]
    clipped = page.evaluate(
        """[...document.querySelectorAll('.verdict span')]
            .filter(word => word.scrollWidth > word.clientWidth + 1).map(word => word.innerText)"""
    )
    assert clipped == []


def test_language_can_be_chosen(serve, open_page):
    page = open_page(serve())
    page.click("#menu summary")
    page.click("a[hreflang=fr]")
    EXPECT(page.locator("html")).to_have_attribute("lang", "fr")
    EXPECT(page.locator("#list-title")).to_have_text("Candidats")


def test_theme_can_be_chosen_and_stays(serve, open_page):
    page = open_page(serve(), color_scheme="light")
    page.click("#menu summary")
    page.click("label[for=theme-dark]")
    EXPECT(page.locator("body")).to_have_css("background-color", "rgb(21, 24, 27)")
    page.reload()
    EXPECT(page.locator("body")).to_have_css("background-color", "rgb(21, 24, 27)")
    EXPECT(page.locator("#theme-dark")).to_be_checked()


def test_no_motion_where_none_is_wanted(serve, open_page):
    page = open_page(serve({1: "stuck"}), reduced_motion="reduce")
    EXPECT(page.locator(".state-running")).to_be_visible()
    moving = page.evaluate("document.getAnimations().filter(one => one.playState === 'running').length")
    assert moving == 0
