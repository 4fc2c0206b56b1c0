"""Lines, rings and numbers: where they are, what they look like, and that they do not hide each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pairx_plugin.rendering.labels import Plate, place_plates
from pairx_plugin.rendering.layout import Box, Layout, lay_out
from pairx_plugin.rendering.lettering import Lettering
from pairx_plugin.rendering.lines import draw_matches, draw_numbers, draw_rings, ring_radii
from pairx_plugin.rendering.palettes import SAFE, Palette
from pairx_plugin.rendering.paths import bows, dashes, path
from pairx_plugin.rendering.style import Style

pytest.importorskip("cv2", reason="drawing needs OpenCV")

GREY = 120


def drawn(
    cells_0: list[tuple[int, int]],
    cells_1: list[tuple[int, int]],
    palette: Palette = SAFE,
    opacity: float = 1.0,
    side: int = 1000,
) -> tuple[np.ndarray, Layout]:
    """Matches on a 10 x 10 grid over two grey squares: cells of 100 px, and a gap around x = 1008."""
    layout = lay_out((side, side), (side, side), Style(max_width=2 * side + 16, max_height=side))
    pixels = np.full((layout.height, layout.width, 3), GREY, np.uint8)
    cells = np.array(cells_0, np.int32).reshape(-1, 2), np.array(cells_1, np.int32).reshape(-1, 2)
    return draw_matches(pixels, layout, cells, ((10, 10), (10, 10)), palette, opacity), layout


def near(pixel: np.ndarray, colour: tuple[int, ...], by: int = 12) -> bool:
    return bool(np.abs(pixel.astype(int) - colour).max() <= by)


def overlap(plate: Plate, other: Plate) -> float:
    reach = [(plate.size[i] + other.size[i]) / 2 - abs(plate.centre[i] - other.centre[i]) for i in (0, 1)]
    return max(0.0, reach[0]) * max(0.0, reach[1])


@pytest.mark.parametrize("above", [True, False])
def test_a_leading_line_is_its_hue_between_white_between_black(above):
    pixels, _ = drawn([(5, 2)], [(5, 7)], side=2000)
    column = (
        pixels[1060:1100, 2008][::-1] if above else pixels[1100:1140, 2008]
    )  # the cells' centres lie at y = 1100
    assert near(column[0], SAFE.hues[0])
    white = next(i for i, pixel in enumerate(column) if near(pixel, (255, 255, 255), 40))
    black = next(i for i, pixel in enumerate(column) if near(pixel, (0, 0, 0), 40))
    grey = next(i for i, pixel in enumerate(column) if near(pixel, (GREY,) * 3, 2))
    assert 0 < white < black < grey <= 16


def test_rings_are_half_a_cell_around_the_cells_centre_and_what_they_surround_stays_free():
    pixels, layout = drawn([(5, 2)], [(5, 7)])
    for x in (250, layout.box_1.x + 750):
        for place in ((550, x - 50), (550, x + 50), (500, x), (600, x)):
            assert near(pixels[place], SAFE.hues[0], 30), place
        assert (pixels[550 - 30 : 550 + 30, x - 30 : x + 30] == GREY).all()


def test_opacity_thins_lines_and_leaves_rings_alone():
    solid, _ = drawn([(5, 2)], [(5, 7)])
    thin, _ = drawn([(5, 2)], [(5, 7)], opacity=0.5)
    halfway = (np.array(SAFE.hues[0]) + GREY) / 2
    assert near(thin[550, 1008], tuple(halfway.astype(int)), 8)
    assert np.array_equal(thin[500, 250], solid[500, 250])


def test_no_matches_draw_nothing():
    pixels, _ = drawn([], [])
    assert (pixels == GREY).all()


def test_the_sixth_line_is_dashed_and_the_eleventh_dotted():
    cells_0, cells_1 = [(row, 2) for row in range(10)], [(row, 7) for row in range(10)]
    pixels, _ = drawn(cells_0 + [(0, 0)], cells_1 + [(9, 9)])

    def share_covered(row: int) -> float:
        return float((pixels[row * 100 + 50, 400:1000] != GREY).any(axis=1).mean())

    assert share_covered(1) == 1.0
    assert 0.5 < share_covered(6) < 0.95  # rank 7, dashed
    dotted, _ = drawn([(r, 0) for r in range(5)] * 2 + [(8, 2)], [(r, 0) for r in range(5)] * 2 + [(8, 7)])
    assert 0.3 < float((dotted[850, 400:1000] != GREY).any(axis=1).mean()) < 0.9


def test_matches_beyond_the_fifteenth_are_neutral_and_thinner():
    cells = [(0, col % 10) for col in range(15)]
    pixels, _ = drawn(cells + [(8, 2)], cells + [(8, 7)])
    column = pixels[830:870, 1008]
    assert near(column[20], SAFE.neutral, 30)
    assert (column != GREY).any(axis=1).sum() < 10


def test_the_leading_line_lies_on_top():
    pixels, _ = drawn([(2, 2), (7, 2)], [(7, 7), (2, 7)])  # they cross in the middle
    assert near(pixels[500, 1008], SAFE.hues[0])


@pytest.mark.parametrize("n", [1, 5, 15, 40])
def test_numbers_stay_inside_their_photograph_and_off_each_other(n):
    rng = np.random.default_rng(n)
    box = Box(x=50, y=20, width=700, height=500)
    points = box.points(np.stack(np.unravel_index(rng.choice(784, n, replace=False), (28, 28)), 1), (28, 28))
    pixels = np.full((560, 800, 3), GREY, np.uint8)
    pens = [SAFE.pen(index) for index in range(n)]
    plates = draw_numbers(pixels, box, points, points + [500, 0], ring_radii(box, (28, 28), 1.0), pens, 1.0)
    assert [plate.rank for plate in plates] == list(range(1, n + 1))
    for plate in plates:
        (x, y), (width, height) = plate.centre, plate.size
        assert box.x <= x - width / 2 and x + width / 2 <= box.x + box.width
        assert box.y <= y - height / 2 and y + height / 2 <= box.y + box.height
    assert all(overlap(*pair) == 0 for pair in itertools.combinations(plates, 2))


def test_a_number_stands_on_the_far_side_of_its_line():
    box = Box(x=0, y=0, width=600, height=600)
    for angle, sign in ((np.pi, -1), (0.0, 1)):
        plates = place_plates(
            np.array([[300.0, 300.0]]), np.array([angle]), (20.0, 20.0), [(24.0, 24.0)], box, 2.0
        )
        assert plates[0].centre == pytest.approx((300 + sign * (20 + 12 + 2), 300))


def test_a_number_is_written_on_its_plate_at_both_ends():
    pixels, layout = drawn([(5, 2)], [(5, 7)])
    for left, right in ((150, 195), (layout.box_1.x + 805, layout.box_1.x + 850)):
        plate = pixels[530:570, left:right].reshape(-1, 3)
        hue = [near(pixel, SAFE.hues[0]) for pixel in plate]
        ink = [near(pixel, (0, 0, 0), 30) for pixel in plate]
        assert sum(hue) > 200 and sum(ink) > 60


def test_two_ranks_look_different():
    box = Box(x=0, y=0, width=200, height=200)
    pictures = []
    for rank in (3, 8):  # the same hue
        pixels = np.full((200, 200, 3), GREY, np.uint8)
        points = np.full((rank, 2), 1000.0)
        points[-1] = (100.0, 100.0)
        plates = draw_numbers(pixels, box, points, points + 5, (10.0, 10.0), [SAFE.pen(0)] * rank, 1.0)
        assert plates[-1].rank == rank
        pictures.append(pixels[70:130, 60:140])
    assert (pictures[0] != pictures[1]).any()


def test_a_crowd_leaves_out_weak_numbers_and_keeps_the_leading_fifteen():
    box = Box(x=0, y=0, width=160, height=160)
    points = np.full((40, 2), 80.0) + np.arange(40)[:, None] % 7
    plates = place_plates(points, np.zeros(40), (8.0, 8.0), [(40.0, 40.0)] * 40, box, 2.0)
    ranks = [plate.rank for plate in plates]
    assert ranks[:15] == list(range(1, 16)) and len(ranks) < 40


def test_a_bow_keeps_lines_of_one_row_apart_and_the_leading_one_straight():
    starts = np.array([[100.0, 300], [150, 300], [50, 300], [100, 100]])
    ends = np.array([[900.0, 300], [950, 300], [970, 300], [900, 100]])
    bow = bows(starts, ends, 9.0, 600.0)
    assert bow[0] == 0 and bow[3] == 0
    assert len({bow[0], bow[1], bow[2]}) == 3
    curves = [path(start, end, ((10, 10), (10, 10)), by) for start, end, by in zip(starts, ends, bow)]
    middles = [np.interp(500.0, curve[:, 0], curve[:, 1]) for curve in curves[:3]]
    assert min(abs(a - b) for a, b in itertools.combinations(middles, 2)) >= 8.0


@pytest.mark.parametrize("row", [2.0, 598.0])
def test_a_bow_does_not_leave_the_picture(row):
    starts, ends = np.array([[100.0, row], [150, row]]), np.array([[900.0, row], [950, row]])
    middle = row + bows(starts, ends, 9.0, 600.0)[1]
    assert 0 <= middle <= 600 and middle != row


def test_a_path_runs_from_rim_to_rim():
    found = path(np.array([100.0, 50.0]), np.array([400.0, 50.0]), ((30.0, 10.0), (20.0, 40.0)), 0.0)
    np.testing.assert_allclose(found, [[130.0, 50.0], [380.0, 50.0]])


def test_dashes_cover_their_share_of_a_path():
    line = np.array([[0.0, 0.0], [300.0, 0.0], [300.0, 400.0]])
    strokes = dashes(line, (3.0, 1.0), 10.0)  # 30 drawn, 20 left free, of which the round ends take half
    assert len(strokes) == 14 and strokes[0].tolist() == [[0, 0], [30, 0]]
    lengths = np.hypot(*(strokes[:, 1] - strokes[:, 0]).T)
    assert lengths[:6] == pytest.approx([30.0] * 6)
    assert strokes[7].tolist() == [[300, 50], [300, 80]]
    assert dashes(line, (), 10.0).tolist() == [[[0, 0], [300, 0]], [[300, 0], [300, 400]]]


def test_a_line_without_length_is_drawn_without_fail():
    assert path(np.array([5.0, 5.0]), np.array([5.0, 5.0]), ((1, 1), (1, 1)), 0.0).tolist() == [
        [5, 5],
        [5, 5],
    ]
    assert np.isfinite(dashes(np.array([[5.0, 5.0], [5.0, 5.0]]), (2.0, 1.0), 3.0)).all()


def test_rings_never_become_too_small_to_see():
    box = Box(x=0, y=0, width=600, height=300)
    assert ring_radii(box, (10, 10), 1.0) == (30.0, 15.0)
    assert min(ring_radii(box, (300, 300), 1.0)) >= 5.0


def test_rings_over_the_edge_of_the_picture_are_cut():
    pixels = np.full((40, 40, 3), GREY, np.uint8)
    draw_rings(pixels, np.array([[0.0, 0.0], [500.0, 500.0]]), (10.0, 10.0), [SAFE.pen(0), SAFE.pen(1)], 1.0)
    assert near(pixels[10, 0], SAFE.hues[0], 60) and (pixels[20:, 20:] == GREY).all()


def test_letters_have_the_size_that_was_asked_for():
    for height in (10, 20, 33):
        lettering = Lettering(height)
        inked = np.flatnonzero((lettering.mask("H") > 127).any(axis=1))
        assert lettering.mask("H").shape[0] == 2 * height
        assert abs(len(inked) - height) <= max(1, height // 10)
        assert abs(inked[0] - height / 2) <= 1 + height // 10


def test_words_wrap_and_lose_no_letter():
    lettering = Lettering(10)
    text = "one two three four five six seven"
    lines = lettering.wrapped(text, lettering.width("one two three"))
    assert " ".join(lines) == text and len(lines) > 1
    assert all(lettering.width(line) <= lettering.width("one two three") + 2 for line in lines)
    assert lettering.wrapped("immeasurable", 3) == ["immeasurable"] and lettering.wrapped("", 50) == []


def test_letters_beyond_ascii_lose_their_accents():
    lettering = Lettering(12)
    assert np.array_equal(lettering.mask("Kaik\u014dura \u00e9"), lettering.mask("Kaikoura e"))
    assert np.array_equal(lettering.mask("\u4e2d"), lettering.mask("?"))
    assert lettering.mask(" ").max() == 0
