"""Maps as colour: hue where the map is high, the photograph where it is not, and one scale for all."""

from __future__ import annotations

import numpy as np
import pytest

from pairx_plugin.errors import ChipError, EvidenceError
from pairx_plugin.rendering.colour_maps import (
    Scale,
    grey_map,
    map_scale,
    pixel_overlay,
    relevance_overlay,
    robust_maximum,
    shares,
    smoothed,
)
from pairx_plugin.rendering.palettes import SAFE

pytest.importorskip("cv2", reason="drawing needs OpenCV")


def chip(height: int = 200, width: int = 300) -> np.ndarray:
    """Brown with one white stripe down the middle."""
    pixels = np.full((height, width, 3), (120, 80, 50), np.uint8)
    pixels[:, width // 2 - 5 : width // 2 + 5] = 235
    return pixels


def hot(row: int, col: int, size: tuple[int, int] = (100, 100), reach: int = 12) -> np.ndarray:
    values = np.zeros(size, np.float32)
    values[max(0, row - reach) : row + reach, max(0, col - reach) : col + reach] = 1.0
    return values


def colourfulness(pixel: np.ndarray) -> int:
    return int(pixel.max()) - int(pixel.min())


def test_colour_lies_where_the_map_is_high_and_grey_where_it_is_not():
    out = relevance_overlay(chip(), hot(25, 25))
    assert out.shape == (200, 300, 3) and out.dtype == np.uint8
    red, green, blue = out[50, 75].astype(int)
    assert red > green + 40 > blue  # vermillion
    assert colourfulness(out[150, 250]) == 0


def test_marks_stay_visible_under_full_colour():
    out = relevance_overlay(chip(), np.ones((10, 10)))
    stripe, coat = out[100, 150].astype(int), out[100, 50].astype(int)
    assert stripe.sum() - coat.sum() > 60


@pytest.mark.parametrize("value", [0.0, 1e-30, 7.0])
def test_constant_maps_give_a_valid_picture(value):
    out = relevance_overlay(chip(), np.full((14, 14), value))
    assert len(np.unique(out[:, :100].reshape(-1, 3), axis=0)) == 1
    assert (colourfulness(out[5, 5]) > 60) == (value > 0)


def test_a_map_of_zeros_leaves_a_grey_photograph():
    out = relevance_overlay(chip(), np.zeros((14, 14)))
    assert colourfulness(out[5, 5]) == 0 and out[5, 150].min() > out[5, 5].max()


def test_signs_have_two_hues():
    values = hot(25, 25) - hot(75, 75)
    out = relevance_overlay(chip(), values)
    towards, against = out[50, 75].astype(int), out[150, 225].astype(int)
    assert towards[0] > towards[2] + 40 and against[2] > against[0] + 40


def test_the_caller_may_set_the_scale():
    faint = relevance_overlay(chip(), hot(25, 25), scale=Scale(0.0, 4.0))
    full = relevance_overlay(chip(), hot(25, 25))
    assert 0 < colourfulness(faint[50, 75]) < colourfulness(full[50, 75])


def test_each_match_has_its_own_hue():
    fields = [smoothed(hot(25, 25)), smoothed(hot(75, 75))]
    out = pixel_overlay(chip(), fields, [(240, 228, 66), (0, 114, 178)], [map_scale(fields)] * 2)
    yellow, blue = out[50, 75].astype(int), out[150, 225].astype(int)
    assert min(yellow[:2]) > yellow[2] + 40 and blue[2] > blue[0] + 60
    assert colourfulness(out[50, 225]) == 0


def test_on_one_scale_the_weak_match_looks_weak_and_on_its_own_it_does_not():
    fields = [smoothed(hot(25, 25)), smoothed(hot(75, 75) * np.float32(0.1))]
    hues = [SAFE.hues[3]] * 2
    shared = pixel_overlay(chip(), fields, hues, [map_scale(fields)] * 2)
    each = pixel_overlay(chip(), fields, hues, [map_scale([field]) for field in fields])
    assert colourfulness(shared[150, 225]) < 0.6 * colourfulness(shared[50, 75])
    assert abs(colourfulness(each[150, 225]) - colourfulness(each[50, 75])) < 10


def test_signed_pixel_maps_turn_hue_into_sign():
    fields = [smoothed(hot(25, 25)), smoothed(-hot(75, 75))]
    out = pixel_overlay(chip(), fields, [SAFE.hues[1], SAFE.hues[2]], [map_scale(fields)] * 2)
    towards, against = out[50, 75].astype(int), out[150, 225].astype(int)
    assert towards[0] > towards[1] + 30 and against[2] > against[0] + 40


def test_a_spark_does_not_set_the_scale():
    values = hot(50, 50)
    values[3, 3] = 1e6
    assert robust_maximum(values) == 1.0
    assert robust_maximum(hot(1, 1, reach=1) * 5) == 5.0  # almost nothing but zeros: the maximum


def test_a_map_far_stronger_than_all_others_does_not_hide_them():
    maps = [hot(50, 50) * np.float32(level) for level in (1.0, 1.0, 1.0, 1.0, 1000.0)]
    assert map_scale(maps).vmax <= 300.0
    assert map_scale([np.zeros((5, 5), np.float32)]) == (0.0, 0.0) == map_scale([])
    assert map_scale([np.array([[-2.0, 1.0]], np.float32)]) == (-2.0, 2.0)


def test_grey_maps_run_from_vmin_to_vmax_and_clip():
    grey = grey_map(np.array([[-1.0, 0.0, 0.5, 1.0, 2.0, 9.0]]), Scale(0.0, 2.0))
    assert grey.dtype == np.uint8 and grey.tolist() == [[0, 0, 64, 128, 255, 255]]
    assert grey_map(np.array([[-2.0, 0.0, 2.0]]), Scale(-2.0, 2.0)).tolist() == [[0, 128, 255]]
    assert grey_map(np.ones((2, 2)), Scale(1.0, 1.0)).max() == 0


def test_grey_maps_can_be_read_back():
    values = np.random.default_rng(0).gamma(1.0, size=(20, 20)).astype(np.float32)
    scale = Scale(0.0, float(values.max()))
    back = scale.vmin + grey_map(values, scale) / 255.0 * (scale.vmax - scale.vmin)
    assert np.abs(back - values).max() <= scale.vmax / 255


def test_shares_sum_to_one_and_keep_signs():
    assert shares(np.array([[1.0, -3.0]])).tolist() == [[0.25, -0.75]]
    assert shares(np.zeros((2, 3))).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    "values", [np.zeros((0, 3)), np.zeros(4), np.array([[np.nan, 1.0]]), np.array([[np.inf, 1.0]])], ids=str
)
def test_what_is_no_map_is_an_error(values):
    for function in (shares, smoothed, lambda field: relevance_overlay(chip(), field)):
        with pytest.raises(EvidenceError, match="a relevance map must be a finite"):
            function(values)


@pytest.mark.parametrize(
    "pixels",
    [chip() / 255.0, chip()[..., 0], np.zeros((0, 5, 3), np.uint8), [[1]]],
    ids=["float", "2d", "0", "list"],
)
def test_what_is_no_chip_is_an_error(pixels):
    with pytest.raises(ChipError, match="chip"):
        relevance_overlay(pixels, np.ones((4, 4)))


def test_neither_chip_nor_map_is_changed():
    pixels, values = chip(), hot(25, 25)
    pixels.setflags(write=False)
    values.setflags(write=False)
    relevance_overlay(pixels, values)
    assert np.array_equal(pixels, chip()) and np.array_equal(values, hot(25, 25))


def test_one_pixel_is_enough():
    assert relevance_overlay(chip()[:1, :1], np.ones((1, 1))).shape == (1, 1, 3)
