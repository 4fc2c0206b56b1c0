"""Evidence that is on its way, or never comes: each state looks and reads differently, and nothing waits for it."""

from __future__ import annotations

import re

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect


def shown_tints(page, kind):
    return page.locator(f'.tint[data-kind="{kind}"]:not([visibility=hidden])')


def state(page):
    return page.locator("#state .state")


def test_photographs_and_decisions_do_not_wait_for_evidence(serve, open_page):
    server = serve({1: "stuck"})
    page = open_page(server)
    EXPECT(state(page)).to_have_class(re.compile("state-running"))
    EXPECT(state(page)).to_contain_text("Loading the network")
    assert page.locator(".photo").evaluate_all("all => all.every(photo => photo.getAttribute('href'))")
    page.keyboard.press("1")
    EXPECT(page.locator("#candidate-1 .badge-match")).to_be_visible()


def test_waiting_says_how_many_come_first(serve, open_page):
    server = serve({1: "stuck", 2: "stuck"})
    first = open_page(server)
    EXPECT(state(first)).to_have_class(re.compile("state-running"))
    second = open_page(server)
    second.click("#candidate-5")
    EXPECT(state(second)).to_have_class(re.compile("state-queued"))
    EXPECT(state(second)).to_contain_text("1 explanation comes first. You can decide meanwhile.")
    EXPECT(second.locator("#candidate-5 .standing")).to_contain_text("waiting")


def test_lines_come_first_and_colours_after(serve, open_page):
    server = serve({1: "slow"})
    page = open_page(server)
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)
    EXPECT(state(page)).to_contain_text("The lines are ready; the colours are on their way.")
    EXPECT(page.locator("#words")).to_contain_text("Not a probability.")
    page.click("label[for=view-colours]")
    EXPECT(page.locator("#no-colours")).to_be_visible()
    server.source.gate.set()
    EXPECT(shown_tints(page, "pixel")).to_have_count(10)
    EXPECT(page.locator("#no-colours")).to_be_hidden()
    EXPECT(page.locator("#state")).to_be_empty()


def test_chosen_link_stays_chosen_when_colours_come(serve, open_page):
    server = serve({1: "slow"})
    page = open_page(server)
    page.locator(".link[data-rank='2']").focus()
    page.keyboard.press("Enter")
    server.source.gate.set()
    EXPECT(page.locator("#state")).to_be_empty()
    EXPECT(page.locator(".link[data-rank='2']")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(
    ("how", "kind", "words", "retry"),
    [
        ("failed", "failed", "There was not enough memory.", True),
        ("broken", "failed", "Relevance could not be carried back", False),
        ("unsupported", "unsupported", "This kind of network cannot be explained.", False),
        ("lost", "failed", "The photograph cannot be opened.", False),
        ("lines", "part", "there are no colours", True),
        ("stale_chip", "stale", "A photograph has changed since it was ranked", False),
        ("stale_model", "stale", "The network has changed since it ranked", False),
    ],
)
def test_each_end_reads_differently_and_offers_what_helps(serve, open_page, how, kind, words, retry):
    server = serve({2: how})
    page = open_page(server)
    page.click("#candidate-2")
    EXPECT(state(page)).to_have_class(re.compile(rf"state-{kind}\b"))
    EXPECT(state(page)).to_contain_text(words)
    EXPECT(page.locator("#retry")).to_have_count(int(retry))
    EXPECT(page.locator("#anew")).to_have_count(int(kind == "stale"))
    EXPECT(page.locator("#candidates [role=option]")).to_have_count(6)
    EXPECT(page.locator(".verdict.match")).to_be_enabled()
    assert "/secret/place" not in page.content()


LOOK_OF_STATE = """(() => {
    const box = document.querySelector("#state .state"), style = getComputedStyle(box);
    const frame = [style.borderStyle, style.borderColor, style.backgroundColor].join();
    return [frame, box.querySelector("path").getAttribute("d")];
})()"""


def test_states_look_different(serve, open_page):
    script = {1: "failed", 2: "unsupported", 3: "stale_chip", 4: "lines", 5: "stuck"}
    page = open_page(serve(script))
    looks = set()
    for rank, kind in ((1, "failed"), (2, "unsupported"), (3, "stale"), (4, "part"), (5, "running")):
        page.click(f"#candidate-{rank}")
        EXPECT(state(page)).to_have_class(re.compile(rf"state-{kind}\b"))
        looks.add(tuple(page.evaluate(LOOK_OF_STATE)))  # in one reading, as the box is made anew every second
    assert len(looks) == 5 and len({icon for _, icon in looks}) == 5


def test_retry_brings_the_evidence(serve, open_page):
    page = open_page(serve({1: "failed"}))
    EXPECT(state(page)).to_contain_text("OUT_OF_MEMORY")
    page.click("#retry")
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)
    EXPECT(page.locator("#state")).to_be_empty()


