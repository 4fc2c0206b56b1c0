"""The views of a pair: one place for the photographs, each at its own aspect, whatever the evidence."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from pairx_plugin.errors import ChipError, EvidenceError, MissingExtra, SettingsError
from pairx_plugin.evidence import LayerEvidence, Matches
from pairx_plugin.rendering.layout import lay_out
from pairx_plugin.rendering.palettes import REFERENCE, SAFE
from pairx_plugin.rendering.panels import VIEWS, render
from pairx_plugin.rendering.style import Style

BARE = Style(legend=False)


def chip(height: int, width: int, shade: int = 0) -> np.ndarray:
    rows, cols = np.mgrid[:height, :width]
    pixels = np.stack([rows * 200 // height, cols * 200 // width, (rows + cols) % 50 + shade], axis=-1)
    return (pixels + 20).astype(np.uint8)


def evidence(n: int, k: int = 0, *, grid: tuple[int, int] = (14, 14), k_lines: int = 20, level: float = 1.0):
    """`n` matches on different cells and `k` pixel maps of 64 x 64 that are hot in the match's cell."""
    pytest.importorskip("cv2", reason="drawing needs OpenCV")
    rng = np.random.default_rng(n)
    places = [
        np.stack(np.unravel_index(rng.choice(grid[0] * grid[1], n, replace=False), grid), 1) for _ in (0, 1)
    ]
    maps = np.zeros((2, k, 64, 64), np.float32)
    for side in (0, 1):
        for rank in range(k):
            row, col = (int((part + 0.5) * 64 / size) for part, size in zip(places[side][rank], grid))
            maps[side, rank, max(0, row - 5) : row + 5, max(0, col - 5) : col + 5] = level
    return LayerEvidence(
        layer_key="blocks.3",
        relevance_0=rng.gamma(1.0, size=grid).astype(np.float32),
        relevance_1=rng.gamma(1.0, size=grid).astype(np.float32),
        matches=Matches(
            cells_0=places[0].astype(np.int32),
            cells_1=places[1].astype(np.int32),
            distance=np.ones(n, np.float32),
            relevance=np.linspace(1.0, 0.1, n).astype(np.float32),
        ),
        pixels_0=maps[0],
        pixels_1=maps[1],
        k_lines=k_lines,
    )


def test_clean_shows_the_photographs_and_nothing_else():
    chip_0, chip_1 = chip(700, 900), chip(700, 500, 90)
    picture = render("clean", chip_0, chip_1, evidence(20, 5))  # with the legend that other views have
    assert picture.shape == (700, 900 + 16 + 500, 3)
    assert np.array_equal(picture[:, :900], chip_0) and np.array_equal(picture[:, 916:], chip_1)
    assert (picture[:, 900:916] == Style().background).all()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("n", [0, 1, 3, 20, 40])
@pytest.mark.parametrize("sizes", [((240, 640), (640, 400)), ((300, 300), (90, 700))], ids=["mixed", "long"])
def test_every_view_keeps_the_same_frame(view, n, sizes):
    chips = chip(*sizes[0]), chip(*sizes[1], 90)
    layout = lay_out(sizes[0], sizes[1], BARE)
    picture = render(view, *chips, evidence(n, min(n, 5), k_lines=40), BARE)
    rows = 2 * layout.height + BARE.gap if view == "both" else layout.height
    assert picture.shape == (rows, layout.width, 3) and picture.dtype == np.uint8
    background = np.ones((layout.height, layout.width), bool)
    background[layout.box_0.window] = background[layout.box_1.window] = False
    background[:, layout.box_0.width : layout.box_1.x] = (
        False  # lines cross the gap, and rings reach a little over the edge
    )
    if n == 0 or view == "clean":
        assert (picture[: layout.height][background] == BARE.background).all()


def test_both_is_matches_above_heatmask():
    chips, layer = (chip(600, 700), chip(600, 500, 90)), evidence(8, 4)
    both = render("both", *chips, layer, BARE)
    assert np.array_equal(both[:600], render("matches", *chips, layer, BARE))
    assert np.array_equal(both[616:], render("heatmask", *chips, layer, BARE))
    assert (both[600:616] == BARE.background).all()


@pytest.mark.parametrize("size_0", [(600, 600), (200, 640), (640, 200), (1024, 300), (33, 57)], ids=str)
@pytest.mark.parametrize("size_1", [(480, 640), (640, 265), (1, 1), (3000, 4000)], ids=str)
def test_aspect_is_kept_and_the_limits_are_respected(size_0, size_1):
    style = Style(max_width=1200, max_height=800)
    layout = lay_out(size_0, size_1, style)
    assert layout.width <= 1200 and layout.height <= 800
    assert layout.width == layout.box_1.x + layout.box_1.width and layout.box_0.x == 0
    for box, (height, width) in ((layout.box_0, size_0), (layout.box_1, size_1)):
        assert box.width / box.height == pytest.approx(width / height, rel=0.02)
        assert 0 <= box.y and box.y + box.height <= layout.height


