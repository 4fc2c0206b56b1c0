"""What holds for every box, every turn and every file."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pairx_plugin.chips import Chip, cut_chip, filler_mask
from pairx_plugin.errors import ChipError
from pairx_plugin.photographs import Photograph, read_photograph
from pairx_plugin.plausibility import assess

PICTURE = np.random.default_rng(3).integers(1, 256, (70, 110, 3)).astype(np.uint8)
SHARES = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5], [0.25, 0.8]])

sides = st.integers(8, 110)
angles = st.floats(-math.pi, math.pi)
few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(x=st.integers(0, 102), y=st.integers(0, 62), width=sides, height=sides)
def test_untouched_box_is_the_slice(x: int, y: int, width: int, height: int) -> None:
    width, height = min(width, 110 - x), min(height, 70 - y)
    chip = cut_chip(PICTURE, bbox=(x, y, width, height), min_side=1)
    np.testing.assert_array_equal(chip.pixels, PICTURE[y : y + height, x : x + width])


@few
@given(
    x=st.floats(-60, 100),
    y=st.floats(-60, 60),
    width=st.floats(8, 200),
    height=st.floats(8, 200),
    theta=angles,
    max_side=st.integers(8, 300),
)
def test_every_overlapping_box_gives_a_consistent_chip(
    x: float, y: float, width: float, height: float, theta: float, max_side: int
) -> None:
    try:
        chip = cut_chip(PICTURE, bbox=(x, y, width, height), theta=theta, max_side=max_side)
    except ChipError as error:
        assert "holds nothing of the photograph" in str(error)
        return
    assert max(chip.width, chip.height) <= max_side
    turn = np.array([[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]])
    expected = [x + width / 2, y + height / 2] + ((SHARES - 0.5) * [width, height]) @ turn.T
    np.testing.assert_allclose(chip.image_points(SHARES), expected, atol=1e-9)
    mask = filler_mask(chip)
    assert not chip.pixels[mask].any()
    assert (mask.mean() >= 0.005) == any(warning.code == "BBOX_OVERHANGS" for warning in chip.warnings)


@few
@given(x=st.integers(20, 50), y=st.integers(20, 30), theta=angles, max_side=st.integers(8, 60))
def test_even_picture_stays_even(x: int, y: int, theta: float, max_side: int) -> None:
    even = Photograph(pixels=np.full((70, 110, 3), (10, 128, 250), np.uint8))
    chip = cut_chip(even, bbox=(x, y, 20, 15), theta=theta, max_side=max_side)
    inside = chip.pixels[~filler_mask(chip)]
    np.testing.assert_array_equal(inside, np.broadcast_to(np.uint8([10, 128, 250]), inside.shape))


@few
@given(box=st.lists(st.floats(allow_nan=True) | st.none() | st.text(), max_size=5), theta=st.floats())
def test_any_numbers_give_a_chip_or_our_error(box: list[object], theta: float) -> None:
    try:
        chip = cut_chip(PICTURE, bbox=box, theta=theta)  # type: ignore[arg-type]
    except ChipError as error:
        assert len(str(error)) > 20
    else:
        assert isinstance(chip, Chip)
        assert np.isfinite(chip.to_image).all()


def _file(kind: str) -> bytes:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PICTURE).save(stream, kind, exif=exif)
    return stream.getvalue()


FILES = {kind: _file(kind) for kind in ("JPEG", "PNG", "TIFF", "BMP", "PPM")}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow remarks on damaged EXIF and TIFF tags
@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(sorted(FILES)),
    damage=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=6),
    kept=st.floats(0.0, 1.0) | st.just(1.0),
    at_start=st.booleans(),
)
def test_damaged_file_gives_a_photograph_or_our_error(
    kind: str, damage: list[tuple[float, int]], kept: float, at_start: bool
) -> None:
    data = bytearray(FILES[kind])
    for place, value in damage:
        data[int(place * (min(200, len(data)) if at_start else len(data)))] = value
    try:
        photograph = read_photograph(bytes(data[: int(len(data) * kept)]), max_pixels=1_000_000)
    except ChipError as error:
        assert len(str(error)) > 20
    else:
        assert photograph.pixels.dtype == np.uint8
        assert photograph.pixels.shape[2] == 3


@few
@given(
    cells=st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(0, 6)), max_size=40
    ),
    step=st.floats(1.0, 60.0),
    relevant=st.booleans(),
)
def test_figures_stay_in_their_range_whatever_matches(
    cells: list[tuple[int, int, int, int]], step: float, relevant: bool
) -> None:
    table = np.array(cells, dtype=int).reshape(-1, 4)
    result = assess(
        points_0=(table[:, 1::-1] + 0.5) * step,
        points_1=(table[:, 3:1:-1] + 0.5) * step,
        relevance=np.ones(len(table)),
        relevance_map_0=np.full((7, 7), float(relevant)),
        relevance_map_1=np.ones((7, 7)),
        cells_0=table[:, :2],
        cells_1=table[:, 2:],
        grid_step=(step, step),
    )
    for value in (result.irm_ref, result.irm_rob, result.inlier_fraction, result.match_coverage):
        assert value is None or 0.0 <= value <= 1.0
    assert len(result.inlier) == result.n_tested == min(20, len(table))
    if result.n_inliers is not None:
        assert result.n_inliers == sum(flag is True for flag in result.inlier) >= 4
