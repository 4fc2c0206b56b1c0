"""A reviewer's whole task in a browser: with the mouse, and again with the keyboard alone."""

from __future__ import annotations

import re

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect


def shows(page, rank: int) -> None:
    EXPECT(page.locator("#candidates [aria-selected=true]")).to_have_attribute("data-rank", str(rank))


def stored(page, badge: str) -> None:
    """Wait until a decision shows and its answer is there: news of it may come first, and until then keys rest."""
    EXPECT(page.locator(badge)).to_be_visible()
    EXPECT(page.locator("#decide:not([aria-busy])")).to_be_attached()


def decisions(page) -> list[tuple[int, str, str]]:
    address = page.evaluate("JSON.parse(document.getElementById('data').textContent).api")
    body = page.request.get(page.url.split("/review")[0] + f"{address}/tasks/t1/decisions.json").json()
    return [(item["rank"], item["evidence_decision"], item["action"]) for item in body["history"]]


def wait_ready(page, links: int = 8) -> None:
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(links)
    EXPECT(page.locator("#state")).to_be_empty()


def test_whole_task_with_the_mouse(serve, open_page):
    server = serve()
    page = open_page(server)
    wait_ready(page)
    EXPECT(page.locator("#view-lines")).to_be_checked()  # colours are never first
    EXPECT(page.locator(".bar-facts")).to_contain_text("location: Kaikoura")
    EXPECT(page.locator(".caption.candidate")).to_contain_text("IMG_0013.jpg · 2025-11-20")
    page.click("label[for=view-plain]")
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(0)
    page.click("label[for=view-colours]")
    EXPECT(page.locator('.tint[data-kind="pixel"]:not([visibility=hidden])')).to_have_count(10)
    page.click("label[for=view-lines]")
    page.select_option("#confidence", "pretty_sure")
    page.fill("#note", "same notch in the fin")
    page.click("[data-decision=match]")
    EXPECT(page.locator("#toast")).to_contain_text("Candidate 1: Match")
    shows(page, 2)
    EXPECT(page.locator("#note")).to_have_value("")
    page.click("[data-decision=nomatch] >> nth=0")
    shows(page, 3)
    page.click("#cant-tell")
    page.click("#reasons [data-decision=notcomp]")
    shows(page, 4)
    page.click(".verdict[data-decision=unreviewed]")
    EXPECT(page.locator("#progress-words")).to_have_text("4 of 6 decided")
    page.click("#undo")
    EXPECT(page.locator("#progress-words")).to_have_text("3 of 6 decided")
    page.click("#candidate-1")
    EXPECT(page.locator(".verdict.match")).to_have_attribute("aria-pressed", "true")
    EXPECT(page.locator("#note")).to_have_value("same notch in the fin")
    EXPECT(page.locator("#confidence")).to_have_value("pretty_sure")
    page.click("#next-query")
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0422.jpg")
    EXPECT(page.locator("#progress-words")).to_have_text("0 of 6 decided")
    assert decisions(page) == [
        (1, "match", "decide"),
        (2, "nomatch", "decide"),
        (3, "notcomp", "decide"),
        (4, "unreviewed", "decide"),
        (4, "unreviewed", "undo"),
    ]


def test_whole_task_with_the_keyboard_alone(serve, open_page):
    page = open_page(serve())
    wait_ready(page)
    page.keyboard.press("1")
    EXPECT(page.locator("#candidate-1 .badge-match")).to_be_visible()
    shows(page, 2)
    page.keyboard.press("2")
    EXPECT(page.locator("#candidate-2 .badge-nomatch")).to_be_visible()
    shows(page, 3)
    page.keyboard.press("3")
    EXPECT(page.locator("#reasons")).to_be_visible()
    page.keyboard.press("Escape")
    EXPECT(page.locator("#reasons")).to_be_hidden()
    page.keyboard.press("3")
    page.keyboard.press("2")
    EXPECT(page.locator("#candidate-3 .badge-unsure")).to_be_visible()
    shows(page, 4)
    page.keyboard.press("4")
    EXPECT(page.locator("#candidate-4 .badge-skip")).to_be_visible()
    shows(page, 5)
    page.keyboard.press("u")
    EXPECT(page.locator("#candidate-4 .badge-none")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    shows(page, 4)
    page.keyboard.press("v")
    EXPECT(page.locator("#view-colours")).to_be_checked()
    page.keyboard.press("v")
    page.keyboard.press("v")
    wait_ready(page)
    page.keyboard.press("+")
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(9)
    page.keyboard.press("-")
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)
    page.keyboard.press("ArrowDown")
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0422.jpg")
    page.keyboard.press("ArrowUp")
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0412.jpg")
    assert decisions(page) == [
        (1, "match", "decide"),
        (2, "nomatch", "decide"),
        (3, "unknown", "decide"),
        (4, "unreviewed", "decide"),
        (4, "unreviewed", "undo"),
    ]