def test_photographs_have_one_height_unless_one_would_be_a_sliver():
    similar = lay_out((400, 600), (600, 400), Style())
    assert similar.box_0.height == similar.box_1.height
    unlike = lay_out((200, 800), (800, 400), Style())
    assert unlike.box_0.width == pytest.approx(3 * unlike.box_1.width, rel=0.01)
    assert unlike.box_0.y == pytest.approx((unlike.height - unlike.box_0.height) / 2, abs=1)


def test_points_lie_in_the_middle_of_their_cells():
    layout = lay_out((600, 1200), (600, 600), Style())
    box = layout.box_1
    points = box.points(np.array([[0, 0], [9, 19]]), (10, 20))
    assert points.tolist() == [[box.x + 15.0, 30.0], [box.x + 585.0, 570.0]]


def test_lines_join_the_right_cells():
    layer = evidence(1)
    grey = np.full((700, 700, 3), 128, np.uint8)
    picture = render("matches", grey, grey, layer, dataclasses.replace(BARE, line_opacity=1.0))
    layout = lay_out((700, 700), (700, 700), BARE)
    for box, cell in ((layout.box_0, layer.matches.cells_0), (layout.box_1, layer.matches.cells_1)):
        x, y = box.points(cell, (14, 14))[0]
        radius = 700 / 14 / 2
        hits = [
            picture[int(y + radius * s), int(x + radius * c)] for s, c in ((0, 1), (0, -1), (1, 0), (-1, 0))
        ]
        assert sum(np.abs(hit.astype(int) - SAFE.hues[0]).max() < 70 for hit in hits) >= 3


def test_no_matches_give_quiet_photographs_without_drawing():
    grey = np.full((600, 600, 3), 128, np.uint8)
    picture = render("matches", grey, grey, evidence(0), BARE)
    assert len(np.unique(picture[:, :600].reshape(-1, 3), axis=0)) == 1


def test_colours_lie_on_the_cells_of_the_leading_matches():
    layer = evidence(3, 3)
    grey = np.full((640, 640, 3), 128, np.uint8)
    picture = render("heatmask", grey, grey, layer, BARE)
    layout = lay_out((640, 640), (640, 640), BARE)
    for box, cells in ((layout.box_0, layer.matches.cells_0), (layout.box_1, layer.matches.cells_1)):
        for rank, (x, y) in enumerate(box.points(cells, (14, 14))):
            pixel = picture[int(y), int(x)].astype(float)
            hue = np.array(SAFE.hues[rank], float)
            assert pixel.max() - pixel.min() > 30, rank
            assert np.corrcoef(pixel, hue)[0, 1] > 0.95, rank


def test_all_zero_maps_leave_grey_photographs_with_numbers():
    picture = render("heatmask", chip(640, 640), chip(640, 640), evidence(3, 3, level=0.0), BARE)
    coloured = (picture.max(axis=2).astype(int) - picture.min(axis=2)) > 12
    coloured[:, 640:656] = False
    assert 500 < coloured.sum() < 0.02 * coloured.size  # the six plates, and nothing else


def test_without_pixel_maps_the_layers_relevance_is_shown_in_one_hue():
    layer = evidence(6, 0)
    relevance = np.zeros((14, 14), np.float32)
    relevance[3, 4] = 2.0
    layer = dataclasses.replace(layer, relevance_0=relevance, relevance_1=relevance[::-1, ::-1] * 1e-3)
    grey = np.full((700, 700, 3), 128, np.uint8)
    picture = render("heatmask", grey, grey, layer, BARE).astype(int)
    for y, x in ((175, 225), (525, 716 + 475)):  # both sides alike, though their units are a thousand apart
        assert picture[y, x, 0] > picture[y, x, 2] + 60
    assert np.ptp(picture[600, 100]) == 0


def test_signed_relevance_shows_two_hues():
    relevance = np.zeros((14, 14), np.float32)
    relevance[3, 4], relevance[10, 4] = 2.0, -2.0
    layer = dataclasses.replace(evidence(0), relevance_0=relevance, relevance_1=relevance)
    grey = np.full((700, 700, 3), 128, np.uint8)
    picture = render("heatmask", grey, grey, layer, BARE).astype(int)
    assert picture[175, 225, 0] > picture[175, 225, 2] + 40
    assert picture[525, 225, 2] > picture[525, 225, 0] + 40


@pytest.mark.parametrize("view", ["matches", "heatmask", "both"])
def test_a_legend_comes_below_and_moves_nothing(view):
    chips, layer = (chip(600, 700), chip(600, 500, 90)), evidence(20, 5)
    bare, full = render(view, *chips, layer, BARE), render(view, *chips, layer)
    assert np.array_equal(full[: len(bare)], bare)
    strip = full[len(bare) :]
    assert 20 <= len(strip) <= 150 and (strip != Style().background).any()


