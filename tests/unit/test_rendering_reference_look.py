"""The public code's picture, drawn without matplotlib."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pairx_plugin.errors import ChipError, EvidenceError
from pairx_plugin.evidence import LayerEvidence, Matches
from pairx_plugin.rendering.palettes import REFERENCE
from pairx_plugin.rendering.reference_look import (
    SEQUENTIAL_ANCHORS,
    power_colours,
    reference_composite,
    reference_picture,
    sequential_colours,
)

pytest.importorskip("cv2", reason="drawing needs OpenCV")

# What WildMeOrg/pairx at 124f2bf draws from `case()` with OpenCV 5.0.0, matplotlib 3.11.2: RGB by (row, col)
PUBLIC_MEAN = 150.9433
PUBLIC_PIXELS = {
    (0, 0): (0, 24, 99),
    (4, 12): (128, 128, 128),
    (20, 30): (128, 0, 128),
    (12, 70): (172, 184, 0),
    (36, 47): (103, 76, 100),
    (39, 95): (145, 103, 127),
    (43, 5): (0, 0, 0),
    (46, 8): (28, 15, 67),
    (50, 20): (114, 162, 137),
    (55, 17): (8, 114, 68),
    (63, 26): (223, 60, 0),
    (48, 60): (43, 0, 101),
    (53, 66): (69, 140, 153),
    (61, 72): (221, 161, 62),
    (79, 48): (234, 188, 189),
}


def case() -> dict[str, Any]:
    """Two images of 40 x 48, eight matches on 5 x 6 cells, seven pixel maps: more than the six colours."""
    rows, cols = np.mgrid[:40, :48]
    r, c = np.mgrid[:5, :6]

    def cone(radius: float, row: int, col: int) -> np.ndarray:
        return np.maximum(0, radius - np.hypot(rows - row, cols - col)).astype(np.float32)

    return {
        "image_0": np.stack([(cols * 5 + rows * 3 + 40 * i) % 256 for i in range(3)], -1).astype(np.uint8),
        "image_1": np.stack([(cols * 2 + rows * 6 + 70 * i) % 256 for i in range(3)], -1).astype(np.uint8),
        "relevance_0": ((r * 7 + c * 3) % 11).astype(np.float32) / 4,
        "relevance_1": ((r * 2 + c * 5) % 7).astype(np.float32),
        "cells_0": np.array([[i % 5, (i * 2 + 1) % 6] for i in range(8)]),
        "cells_1": np.array([[(i + 2) % 5, i % 6] for i in range(8)]),
        "pixels_0": np.stack([cone(7, 4 * k + 3, 5 * k + 5) * (k + 1) for k in range(7)]),
        "pixels_1": np.stack([cone(6, 5 * k + 3, 3 * k + 9) for k in range(7)]),
    }


def test_the_composite_is_the_public_codes():
    picture = reference_composite(**case())
    assert picture.shape == (80, 96, 3) and picture.dtype == np.uint8
    assert picture.mean() == pytest.approx(
        PUBLIC_MEAN, abs=0.5
    )  # resizing differs by a level between OpenCVs
    for place, colour in PUBLIC_PIXELS.items():
        assert np.abs(picture[place].astype(int) - colour).max() <= 2, place


def test_the_sequential_maps_are_matplotlibs():
    matplotlib = pytest.importorskip("matplotlib", reason="compared with matplotlib")
    for name in SEQUENTIAL_ANCHORS:
        wanted = matplotlib.colormaps[name](np.arange(256))[:, :3]
        np.testing.assert_allclose(sequential_colours(name), wanted, rtol=0, atol=1e-15)


def test_values_are_coloured_as_matplotlib_does_under_a_power_norm():
    pytest.importorskip("matplotlib", reason="compared with matplotlib")
    from matplotlib import cm, colors

    values = np.random.default_rng(0).gamma(0.3, size=(120, 90)).astype(np.float32)
    for name in SEQUENTIAL_ANCHORS:
        norm = colors.PowerNorm(gamma=0.95, vmin=0, vmax=np.max(values))
        wanted = cm.ScalarMappable(norm=norm, cmap=name).to_rgba(values)[..., :3]
        found = power_colours(values, sequential_colours(name))
        as_drawn, as_wanted = (
            ((1 - (1 - colours) * 0.8) * 255).astype(np.uint8) for colours in (found, wanted)
        )
        assert np.array_equal(as_drawn, as_wanted)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-15)


def test_the_line_colours_are_the_css_colours():
    colors = pytest.importorskip("matplotlib.colors", reason="compared with matplotlib")
    names = ["Grey", "Purple", "Blue", "Green", "Orange", "Red"]
    assert [tuple(int(part * 255) for part in colors.to_rgb(name)) for name in names] == list(REFERENCE.hues)


def test_sequential_maps_run_from_their_first_anchor_to_their_last_without_matplotlib():
    for name, anchors in SEQUENTIAL_ANCHORS.items():
        colours = np.rint(sequential_colours(name) * 255).astype(int)
        first, last = (tuple(bytes.fromhex(anchors.split()[place])) for place in (0, -1))
        assert (tuple(colours[0]), tuple(colours[-1])) == (first, last)
        middle = np.array(list(bytes.fromhex(anchors.split()[4])))
        assert np.abs(colours[127] - middle).max() <= 2  # the middle anchor lies between entries 127 and 128


def test_without_pixel_maps_the_lower_row_is_black():
    given = {**case(), "pixels_0": [], "pixels_1": []}
    assert reference_composite(**given)[40:].max() == 0


def test_without_background_a_place_without_relevance_is_white():
    given = {**case(), "pixels_0": case()["pixels_0"][:1] * 0, "pixels_1": case()["pixels_1"][:1] * 0}
    assert reference_composite(**given, background_opacity=0.0)[40:].min() == 255


def test_only_k_lines_are_drawn():
    none, one = (reference_composite(**case(), k_lines=k)[:40] for k in (0, 1))
    changed = (none != one).any(axis=2)
    assert changed[4, 9] and changed[20, 48 + 1]  # the ring at (12, 4), the ring at (52, 20)
    assert tuple(one[4, 15]) == (128, 128, 128)
    assert changed.sum() < 200


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_constant_maps_give_a_valid_picture(value):
    given = case()
    flat = np.full((5, 6), value, np.float32)
    maps = np.full((2, 40, 48), value, np.float32)
    picture = reference_composite(**{**given, "relevance_0": flat, "pixels_0": maps, "pixels_1": maps})
    blue = 0.6 * given["image_0"][0, 0] + 0.4 * np.array([0, 0, 128])  # the lowest colour of JET
    assert np.abs(picture[0, 0] - blue).max() <= 1


def test_images_of_two_widths_stand_side_by_side():
    given = case()
    narrow = {**given, "image_1": given["image_1"][:, :30], "pixels_1": given["pixels_1"][:, :, :30]}
    picture = reference_composite(**narrow)
    assert picture.shape == (80, 78, 3)
    assert np.array_equal(picture[40:, :48], reference_composite(**given)[40:, :48])


def test_what_does_not_fit_is_an_error():
    given = case()
    with pytest.raises(ChipError, match="one height"):
        reference_composite(**{**given, "image_1": given["image_1"][:30]})
    with pytest.raises(ChipError, match="uint8 RGB array"):
        reference_composite(**{**given, "image_0": given["image_0"] / 255.0})
    with pytest.raises(EvidenceError, match="come in pairs: 3 and 8 cells"):
        reference_composite(**{**given, "cells_0": given["cells_0"][:3]})
    with pytest.raises(EvidenceError, match=r"a pixel map is \(20, 48\) and its image \(40, 48\)"):
        reference_composite(**{**given, "pixels_0": given["pixels_0"][:, :20]})


def test_a_layers_evidence_gives_the_same_picture_and_large_chips_are_squashed():
    given = case()
    layer = LayerEvidence(
        layer_key="layer",
        relevance_0=given["relevance_0"],
        relevance_1=given["relevance_1"],
        matches=Matches(
            cells_0=given["cells_0"].astype(np.int32),
            cells_1=given["cells_1"].astype(np.int32),
            distance=np.ones(8, np.float32),
            relevance=np.arange(8, 0, -1).astype(np.float32),
        ),
        pixels_0=given["pixels_0"],
        pixels_1=given["pixels_1"],
        k_lines=8,
    )
    assert np.array_equal(
        reference_picture(given["image_0"], given["image_1"], layer), reference_composite(**given, k_lines=8)
    )
    doubled = given["image_0"].repeat(2, axis=0).repeat(3, axis=1)
    found = reference_picture(doubled, given["image_1"], layer)
    assert np.abs(found.astype(int) - reference_composite(**given, k_lines=8)).max() <= 1