def test_stale_evidence_is_made_anew_when_asked(serve, open_page):
    page = open_page(serve({1: "stale_model"}))
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)  # what the network of that time found
    page.click("#anew")
    EXPECT(page.locator("#state")).to_be_empty()
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)


def test_part_of_an_explanation_is_shown_as_such_when_its_time_is_up(serve, open_page):
    server = serve({1: "slow"}, time_limit=3)  # long enough for all but what waits for the gate
    page = open_page(server)
    EXPECT(state(page)).to_have_class(re.compile("state-part"))
    EXPECT(state(page)).to_contain_text("The lines are ready; there are no colours.")
    EXPECT(state(page)).to_contain_text("It took too long and was stopped.")
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)
    EXPECT(page.locator("#candidate-1 .standing")).to_contain_text("lines only")
    page.click("label[for=view-colours]")
    EXPECT(page.locator("#no-colours")).to_contain_text("there are no colours")
    server.source.gate.set()
    page.click("#retry")
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    EXPECT(page.locator("#state")).to_be_empty()
    EXPECT(shown_tints(page, "pixel")).to_have_count(10)


def test_colours_that_were_missing_for_one_pair_are_shown_for_the_next(serve, open_page):
    page = open_page(serve({1: "lines", 5: "stuck"}))
    page.click("label[for=view-colours]")
    EXPECT(shown_tints(page, "intermediate")).to_have_count(2)  # all that there is without colours
    page.click("#candidate-5")
    EXPECT(state(page)).to_have_class(re.compile("state-running"))  # nothing yet, of either kind
    page.click("#candidate-6")  # nobody waits for the fifth any more
    EXPECT(shown_tints(page, "pixel")).to_have_count(10)


def test_maps_that_were_chosen_stay_chosen_over_a_pair_without_colours(serve, open_page):
    page = open_page(serve({2: "lines"}))
    page.click("label[for=view-colours]")
    EXPECT(shown_tints(page, "pixel")).to_have_count(10)
    page.select_option("#map-kind", "intermediate")
    for rank in (2, 3):
        page.click(f"#candidate-{rank}")
        EXPECT(page.locator(f"#candidate-{rank}")).to_have_attribute("aria-selected", "true")
        EXPECT(shown_tints(page, "intermediate")).to_have_count(2)
    EXPECT(page.locator(".tint[data-kind=pixel]")).to_have_count(10)  # they are there, and not shown
    EXPECT(shown_tints(page, "pixel")).to_have_count(0)


def test_lines_on_other_pixels_are_not_drawn(serve, open_page):
    page = open_page(serve({1: "stale_chip"}))
    EXPECT(state(page)).to_have_class(re.compile("state-stale"))
    EXPECT(page.locator(".link")).to_have_count(0)


def test_lost_photograph_costs_nothing_else(serve, open_page):
    page = open_page(serve({1: "lost"}))
    EXPECT(page.locator(".caption.candidate")).to_contain_text("You can still decide")
    page.keyboard.press("3")
    page.keyboard.press("1")
    EXPECT(page.locator("#candidate-1 .badge-unsure")).to_be_visible()


def test_doubts_stand_before_everything_else(serve, open_page):
    page = open_page(serve({1: "doubtful"}))
    EXPECT(page.locator("#words > :first-child")).to_have_class("doubts")
    EXPECT(page.locator(".doubts")).to_contain_text("Candidate: 33.3% of what the network saw lies beyond")


def test_next_two_are_prefetched_and_leaving_cancels(serve, open_page, wait_for):
    server = serve({2: "stuck", 3: "stuck", 5: "stuck"})
    page = open_page(server)
    EXPECT(page.locator("#state")).to_be_empty()
    # 3 waits behind 2, and 4 is not asked for
    wait_for(lambda: [rank for _, rank, _ in server.source.asked] == [1, 2], "the first prefetch")
    page.click("#candidate-5")
    wait_for(lambda: 2 in server.source.cancelled, "the end of what nobody looks at")
    wait_for(lambda: [rank for _, rank, _ in server.source.asked][-1] == 5, "the one that is looked at")
    assert 3 not in [rank for _, rank, _ in server.source.asked]
    page.goto("about:blank")
    wait_for(lambda: 5 in server.source.cancelled, "the end of what was looked at")
    # What was asked for at the very last is let go when the page's connection ends.
    jobs = server._server.services.queue.jobs_of
    wait_for(lambda: all(job.over for job in jobs("q1")), "an empty queue")