def test_undo_of_a_decision_on_a_skipped_candidate_shows_the_skip_again(serve, open_page):
    page = open_page(serve())
    wait_ready(page)
    page.evaluate("document.getElementById('go-on').checked = false")
    page.keyboard.press("4")
    stored(page, "#candidate-1 .badge-skip")
    page.keyboard.press("1")
    stored(page, "#candidate-1 .badge-match")
    page.keyboard.press("u")
    EXPECT(page.locator("#toast")).to_contain_text("What stands now: Skipped")
    stored(page, "#candidate-1 .badge-skip")
    EXPECT(page.locator(".verdict.skip-it")).to_have_attribute("aria-pressed", "true")
    EXPECT(page.locator("#progress-words")).to_have_text("1 of 6 decided")
    page.reload()
    stored(page, "#candidate-1 .badge-skip")
    EXPECT(page.locator("#progress-words")).to_have_text("1 of 6 decided")
    page.click("#candidate-1")
    page.keyboard.press("u")
    stored(page, "#candidate-1 .badge-none")
    EXPECT(page.locator("#progress-words")).to_have_text("0 of 6 decided")


def test_candidate_whose_decision_was_taken_back_is_open_again(serve, open_page):
    page = open_page(serve(n=2))
    wait_ready(page)
    page.keyboard.press("1")
    shows(page, 2)
    page.keyboard.press("u")
    stored(page, "#candidate-1 .badge-none")
    page.keyboard.press("2")
    shows(page, 1)


def test_list_can_show_what_is_open_or_the_best_of_each_individual(serve, open_page):
    page = open_page(serve(names={1: "Rata", 2: "Rata", 3: None, 4: "Ngaio", 5: None, 6: "Rata"}))
    wait_ready(page)
    rows = page.locator("#candidates li:visible")
    EXPECT(rows).to_have_count(6)
    page.select_option("#list-filter", "best")
    EXPECT(rows).to_have_count(4)
    EXPECT(page.locator("#list-count")).to_have_text("4 of 6 photographs")
    page.locator("#candidates").focus()
    page.keyboard.press("ArrowDown")
    shows(page, 3)
    page.select_option("#list-filter", "open")
    page.keyboard.press("Escape")
    page.locator("#candidates").focus()
    page.keyboard.press("2")
    EXPECT(page.locator("#candidate-3 .badge-nomatch")).to_be_attached()
    shows(page, 4)
    EXPECT(page.locator("#candidate-3")).to_be_hidden()
    EXPECT(rows).to_have_count(5)


NAME_OF_FOCUS = """(() => {
    const element = document.activeElement;
    const { rank, side, decision } = element.dataset;
    return element.id || rank || side || decision || element.getAttribute("href") || "";
})()"""


def test_tab_reaches_every_control_in_order(serve, open_page):
    page = open_page(serve())
    wait_ready(page)
    seen = []
    for _ in range(70):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break  # past the last control
        seen.append(page.evaluate(NAME_OF_FOCUS))
        style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        # These mark the focus otherwise: on the label, on the ring, on the selected row.
        own = page.evaluate("document.activeElement.matches('input[type=radio], svg *, #candidates')")
        assert style != "none" or own, seen[-1]
    wanted = ["#stage", "next-query", "candidates", "0", "1", "view-lines", "count", "level-medium", "match", "note"]
    places = [seen.index(name) for name in wanted]
    assert places == sorted(places), seen
    assert {"2", "8", "confidence", "note", "cant-tell", "explainer", "swap", "keys-button"} <= set(seen)


