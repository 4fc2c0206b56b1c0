"""What becomes a chip and what is refused: boxes and turns that do not fit, arrays, pictures, hashes."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from made_pictures import codes, noise, smooth
from pairx_plugin.chips import Chip, as_chip, cut_chip, filler_mask
from pairx_plugin.errors import ChipError, ChipNotFound, SettingsError
from pairx_plugin.photographs import Photograph

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("theta", [None, NAN, np.float32("nan"), np.array(NAN)], ids=repr)
def test_missing_theta_is_upright_with_a_warning(theta: float | None) -> None:
    chip = cut_chip(noise(), bbox=(10, 20, 50, 40), theta=theta)
    assert chip.theta == 0.0
    assert codes(chip) == ["THETA_MISSING"]
    assert chip.warnings[0].field == "theta"
    np.testing.assert_array_equal(chip.pixels, noise()[20:60, 10:60])


def test_theta_in_degrees_is_doubted() -> None:
    assert codes(cut_chip(smooth(), bbox=(150, 100, 60, 60), theta=45.0)) == ["THETA_LARGE"]


@pytest.mark.parametrize("theta", [INF, -INF, "0.5", [0.1, 0.2]], ids=repr)
def test_unusable_theta_is_named(theta: object) -> None:
    with pytest.raises(ChipError, match="theta is .*radians, or 0"):
        cut_chip(noise(), theta=theta)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bbox", "says"),
    [
        pytest.param((NAN, 0, 50, 50), "not finite", id="nan"),
        pytest.param((0, 0, INF, 50), "not finite", id="infinite"),
        pytest.param((0, 0, 1e9, 50), "beyond any photograph", id="absurd"),
        pytest.param((10, 10, 0, 20), "width is 0", id="no width"),
        pytest.param((10, 10, 20, -5), "height -5; both must be above 0", id="negative"),
        pytest.param((50, 50, 1, 1), "1 x 1 pixels; at least 8 x 8", id="one pixel"),
        pytest.param((50, 50, 7.9, 40), "7.9 x 40 pixels", id="below the minimum"),
        pytest.param((500, 50, 40, 40), "holds nothing of the photograph, 120 x 90", id="right of it"),
        pytest.param((-40, 0, 40, 40), "holds nothing", id="touching from outside"),
        pytest.param((-5e5, -5e5, 1e6, 9e6), "so large that no pixel of it is left", id="as large as a country"),
        pytest.param((10, 10, 20), "four numbers", id="three numbers"),
        pytest.param("10 10 20 20", "four numbers", id="text"),
        pytest.param(("10", "10", "20", "20"), "four numbers", id="texts"),
        pytest.param((10, None, 20, 20), "four numbers", id="none within"),
        pytest.param(7, "four numbers", id="one number"),
    ],
)
def test_unusable_boxes_are_named_with_what_would_do(bbox: object, says: str) -> None:
    with pytest.raises(ChipError) as caught:
        cut_chip(noise(), bbox=bbox)  # type: ignore[arg-type]
    assert says in str(caught.value)
    assert "give" in str(caught.value) or "draw" in str(caught.value)


def test_turn_in_degrees_that_misses_the_photograph_says_so() -> None:
    with pytest.raises(ChipError, match="with theta 90 holds nothing .* and theta in radians"):
        cut_chip(noise(), bbox=(90, 70, 900, 20), theta=90.0)


def test_one_pixel_photograph_is_refused_with_the_minimum() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "PNG")
    with pytest.raises(ChipError, match="the photograph is 1 x 1 pixels; at least 8 x 8"):
        cut_chip(stream.getvalue())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_side", 0),
        ("max_side", 7),
        ("max_side", 1e3),
        ("max_side", 20000),
        ("min_side", 0),
        ("min_side", True),
    ],
)
def test_sizes_out_of_range_are_settings_errors(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=name):
        cut_chip(noise(), **{name: value})  # type: ignore[arg-type]


def test_warnings_and_name_of_the_photograph_travel_with_the_chip(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(noise()[:, :, 0]).save(path)
    chip = cut_chip(path, bbox=(-5, 0, 60, 60), theta=None)
    assert codes(chip) == ["GREYSCALE", "THETA_MISSING", "BBOX_OVERHANGS"]
    assert chip.uri == str(path)
    assert chip.warnings[0].to_json() == {
        "code": "GREYSCALE", "message": "The photograph has no colour.", "field": "image", "values": {}
    }
    assert chip.warnings[2].values == {"share": pytest.approx(5 / 60)}
    with pytest.raises(ChipNotFound):
        cut_chip(tmp_path / "missing.png")


def test_array_becomes_a_chip_of_itself_and_stays_the_callers() -> None:
    array = noise()[:, ::-1]
    chip = Chip.from_array(array, uri="memory")
    np.testing.assert_array_equal(chip.pixels, array)
    assert chip.pixels.flags.c_contiguous and not chip.pixels.flags.writeable
    assert (chip.to_image, chip.uri) == ((120, 0, 0, 0, 90, 0), "memory")
    assert not filler_mask(chip).any()
    before = chip.pixels.copy()
    array[:] = 0
    np.testing.assert_array_equal(chip.pixels, before)


def test_pillow_image_becomes_a_chip() -> None:
    chip = as_chip(Image.fromarray(noise()).convert("L"))
    assert (chip.width, chip.height) == (120, 90)
    assert codes(chip) == ["GREYSCALE"]


def test_chips_come_from_whatever_holds_one(tmp_path: Path) -> None:
    picture = noise()
    chip = Chip.from_array(picture)
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    assert as_chip(chip) is chip
    for value in (picture, path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()),
                  Photograph(pixels=picture)):
        assert as_chip(value).sha256 == chip.sha256
    with pytest.raises(ChipError, match="got float"):
        as_chip(1.5)


def test_hash_is_of_shape_and_pixels() -> None:
    chip = Chip.from_array(noise())
    expected = hashlib.sha256(b"90x120x3 uint8 RGB\n" + noise().tobytes()).hexdigest()
    assert chip.sha256 == expected
    assert Chip.from_array(noise(), uri="other").sha256 == expected
    assert Chip.from_array(noise().reshape(120, 90, 3)).sha256 != expected
    assert Chip.from_array(noise() ^ 1).sha256 != expected


def test_pickled_chip_is_the_same_and_still_read_only() -> None:
    chip = cut_chip(noise(), bbox=(5, 5, 60, 50), theta=0.2)
    again = pickle.loads(pickle.dumps(chip))
    assert (again.sha256, again.to_image, again.bbox) == (chip.sha256, chip.to_image, chip.bbox)
    assert not again.pixels.flags.writeable


def test_photograph_is_left_as_it_was() -> None:
    picture = noise()
    before = picture.copy()
    cut_chip(picture, bbox=(-20, -20, 100, 100), theta=0.5, max_side=50)
    np.testing.assert_array_equal(picture, before)
    assert picture.flags.writeable
