"""Explainers that have maps and no matches: what pictures, reports and the review page say of them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from pairx_hooks import Annotation, Artifact, Candidate, Explanation, RankedQuery, Status
from pairx_plugin.chips import Chip
from pairx_plugin.evidence import LayerEvidence, PairEvidence
from pairx_plugin.explainers.maps_only import map_doubts, map_layer, same_picture
from pairx_plugin.explanation import PairExplanation
from pairx_plugin.rendering.colour_maps import shares
from pairx_plugin.rendering.legend import MAPS_ONLY, NO_LINES, OWN_SCALE, RELEVANCE, SIGNED, colours_legend
from pairx_plugin.rendering.legend import lines_legend
from pairx_plugin.rendering.panels import render
from pairx_plugin.rendering.pictures import encode
from pairx_plugin.rendering.style import Style
from pairx_plugin.report import ReportQuery, write_report
from pairx_plugin.report.messages import Messages
from pairx_plugin.report.reading import read_record
from pairx_plugin.report.views import view_query
from pairx_plugin.report.words import Words
from pairx_plugin.review.evidence_parts import parts_of

LANGUAGES = ("en", "de", "es", "fr", "it")
STYLE = Style(max_width=700, max_height=300)


def peak(row, col, value=1.0, grid=(4, 4)):
    made = np.zeros(grid, np.float32)
    made[row, col] = value
    return made


def layer_of(map_0, map_1):
    return map_layer("conv", (map_0, map_1), (32, 32))


@pytest.fixture
def plain():
    return layer_of(peak(0, 0), np.full((4, 4), 0.01, np.float32))


@pytest.fixture
def signed():
    return layer_of(peak(0, 0) - peak(3, 3), np.full((4, 4), 0.5, np.float32))


@pytest.fixture
def chips(make_texture):
    return Chip.from_array(make_texture(1)), Chip.from_array(make_texture(2))


def explained(chips, layer):
    evidence = PairEvidence(similarity=0.5, layers=(layer,), doubts=tuple(map_doubts([layer])))
    return PairExplanation(
        status=Status.READY, explainer="maps", query=chips[0], candidate=chips[1], evidence=evidence
    )


def colourfulness(picture, row, col, side):
    """How far a cell of the 4 x 4 grid over one photograph is from grey, mean over its middle."""
    height, width = picture.shape[0], (picture.shape[1] - STYLE.gap) // 2
    left = side * (width + STYLE.gap)
    middles = ((row, height), (col, width))
    rows, cols = (slice(int((at + 0.4) * size / 4), int((at + 0.6) * size / 4)) for at, size in middles)
    part = picture[rows, left:][:, cols].astype(int)
    return (part.max(2) - part.min(2)).mean()


def test_lines_view_says_that_the_method_draws_none(plain, chips):
    assert lines_legend(plain, STYLE).text == MAPS_ONLY
    found_none = LayerEvidence(**{**vars(plain), "plausibility": object()})
    assert lines_legend(found_none, STYLE).text == NO_LINES, "an explainer that looks for matches and finds none"


def test_each_photograph_has_a_scale_of_its_own_and_the_legend_says_so(plain, chips):
    assert colours_legend(plain, STYLE).text.startswith(f"{RELEVANCE} {OWN_SCALE}")
    picture = render("heatmask", chips[0].pixels, chips[1].pixels, plain, Style(**{**vars(STYLE), "legend": False}))
    assert colourfulness(picture, 0, 0, 0) > 60 and colourfulness(picture, 3, 3, 0) < 10
    assert colourfulness(picture, 2, 2, 1) > 60, "a map that is even and faint has colour, too"


def test_for_and_against_have_a_hue_each_on_both_sides(signed, chips):
    legend = colours_legend(signed, STYLE)
    assert [swatch.text for swatch in legend.swatches] == ["for", "against"] and legend.text.startswith(SIGNED)
    picture = render("heatmask", chips[0].pixels, chips[1].pixels, signed, Style(**{**vars(STYLE), "legend": False}))
    width = (picture.shape[1] - STYLE.gap) // 2
    for_, against = picture[20, 20].astype(int), picture[-20, width - 20].astype(int)
    even = picture[picture.shape[0] // 2, -width // 2].astype(int)
    assert for_[0] > for_[2] + 40 and against[2] > against[0] + 40 and even[0] > even[2] + 40


def test_zero_maps_are_doubts_by_side():
    zero = np.zeros((2, 2), np.float32)
    (doubt,) = map_doubts([layer_of(zero, peak(1, 1))])
    assert doubt.code == "MAP_ZERO_0" and "query" in doubt.message and doubt.values == {"layer": "conv"}
    assert [doubt.code for doubt in map_doubts([layer_of(zero, zero)])] == ["MAP_ZERO_0", "MAP_ZERO_1"]


def test_zero_maps_make_pictures_all_the_same(chips):
    zero = layer_of(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32))
    assert explained(chips, zero).picture("both", style=STYLE).dtype == np.uint8


def test_same_picture_is_told_by_its_pixels(chips):
    assert same_picture(*chips) == [] and same_picture(chips[0], chips[0])[0].code == "SAME_PICTURE"


@pytest.mark.parametrize("tag", LANGUAGES)
def test_words_of_maps_alone_in_every_language(chips, plain, signed, tag):
    words = Words(Messages(tag))
    for layer, n in ((plain, 1), (signed, 2)):
        facts = read_record(json.loads(json.dumps(explained(chips, layer).to_json())))
        assert facts.layers[0].maps_only and facts.layers[0].signed == (n == 2)
        sentences = words.plausibility(facts.layers[0])
        assert len(sentences) == n and sentences[0] == words.say("MAPS_ONLY")
        assert words.say("NO_FIGURES") not in sentences


@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_doubt_of_explainers_has_a_sentence_in_every_language(tag):
    values = {
        "layer": "conv", "correlation": 0.99, "spread": 0.012, "rank": 3, "method": "EigenCAM", "power": 2.5,
        "residual": 2e-6,
        "weight": "paper", "mode": "triplet", "found": 0, "wanted": 1,
    }
    say = Messages(tag)
    for code in (
        "MAP_ZERO_0", "MAP_ZERO_1", "WEIGHTS_DEGENERATE", "SHOWS_DIFFERENCES", "NO_RIVAL", "ONE_RIVAL", "CONTRASTED",
        "PARTNER_HARDLY_COUNTS",
        "NULL_BASELINE", "POOLING_LINEARISED", "SUM_INEXACT", "WEIGHTS_CHANGED",
    ):
        assert f"DOUBT_{code}" in say.table, f"{code} is not in {tag}"
        sentence = say.known(f"DOUBT_{code}", values, "")
        assert sentence.endswith(".") and "{" not in sentence


def report_query(chips, layer, pictures=("matches", "heatmask", "clean")):
    explanation = explained(chips, layer)
    artifacts = []
    for view in pictures:
        pixels = explanation.picture(view, style=STYLE)
        artifacts.append(
            Artifact(version=view, media_type="image/png", width=pixels.shape[1], height=pixels.shape[0],
                     data=encode(pixels, "png"))
        )
    candidate = Candidate(rank=1, score=0.5, annotation=Annotation(annotation_id="c"))
    ranked = RankedQuery(
        query_id="q", query=Annotation(annotation_id="a"), candidates=(candidate,), model_id="net", score_scale="cosine"
    )
    found = Explanation(
        query_id="q", candidate_id="c", rank=1, status=Status.READY, explainer="maps", record=explanation.to_json(),
        artifacts=tuple(artifacts),
    )
    return ReportQuery(ranked_query=ranked, explanations=[found])


def test_report_shows_colours_first_and_no_switch_for_lines(chips, signed):
    say = Messages("en")
    view = next(view_query(1, report_query(chips, signed), Words(say)).candidates)
    assert [picture.kind for picture in view.pictures] == ["clean", "heatmask"]
    shown = next(picture for picture in view.pictures if picture.key == view.default_picture)
    assert shown.kind == "heatmask" and shown.alt == say("ALT_MAPS_SIGNED", rank=1, query="a", candidate="c")
    assert view.layers[0].title == say("SHOWS_MAPS") and view.layers[0].maps_only


def test_report_keeps_the_lines_picture_where_it_is_all_there_is(chips, plain):
    view = next(view_query(1, report_query(chips, plain, ("matches",)), Words(Messages("en"))).candidates)
    assert [picture.kind for picture in view.pictures] == ["matches"] and view.default_picture


def test_written_report_says_how_to_read_maps(chips, plain, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, [report_query(chips, plain)])
    page = path.read_text()
    say = Messages("en")
    assert say("HOW_MAPS") in page.replace("&#39;", "'") and say("MAPS_ONLY") in page and say("SHOWS_MAPS") in page
    assert say("SHOWS") not in page


def test_review_page_gets_a_mask_for_each_sign(chips, signed):
    ranked = report_query(chips, signed).ranked_query
    parts = parts_of(explained(chips, signed), ranked, ranked.candidates[0])
    described = [(item["side"], item.get("sign")) for item in parts.record["maps"]]
    assert described == [(0, "for"), (0, "against"), (1, "for"), (1, "against")]
    masks = [np.array(Image.open(io.BytesIO(parts.masks[number]))) for number in range(4)]
    assert masks[0][0, 0] == 255 and masks[0].astype(int).sum() == 255
    assert masks[1][3, 3] == 255 and masks[1].astype(int).sum() == 255
    assert (masks[2] == 255).all() and not masks[3].any()


def test_review_page_gets_one_mask_of_a_map_without_signs(chips, plain):
    ranked = report_query(chips, plain).ranked_query
    parts = parts_of(explained(chips, plain), ranked, ranked.candidates[0])
    assert [(item["side"], item.get("sign")) for item in parts.record["maps"]] == [(0, None), (1, None)]
    masks = [np.array(Image.open(io.BytesIO(parts.masks[number]))) for number in range(2)]
    assert masks[0].max() == 255 and (masks[1] == 255).all(), "each side on a scale of its own"
    assert float(shares(plain.relevance_1).max()) == pytest.approx(1 / 16)


def test_map_of_a_layer_is_as_strong_on_the_review_page_as_in_pictures(chips):
    half = layer_of(peak(0, 0) + peak(1, 1, 0.5), peak(2, 2))
    ranked = report_query(chips, half).ranked_query
    parts = parts_of(explained(chips, half), ranked, ranked.candidates[0])
    mask = np.array(Image.open(io.BytesIO(parts.masks[0])))
    assert mask[0, 0] == 255 and abs(int(mask[1, 1]) - 128) <= 1  # in proportion, as the pictures' colours are
    assert parts.record["maps"][0]["gamma"] == 1.0