def test_decision_is_stored_when_the_answer_is_slow_only_once(serve, open_page):
    server = serve()
    page = open_page(server)
    wait_ready(page)
    page.route("**/decision", lambda route: (page.wait_for_timeout(300), route.continue_()))
    page.keyboard.press("1")
    page.keyboard.press("1")
    EXPECT(page.locator("#candidate-1 .badge-match")).to_be_visible()
    shows(page, 2)
    page.keyboard.press("2")  # this one is stored after whatever the second press may have sent
    stored(page, "#candidate-2 .badge-nomatch")
    assert decisions(page) == [(1, "match", "decide"), (2, "nomatch", "decide")]


def test_two_reviewers_at_once_see_each_other(serve, open_page):
    server = serve()
    ana, ben = open_page(server), open_page(server)
    wait_ready(ana), wait_ready(ben)
    for page, name in ((ana, "Ana"), (ben, "Ben")):
        page.click("#menu summary")
        page.fill("#reviewer", name)
        page.locator("#reviewer").press("Tab")
        page.keyboard.press("Escape")
    ana.keyboard.press("1")
    EXPECT(ben.locator("#candidate-1 .badge-match")).to_be_visible()
    shows(ben, 1)


def test_stale_reviewer_is_told_and_may_decide_anyway(serve, open_page):
    server = serve()
    ben = open_page(server, path="/review/tasks/t1")
    wait_ready(ben)
    # Ben's page does not hear of it: news may be late, and two people may press at the same moment.
    ben.evaluate("document.getElementById('go-on').checked = false")
    from pairx_plugin.review import Decision, Pair

    pair = Pair(task_id="t1", query_id="q1", rank=1, query_annotation="a1", candidate_annotation="c1-1")
    server.source.decisions.append(Decision(pair=pair, evidence_decision="match", user_id="user:web:Ana"), 0)
    ben.keyboard.press("2")
    EXPECT(ben.locator("#conflict")).to_contain_text("Ana decided this pair meanwhile: Match")
    EXPECT(ben.locator("#candidate-1 .badge-match")).to_be_visible()
    ben.click("#clash-mine")
    EXPECT(ben.locator("#candidate-1 .badge-nomatch")).to_be_visible()
    EXPECT(ben.locator("#conflict")).to_be_hidden()
    assert [what for _, what, _ in decisions(ben)] == ["match", "nomatch"]


def test_decisions_without_a_server_are_not_lost_silently(serve, open_page):
    server = serve()
    page = open_page(server)
    wait_ready(page)
    page.route("**/decision", lambda route: route.abort())
    page.keyboard.press("1")
    EXPECT(page.locator("#conflict")).to_contain_text("was not stored")
    EXPECT(page.locator("#candidate-1 .badge-none")).to_be_visible()
    shows(page, 1)


def test_hostile_names_and_notes_are_text(serve, open_page):
    hostile = "<img src=x onerror=document.title='broken'><script>document.title='broken'</script>"
    server = serve(names={1: hostile, -1: hostile})
    page = open_page(server)
    wait_ready(page)
    page.fill("#note", hostile)
    page.click("[data-decision=match]")
    shows(page, 2)
    page.click("#candidate-1")
    EXPECT(page.locator("#note")).to_have_value(hostile)
    EXPECT(page.locator("#candidate-1 .name bdi")).to_have_text(hostile)
    assert "broken" not in page.title() and page.locator("img[src=x]").count() == 0


def test_export_is_a_file(serve, open_page):
    page = open_page(serve())
    wait_ready(page)
    page.keyboard.press("1")
    EXPECT(page.locator("#candidate-1 .badge-match")).to_be_visible()
    page.click("#menu summary")
    with page.expect_download() as waiting:
        page.click("#to-csv")
    text = waiting.value.path().read_text(encoding="utf-8-sig")
    assert waiting.value.suggested_filename == "decisions-t1.csv"
    assert re.search(r"^t1,q1,1,a1,c1-1,match,", text, re.MULTILINE)
