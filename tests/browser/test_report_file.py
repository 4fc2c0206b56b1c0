"""The report in a browser: from disk, with scripts off, without a request, and on paper."""

from __future__ import annotations

import re
import urllib.request
import zlib

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect


@pytest.fixture
def report_file(serve, open_page, tmp_path):
    """The report of a scripted query as a file; three candidates have lines that the host kept."""
    server = serve({1: "kept", 2: "kept", 3: "kept", 4: "lost"})
    page = open_page(server)
    page.keyboard.press("1")
    EXPECT(page.locator("#candidate-1 .badge-match")).to_be_visible()
    answer = page.request.get(f"{server.address}/review/tasks/t1/report.html?query=q1")
    path = tmp_path / "report.html"
    path.write_bytes(answer.body())
    return path


@pytest.fixture
def opened(browser, report_file):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report_file.as_uri())
    yield page
    assert [url for url in requests if not url.startswith("data:")] == [report_file.as_uri()]
    context.close()


def test_report_opens_from_disk_without_script_or_request(opened):
    assert opened.locator("script").count() == 0
    EXPECT(opened.locator(".candidate")).to_have_count(3)
    EXPECT(opened.locator(".candidate").first).to_contain_text("Match, by anonymous")
    EXPECT(opened.locator(".candidate").first).to_contain_text("Not a probability.")


def test_views_switch_by_css_with_mouse_and_keyboard(opened):
    card = opened.locator(".candidate").first
    EXPECT(card.locator(".pane.kind-matches")).to_be_visible()
    card.locator("label", has_text="Plain").click()
    EXPECT(card.locator(".pane.kind-clean")).to_be_visible()
    EXPECT(card.locator(".pane.kind-matches")).to_be_hidden()
    opened.keyboard.press("ArrowRight")
    EXPECT(card.locator(".pane.kind-matches")).to_be_visible()


def test_report_prints_one_candidate_a_page(browser, report_file, tmp_path):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report_file.as_uri())
    data = page.pdf(format="A4", prefer_css_page_size=True)
    context.close()
    kinds = re.findall(rb"/Type\s*/Page\b(?!s)", data + b"".join(_streams(data)))
    # the head with the query, three candidates, and the list of those that were ranked only
    assert len(kinds) == 5


def _streams(data: bytes) -> list[bytes]:
    """Unpacked object streams of a PDF."""
    found = []
    for part in re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL):
        try:
            found.append(zlib.decompress(part))
        except zlib.error:
            continue
    return found


def long_named(serve, tmp_path):
    server = serve({rank: "kept" for rank in range(1, 4)}, names={1: "Amarantha-Wilhelmina-" * 8, -2: "IMG_" * 60})
    found = urllib.request.urlopen(f"{server.address}/review/tasks/t1/report.html?query=q1")
    path = tmp_path / "long.html"
    path.write_bytes(found.read())
    return path


def test_contents_keep_their_column_whatever_the_names(browser, serve, tmp_path):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(long_named(serve, tmp_path).as_uri())
    column = page.locator(".contents").bounding_box()
    for part in page.locator(".contents .to-query, .contents .to-candidates .meter").all():
        box = part.bounding_box()
        assert box["x"] + box["width"] <= column["x"] + column["width"] + 1
    context.close()


def test_numbers_can_be_read_on_a_phone(browser, report_file):
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(report_file.as_uri())
    plates = page.locator(".candidate").first.locator(".pane.kind-matches .plate:not(.beyond-8) rect")
    assert plates.first.bounding_box()["height"] >= 10
    page.locator(".candidate").first.locator("label.to-full").click()
    EXPECT(plates.first).to_have_css("scale", "none")
    context.close()


def test_report_is_readable_to_axe(browser, report_file, check_axe):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True)
    page = context.new_page()
    page.goto(report_file.as_uri())
    check_axe(page, "report")
    context.close()