def test_other_words_can_stand_in_the_legend():
    chips, layer = (chip(600, 700), chip(600, 500, 90)), evidence(3, 3)
    strips = [
        render("heatmask", *chips, layer, Style(caption=caption))[600:]
        for caption in (None, "", "Indices, pas preuves")
    ]
    ink = [int((strip != Style().background).any(axis=2).sum()) for strip in strips]
    assert ink[1] < ink[2] < ink[0]


@pytest.mark.parametrize("n", [0, 1, 12, 20])
def test_the_legend_shows_the_pens_in_use(n):
    style = Style(caption="")
    strip = (
        render("matches", chip(600, 700), chip(600, 500), evidence(n), style)[600:].reshape(-1, 3).astype(int)
    )
    seen = [bool((np.abs(strip - hue).max(axis=1) < 6).any()) for hue in SAFE.hues]
    assert seen == [index < n for index in range(5)]


def test_the_reference_palette_can_be_asked_for():
    picture = render(
        "matches",
        chip(600, 700),
        chip(600, 500),
        evidence(7),
        Style(palette=REFERENCE, legend=False, line_opacity=1),
    )
    flat = picture.reshape(-1, 3)
    for hue in REFERENCE.hues:
        assert (flat == hue).all(axis=1).sum() > 100, hue


def test_hundreds_of_lines_leave_the_leading_ones_readable():
    grey = np.full((900, 900, 3), 128, np.uint8)
    picture = render("matches", grey, grey, evidence(300, grid=(30, 30), k_lines=300), BARE)
    flat = picture.reshape(-1, 3).astype(int)
    assert all((np.abs(flat - hue).max(axis=1) < 25).sum() > 400 for hue in SAFE.hues)


def test_chips_are_left_as_they_came_and_may_be_views():
    wide = chip(600, 1400)
    wide.setflags(write=False)
    pair, layer = (wide[:, ::2], wide[::-1, 1::2]), evidence(5, 2)
    for view in VIEWS:
        picture = render(view, *pair, layer, BARE)
        assert np.array_equal(picture, render(view, *(np.array(half) for half in pair), layer, BARE))
    assert np.array_equal(wide, chip(600, 1400))


@pytest.mark.parametrize("view", VIEWS)
def test_a_chip_of_one_pixel_is_drawn(view):
    picture = render(view, chip(1, 1), chip(300, 500), evidence(3, 2))
    assert picture.shape[1] <= Style().max_width and picture.dtype == np.uint8


def test_an_unknown_view_names_the_nearest():
    with pytest.raises(
        SettingsError, match="'heatmap'; nearest: 'heatmask'; choose from: clean, matches, heatmask"
    ):
        render("heatmap", chip(60, 60), chip(60, 60), evidence(0))


def test_what_is_no_chip_is_an_error():
    with pytest.raises(ChipError, match=r"\(60, 60\) uint8"):
        render("clean", chip(60, 60)[..., 0], chip(60, 60), evidence(0))
    with pytest.raises(ChipError, match="float64"):
        render("clean", chip(60, 60), chip(60, 60) / 255.0, evidence(0))


def test_a_match_outside_of_the_feature_map_is_an_error():
    layer = evidence(3)
    layer.matches.cells_1[2] = (5, 14)
    with pytest.raises(EvidenceError, match=r"match 3 of layer 'blocks.3' lies in cell \(5, 14\) of side 1"):
        render("matches", chip(60, 60), chip(60, 60), layer)


def test_a_pixel_map_that_is_not_finite_is_an_error():
    layer = evidence(3, 2)
    layer.pixels_1[1, 5, 5] = np.nan
    with pytest.raises(EvidenceError, match="1 values not finite"):
        render("heatmask", chip(60, 60), chip(60, 60), layer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"line_opacity": 1.5}, "'line_opacity' is 1.5; it must be 0 to 1"),
        ({"gamma": 0.0}, "'gamma' is 0.0"),
        ({"max_width": 10}, "no room"),
        ({"scale": "own"}, "no choice 'own'; choose from: shared, each"),
    ],
    ids=str,
)
def test_a_style_out_of_range_is_an_error(change, message):
    with pytest.raises(SettingsError, match=message):
        Style(**change)


def test_without_opencv_the_error_names_the_extra(monkeypatch):
    layer = evidence(0)
    monkeypatch.setitem(sys.modules, "cv2", None)  # what a missing package looks like to an import
    with pytest.raises(MissingExtra, match=r"drawing needs the package 'cv2'.*pairx-plugin\[opencv\]"):
        render("matches", chip(60, 60), chip(60, 60), layer)
