"""Decisions while others are under way, here or elsewhere: each is stored for its own pair, with its own words."""

from __future__ import annotations

import pytest

from pairx_plugin.review import Decision, Pair

EXPECT = pytest.importorskip("playwright.sync_api").expect
SLOW_DECISIONS = """
    const ask = window.fetch;
    window.fetch = async (address, options) => {
        if (window.slow && String(address).includes("/decision")) await window.slow;
        return ask(address, options);
    };
"""
HOLD = "void (window.slow = new Promise(resolve => { window.go = resolve; }))"  # a promise would be waited for


def shows(page, rank: int) -> None:
    EXPECT(page.locator("#candidates [aria-selected=true]")).to_have_attribute("data-rank", str(rank))


def decided_by_ana(server, rank: int = 1) -> None:
    pair = Pair(task_id="t1", query_id="q1", rank=rank, query_annotation="a1", candidate_annotation=f"c1-{rank}")
    decision = Decision(
        pair=pair, evidence_decision="match", user_id="user:web:Ana", comment="hers", confidence="absolutely_sure"
    )
    server.source.decisions.append(decision, 0)


def newest(server, rank: int) -> Decision:
    return server.source.decisions.latest("q1")[f"c1-{rank}"]


def test_decision_on_the_next_pair_is_not_lost_while_one_is_stored(serve, open_page):
    server = serve()
    page = open_page(server, script=SLOW_DECISIONS)
    page.evaluate(HOLD)
    page.keyboard.press("1")
    EXPECT(page.locator("#toast")).to_contain_text("Candidate 1: the decision is being stored")
    page.keyboard.press("ArrowRight")
    shows(page, 2)
    page.keyboard.press("2")
    page.evaluate("window.go()")
    EXPECT(page.locator("#candidate-1 .badge-match")).to_be_visible()
    EXPECT(page.locator("#candidate-2 .badge-nomatch")).to_be_visible()
    shows(page, 3)
    assert [newest(server, rank).evidence_decision for rank in (1, 2)] == ["match", "nomatch"]


def test_answer_that_comes_when_another_query_is_shown_changes_nothing_there(serve, open_page):
    server = serve()
    page = open_page(server, script=SLOW_DECISIONS)
    page.evaluate(HOLD)
    page.keyboard.press("1")
    page.keyboard.press("ArrowDown")
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0422.jpg")
    page.evaluate("window.go()")
    EXPECT(page.locator("#toast")).to_contain_text("Candidate 1: Match")
    EXPECT(page.locator("#candidate-1 .badge-none")).to_be_visible()
    EXPECT(page.locator(".verdict.match")).to_have_attribute("aria-pressed", "false")
    EXPECT(page.locator("#progress-words")).to_have_text("0 of 6 decided")
    assert newest(server, 1).evidence_decision == "match"


def test_note_stays_when_somebody_else_decides_the_pair(serve, open_page):
    ana, ben = (open_page(server) for server in [serve()] * 2)
    ben.fill("#note", "left ear torn")
    ben.check("[name=tag][value=photobomb]")
    ana.fill("#note", "hers")
    ana.click(".verdict.nomatch")
    EXPECT(ben.locator("#toast")).to_contain_text("has just decided this pair")  # seen, not only read out
    EXPECT(ben.locator(".verdict.nomatch")).to_have_attribute("aria-pressed", "true")
    EXPECT(ben.locator("#note")).to_have_value("left ear torn")
    EXPECT(ben.locator("[name=tag][value=photobomb]")).to_be_checked()


@pytest.mark.parametrize("note", ["left ear torn", ""], ids=["typed", "empty"])
def test_deciding_anyway_sends_the_reviewers_own_words(serve, open_page, note):
    server = serve()
    ben = open_page(server)
    ben.evaluate("document.getElementById('go-on').checked = false")
    if note:
        ben.fill("#note", note)
    decided_by_ana(server)
    ben.click(".verdict.nomatch")
    EXPECT(ben.locator("#conflict")).to_contain_text("Ana decided this pair meanwhile: Match")
    EXPECT(ben.locator("#note")).to_have_value(note)
    ben.click("#clash-mine")
    EXPECT(ben.locator("#candidate-1 .badge-nomatch")).to_be_visible()
    found = newest(server, 1)
    assert (found.evidence_decision, found.comment, found.confidence) == ("nomatch", note, "unspecified")


def test_giving_way_shows_the_other_reviewers_words(serve, open_page):
    server = serve()
    ben = open_page(server)
    ben.fill("#note", "left ear torn")
    decided_by_ana(server)
    ben.click(".verdict.nomatch")
    ben.click("#clash-theirs")
    EXPECT(ben.locator("#note")).to_have_value("hers")
    EXPECT(ben.locator("#confidence")).to_have_value("absolutely_sure")


def test_clash_on_a_pair_that_was_left_names_it_and_is_settled_there(serve, open_page):
    server = serve()
    ben = open_page(server, script=SLOW_DECISIONS)
    decided_by_ana(server)
    ben.evaluate(HOLD)
    ben.keyboard.press("2")
    ben.keyboard.press("ArrowRight")
    ben.evaluate("window.go()")
    EXPECT(ben.locator("#conflict")).to_contain_text("Candidate 1: Ana decided this pair meanwhile")
    ben.click("#clash-mine")
    EXPECT(ben.locator("#candidate-1 .badge-nomatch")).to_be_visible()
    EXPECT(ben.locator("#candidate-2 .badge-none")).to_be_visible()
    assert newest(server, 1).evidence_decision == "nomatch"


def test_undo_means_the_pair_that_the_reviewer_went_back_to(serve, open_page):
    page = open_page(serve())
    for key, badge in (("1", "#candidate-1 .badge-match"), ("2", "#candidate-2 .badge-nomatch")):
        page.keyboard.press(key)
        EXPECT(page.locator(badge)).to_be_visible()
    shows(page, 3)
    page.click("#candidate-1")
    page.keyboard.press("u")
    EXPECT(page.locator("#toast")).to_contain_text("The decision on candidate 1 is taken back")
    EXPECT(page.locator("#candidate-2 .badge-nomatch")).to_be_visible()


def test_page_goes_on_among_what_is_listed(serve, open_page):
    page = open_page(serve(names={1: "Rata", 2: "Rata", 3: "Rata", 4: "Ngaio", 5: "Ngaio", 6: "Rata"}))
    page.select_option("#list-filter", "best")
    page.locator("#candidates").focus()
    page.keyboard.press("1")
    shows(page, 4)
    page.keyboard.press("2")
    EXPECT(page.locator("#toast")).to_contain_text("Candidate 4: No match. Every candidate listed here is decided.")
    shows(page, 4)
