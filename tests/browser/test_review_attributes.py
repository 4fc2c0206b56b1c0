"""Named attributes on the review page: in words, with their terms, in the reader's language, none where none are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pairx_plugin.evidence import AttributeEvidence

EXPECT = pytest.importorskip("playwright.sync_api").expect


def attribute(name: str, **changes) -> AttributeEvidence:
    values = np.zeros((4, 4), np.float32)
    values[0, 0] = 1.0
    terms = {"confidence": 0.91, "overlap": 0.5, "prior": 0.25, "score": 0.61}
    known = {"group": "mark", "kind": "same", "map_0": values, "map_1": values[::-1], **terms}
    return AttributeEvidence(name=name, **{**known, **changes})


@pytest.fixture
def server(serve):
    """A server whose evidence names attributes."""
    started = serve()
    found = started.source._found

    def with_attributes(*arguments):
        explanation = found(*arguments)
        named = (attribute("scar"), attribute("<b>bold</b>", kind="different", side=1))
        return replace(explanation, evidence=replace(explanation.evidence, attributes=named, abstained=True))

    started.source._found = with_attributes
    return started


def test_attributes_stand_with_place_and_terms(server, open_page, check_axe):
    page = open_page(server)
    section = page.locator("#attributes")
    EXPECT(section.locator("table")).to_have_count(2)
    both = section.locator("table").first.locator("tbody tr td, tbody tr th")
    EXPECT(both).to_have_text(
        ["scar distinctive mark", "query: upper left; candidate: lower left", "0.91", "0.50", "0.25", "0.61"]
    )
    EXPECT(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    EXPECT(section.locator("table").last).to_contain_text("<b>bold</b>")  # a head's words are text, whatever they hold
    EXPECT(section.locator("b")).to_have_count(0)
    EXPECT(section).to_contain_text("sure enough to be named")
    check_axe(page, "attributes")


def test_attributes_are_translated(server, open_page):
    page = open_page(server, locale="de-DE")
    EXPECT(page.locator("#attributes h3")).to_have_text("Benannte Merkmale")
    EXPECT(page.locator("#attributes tbody").first).to_contain_text("Narbe")
    EXPECT(page.locator("#attributes tbody").first).to_contain_text("0,91")


def test_explainers_without_attributes_have_no_such_section(serve, open_page):
    page = open_page(serve())
    EXPECT(page.locator("#links")).to_have_count(1)
    EXPECT(page.locator("#attributes")).to_have_count(0)
