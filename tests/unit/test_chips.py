"""Cutting chips: sign of the turn, half pixels, the map back to the photograph, edges and sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pairx_plugin.boxes import box_to_image
from made_pictures import codes, noise, smooth
from pairx_plugin.chips import cut_chip, filler_mask


def spot(pixels: np.ndarray) -> np.ndarray:
    """Centre (x, y) of the bright spot, in pixels."""
    weight = pixels[:, :, 0].astype(float)
    y, x = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]] + 0.5
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


def marked(x: float, y: float, height: int = 200, width: int = 300) -> np.ndarray:
    rows, cols = np.mgrid[0:height, 0:width] + 0.5
    bell = 255 * np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * 2.5**2))
    return np.repeat(bell[:, :, None], 3, axis=2).round().astype(np.uint8)


@pytest.mark.parametrize("box", [(10, 20, 50, 40), (0, 0, 120, 90), (70, 50, 50, 40), (3, 4, 33, 32)])
def test_box_without_turn_and_scale_is_the_slice(box: tuple[int, int, int, int]) -> None:
    picture = noise()
    x, y, width, height = box
    chip = cut_chip(picture, bbox=box)
    np.testing.assert_array_equal(chip.pixels, picture[y : y + height, x : x + width])
    assert chip.to_image == (width, 0.0, x, 0.0, height, y)
    assert chip.bbox == box
    assert chip.image_size == (120, 90)
    assert chip.warnings == ()


def test_positive_theta_turns_the_box_clockwise_on_the_screen() -> None:
    # 40 px right of the box centre in the chip lie right of it and below it in the image
    theta = math.radians(30)
    centre = np.array([150.0, 100.0])
    mark = centre + [40 * math.cos(theta), 40 * math.sin(theta)]
    chip = cut_chip(marked(*mark), bbox=(90, 70, 120, 60), theta=theta)
    np.testing.assert_allclose(spot(chip.pixels), [60 + 40, 30], atol=0.05)


@pytest.mark.parametrize("theta", [0.0, 0.21, -0.7, 1.5, math.pi, 3.5, -6.0])
@pytest.mark.parametrize("max_side", [1024, 60])
def test_mark_is_found_again_through_to_image(theta: float, max_side: int) -> None:
    mark = np.array([143.3, 108.6])
    chip = cut_chip(marked(*mark), bbox=(90.0, 60.0, 120.0, 80.0), theta=theta, max_side=max_side)
    found = chip.image_points(spot(chip.pixels) / (chip.width, chip.height))
    np.testing.assert_allclose(found[0], mark, atol=0.12)


@pytest.mark.parametrize("theta", [0.0, 0.4, -1.1])
def test_to_image_is_exact_on_a_picture_of_coordinates(theta: float) -> None:
    picture = smooth()
    chip = cut_chip(picture, bbox=(120.5, 90.25, 150.0, 100.0), theta=theta)
    y, x = np.mgrid[0:100, 0:150] + 0.5
    points = chip.image_points(np.stack([x.ravel() / 150, y.ravel() / 100], axis=1))
    # red and green are linear in the coordinates: over 15,000 pixels the rounding to 8 bits averages out
    for channel in (0, 1):
        error = chip.pixels[:, :, channel].ravel() * 2.0 - points[:, channel]
        assert abs(np.median(error)) < 0.6
        assert abs(error.mean()) < 0.3


def test_corners_follow_the_formula() -> None:
    theta, (x, y, width, height) = 0.21, (812.0, 640.0, 1900.0, 820.0)
    to_image = box_to_image((x, y, width, height), theta)
    np.testing.assert_allclose(to_image, [1858.3, -170.9, 918.3, 396.1, 802.0, 451.0], atol=0.06)
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    for share in np.random.default_rng(0).random((50, 2)):
        expected = [x + width / 2, y + height / 2] + turn @ ((share - 0.5) * [width, height])
        a, b, c, d, e, f = to_image
        found = [a * share[0] + b * share[1] + c, d * share[0] + e * share[1] + f]
        np.testing.assert_allclose(found, expected, atol=0.01)


def test_chips_agree_with_the_transforms_of_both_hosts() -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python is not installed")
    picture, theta, (x, y, width, height) = smooth(), 0.6, (130, 90, 140, 100)
    ours = cut_chip(picture, bbox=(x, y, width, height), theta=theta).pixels.astype(int)
    # Wildbook IA: image -> chip is T(chip centre) R(-theta) T(-box centre), warped at integer pixel centres
    cos, sin = math.cos(theta), math.sin(theta)
    turn = np.array([[cos, sin], [-sin, cos]])
    shift = [width / 2, height / 2] - turn @ [x + width / 2, y + height / 2]
    to_chip = np.column_stack([turn, shift])
    wildbook = cv2.warpAffine(picture, to_chip, (width, height), flags=cv2.INTER_LINEAR)
    assert np.abs(wildbook[2:-2, 2:-2] - ours[2:-2, 2:-2]).mean() < 1.5  # its centre is half a pixel off ours
    # MiewID: the whole image is turned by OpenCV's own rotation, then cut
    rotation = cv2.getRotationMatrix2D((x + width / 2, y + height / 2), math.degrees(theta), 1)
    turned = cv2.warpAffine(picture, rotation, (400, 300), flags=cv2.INTER_LINEAR)
    miewid = turned[y : y + height, x : x + width]
    assert np.abs(miewid[2:-2, 2:-2] - ours[2:-2, 2:-2]).mean() < 1.5
    mirrored = cut_chip(picture, bbox=(x, y, width, height), theta=-theta).pixels.astype(int)
    assert np.abs(miewid - mirrored).mean() > 10


def test_quarter_turn_of_a_square_is_exact() -> None:
    picture = noise(100, 100)
    chip = cut_chip(picture, bbox=(20, 30, 40, 40), theta=math.pi / 2)
    np.testing.assert_array_equal(chip.pixels, np.rot90(picture[30:70, 20:60], 1))


def test_overhang_is_black_marked_and_reported() -> None:
    picture = noise(low=1)
    chip = cut_chip(picture, bbox=(-10, 60, 40, 50))
    assert (chip.width, chip.height) == (40, 50)
    mask = filler_mask(chip)
    assert mask.sum() == 40 * 50 - 30 * 30
    assert not mask[:30, 10:].any()
    np.testing.assert_array_equal(chip.pixels[:30, 10:], picture[60:, :30])
    assert chip.pixels[mask].max() == 0
    assert codes(chip) == ["BBOX_OVERHANGS"]
    assert "55.0%" in chip.warnings[0].message
    assert chip.inside([[0.2, 0.2], [0.6, 0.2], [0.6, 0.9]]).tolist() == [False, True, False]


def test_corners_of_a_turned_box_outside_are_filler() -> None:
    chip = cut_chip(noise(low=1), bbox=(0, 0, 120, 90), theta=0.3)
    mask = filler_mask(chip)
    assert mask[0, 0] and mask[-1, -1] and not mask[45, 60]
    np.testing.assert_array_equal(mask, (chip.pixels == 0).all(axis=2))
    assert codes(chip) == ["BBOX_OVERHANGS"]


def test_edges_of_the_photograph_count_as_inside() -> None:
    chip = cut_chip(noise(), bbox=None)
    assert chip.inside([[0, 0], [1, 1], [0, 1], [0.5, 0.5]]).all()


@pytest.mark.parametrize("theta", [0.0, 0.5])
def test_large_box_is_shrunk_without_aliasing(theta: float) -> None:
    stripes = np.zeros((900, 1400, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than any chip shows: its mean is all that may be left
    chip = cut_chip(stripes, bbox=(300, 200, 800, 500), theta=theta, max_side=100)
    assert (chip.width, chip.height) == (100, 62)
    assert chip.pixels.min() > 115
    assert chip.pixels.max() < 140
    assert codes(chip) == ["CHIP_SHRUNK"]


def test_box_beyond_the_step_of_reduction_keeps_its_place() -> None:
    picture = np.repeat(np.repeat(smooth(), 8, axis=0), 8, axis=1)
    chip = cut_chip(picture, bbox=(960, 720, 1200, 800), theta=0.4, max_side=150)
    small = cut_chip(smooth(), bbox=(120, 90, 150, 100), theta=0.4)
    assert np.abs(chip.pixels.astype(int) - small.pixels).mean() < 1.0


def test_small_box_is_enlarged_to_the_minimum_only() -> None:
    chip = cut_chip(noise(), bbox=(10, 10, 16, 8))
    assert (chip.width, chip.height) == (64, 32)
    assert codes(chip) == ["CHIP_ENLARGED"] and chip.warnings[0].values == {"width": 16, "height": 8}
    assert len({*chip.warnings, *chip.warnings}) == 1
    chip = cut_chip(noise(), bbox=(10, 10, 40, 32))
    assert (chip.width, chip.height) == (40, 32)
    assert chip.warnings == ()
    chip = cut_chip(noise(), bbox=(10, 10, 16, 8), min_side=1)
    assert (chip.width, chip.height) == (16, 8)


def test_longest_side_wins_over_the_shortest() -> None:
    chip = cut_chip(noise(60, 4000), bbox=(0, 10, 4000, 10), max_side=1000)
    assert (chip.width, chip.height) == (1000, 2)


@pytest.mark.parametrize("bbox", [None, (0, 0, 0, 0), [0.0, 0.0, 0.0, 0.0], np.zeros(4)], ids=repr)
def test_no_box_is_the_whole_photograph(bbox: object) -> None:
    picture = noise()
    chip = cut_chip(picture, bbox=bbox)  # type: ignore[arg-type]
    np.testing.assert_array_equal(chip.pixels, picture)
    assert chip.bbox == (0, 0, 120, 90)