def test_click_is_not_lost_where_a_row_changes_between_press_and_release(serve, open_page, wait_for):
    server = serve({2: "stuck"})
    page = open_page(server)
    wait_for(lambda: [rank for _, rank, _ in server.source.asked] == [1, 2], "the first prefetch")
    page.locator("#candidate-2 .file").hover()
    page.mouse.down()
    server.source.gate.set()
    wait_for(lambda: 3 in [rank for _, rank, _ in server.source.asked], "the end of the first prefetch")
    page.wait_for_timeout(500)  # news of it are on the page by then, and nothing there may show them yet
    page.mouse.up()
    EXPECT(page.locator("#candidate-2")).to_have_attribute("aria-selected", "true")
    EXPECT(page.locator("#candidate-2 .standing")).to_contain_text("weak")


def test_page_that_was_left_in_a_hurry_leaves_no_work_behind(serve, open_page, wait_for):
    server = serve({rank: "stuck" for rank in range(2, 7)})
    page = open_page(server)
    EXPECT(page.locator("#state")).to_be_empty()
    for rank in (2, 4, 6, 3, 5):  # quicker than answers come
        page.evaluate(f"document.getElementById('candidate-{rank}').click()")
    EXPECT(state(page)).to_have_class(re.compile("state-(running|queued)"))
    jobs = server._server.services.queue.jobs_of
    wait_for(lambda: {job.key.rank for job in jobs("q1") if not job.over} == {5, 6}, "two that are wanted")


def test_other_query_is_shown_without_evidence_of_the_first(serve, open_page, wait_for):
    server = serve({1: "slow"})
    page = open_page(server)
    EXPECT(page.locator(".link:not(.unseen)")).to_have_count(8)
    page.click("#next-query")
    wait_for(lambda: 1 in server.source.cancelled, "the end of the first query's explanation")
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0422.jpg")
    server.source.gate.set()
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    EXPECT(page.locator("#state")).to_be_empty()
    assert {query for query, *_ in server.source.asked} == {"q1", "q2"}
    page.go_back()
    EXPECT(page.locator("#query-name")).to_have_text("IMG_0412.jpg")


def test_restarted_server_is_written_to_again(serve, open_page):
    server = serve()
    page = open_page(server)
    EXPECT(page.locator("#state")).to_be_empty()
    server._server.app._secret = b"another one, as after a restart"
    page.keyboard.press("1")
    EXPECT(page.locator("#candidate-1 .badge-match")).to_be_visible()


def test_writes_that_are_refused_at_once_are_all_sent_again(serve, open_page):
    server = serve()
    page = open_page(server)
    EXPECT(page.locator("#state")).to_be_empty()
    server._server.app._secret = b"another one, as after a restart"
    outcomes = page.evaluate(
        """async () => {
            const { send } = await import("/review/static/api.js");
            const three = await Promise.allSettled([1, 2, 3].map(() => send("POST", "/explanations", {})));
            return three.map((one) => one.reason.status);
        }"""
    )
    assert 403 not in outcomes and outcomes == [outcomes[0]] * 3  # the body is wrong, and that is what is said


HEARD = """
    window.heard = [];
    document.addEventListener("DOMContentLoaded", () => {
        const news = document.getElementById("news");
        new MutationObserver(() => window.heard.push([...news.children].map(line => line.textContent)))
            .observe(news, { childList: true });
    });
"""


def test_live_region_tells_everything_that_happens(serve, open_page, wait_for):
    page = open_page(serve({2: "broken"}), script=HEARD)  # lines stay for some seconds only, so they are written down
    EXPECT(page.locator("#news")).to_have_attribute("aria-live", "polite")

    def heard(*words: str) -> None:
        def at_once() -> bool:
            lines = page.evaluate("window.heard")
            return any(all(any(word in line for line in now) for word in words) for now in lines)

        wait_for(at_once, f"the message {words}")

    heard("The explanation is ready. Strong evidence")
    page.keyboard.press("ArrowRight")
    heard("Candidate 2, Ngaio 2, IMG_0023.jpg")
    page.keyboard.press("2")
    # the next candidate is told of while the decision is still there to be read
    heard("Candidate 2: No match", "Candidate 3, no name, IMG_0033.jpg")
