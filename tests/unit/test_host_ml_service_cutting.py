"""What the network gets of a photograph, and what the reader is shown."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi")
cv2 = pytest.importorskip("cv2")
from pairx_plugin.hosts.ml_service.asked import Place  # noqa: E402
from pairx_plugin.hosts.ml_service.cutting import BoxEmpty, Cut, cut_place  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.photographs import Photograph  # noqa: E402

WHOLE = (0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1", model_id="net")


@pytest.fixture(scope="module")
def photograph(make_texture):
    """200 x 160 pixels with a magenta square at (60, 70) to (90, 100)."""
    pixels = make_texture(3, size=200)[:160].copy()
    pixels[70:100, 60:90] = (255, 0, 255)
    return Photograph(pixels=pixels)


def place(box=WHOLE, theta=0.0):
    return Place(uri="a.png", box=box, theta=theta, side=1, index=0)


def marked(pixels) -> np.ndarray:
    """(x, y) of the middle of the magenta square, as shares of the picture."""
    found = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] > 200)
    rows, cols = np.nonzero(found)
    return np.array([(cols.mean() + 0.5) / pixels.shape[1], (rows.mean() + 0.5) / pixels.shape[0]])


def test_network_gets_what_ml_services_network_gets(model, photograph):
    cut = cut_place(photograph, place((50, 60, 80, 70)), model)
    expected = cv2.resize(photograph.pixels[60:130, 50:130], (64, 64))
    assert np.array_equal(cut.chip.pixels, expected)
    tensor = model.tensor([cut.chip.pixels])
    assert tensor.shape == (1, 3, 64, 64)
    assert np.array_equal(model.input_pictures(tensor)[0], expected)


def test_reader_is_shown_the_cut_and_not_the_whole_photograph(model, photograph):
    cut = cut_place(photograph, place((50, 60, 80, 70)), model)
    for pixels in (cut.shown, cut.chip.pixels):
        assert pixels.shape == (64, 64, 3)
        assert np.allclose(marked(pixels), (25 / 80, 25 / 70), atol=0.02)
    whole = cut_place(photograph, place(), model)
    assert np.allclose(marked(whole.shown), (75 / 200, 85 / 160), atol=0.02)


@pytest.mark.parametrize("box", [WHOLE, (0, 0, 200, 160)])
def test_turn_without_a_box_turns_the_whole_photograph(model, photograph, box):
    cut = cut_place(photograph, place(box, 0.4), model)
    assert cut.chip.theta == pytest.approx(0.4) and cut.chip.bbox == (0.5, 0.5, 200.0, 160.0)
    x, y = 75 - 100, 85 - 80
    cos, sin = np.cos(0.4), np.sin(0.4)
    expected = np.array([(cos * x + sin * y) / 200 + 0.5, (-sin * x + cos * y) / 160 + 0.5])
    assert np.allclose(marked(cut.shown), expected, atol=0.03)
    assert (cut.shown[0, 0] == 255).all()  # what a turn uncovers is white, as ml-service fills it


TURNED = {
    "even sides": (40, 50, 90, 64),
    "odd sides": (40, 50, 91, 63),
    "fractions": (41.7, 50.2, 91.9, 63.4),
    "over the edge": (120, 90, 110, 100),
    "larger than the input": (5, 5, 180, 150),
}


@pytest.mark.parametrize("box", TURNED.values(), ids=TURNED)
@pytest.mark.parametrize("theta", [0.5, -1.3, 2.9])
def test_turn_is_that_of_ml_service_to_a_grey_level(model, photograph, box, theta):
    """It turns a white square as long as the diagonal about its middle, and cuts whole sides about a pixel's middle."""
    cut = cut_place(photograph, place(box, theta), model)
    height, width = photograph.pixels.shape[:2]
    side = int(np.hypot(height, width))
    left, top = (side - width) // 2, (side - height) // 2
    square = np.full((side, side, 3), 255, np.uint8)
    square[top : top + height, left : left + width] = photograph.pixels
    matrix = cv2.getRotationMatrix2D((side // 2, side // 2), np.rad2deg(theta), 1)
    turned = cv2.warpAffine(square, matrix, (side, side), flags=cv2.INTER_LINEAR, borderValue=(255,) * 3)
    column, row = (int((2 * box[axis] + box[axis + 2]) // 2) for axis in (0, 1))
    middle = matrix[:, :2] @ (column + left, row + top) + matrix[:, 2]
    patch = cv2.getRectSubPix(turned, (int(box[2]), int(box[3])), tuple(map(float, middle)))
    apart = np.abs(cut.chip.pixels.astype(int) - cv2.resize(patch, (64, 64)).astype(int))
    assert apart.mean() < 0.6 and np.percentile(apart, 95) <= 1  # white and photograph mix otherwise along the edge
    other = cut_place(photograph, place(box, -theta), model).chip.pixels.astype(int)
    assert np.abs(other - cut.chip.pixels).mean() > 15


def test_small_turn_is_none(model, photograph):
    straight, slight = (cut_place(photograph, place((50, 60, 80, 70), theta), model) for theta in (0.0, 0.09))
    assert np.array_equal(straight.chip.pixels, slight.chip.pixels) and slight.chip.theta == 0.0


def test_box_over_the_edge_is_cut_there_and_not_moved(model, photograph):
    cut = cut_place(photograph, place((-30, 20, 100, 500)), model)
    assert cut.chip.bbox == (0.0, 20.0, 70.0, 140.0)
    assert np.array_equal(cut.chip.pixels, cv2.resize(photograph.pixels[20:160, 0:70], (64, 64)))
    assert [warning.code for warning in cut.warnings if warning.code == "BBOX_CLAMPED"] == ["BBOX_CLAMPED"]


@pytest.mark.parametrize(
    "box", [(500, 500, 10, 10), (-50, 0, 40, 40), (10, 10, 0, 0), (10, 10, -5, 50), (1e300, 0, 1e300, 10)]
)
def test_box_that_holds_nothing_is_refused(model, photograph, box):
    with pytest.raises(BoxEmpty):
        cut_place(photograph, place(tuple(map(float, box))), model)


@pytest.mark.parametrize("box", [(1e308, 1e308, 1, 1), (0, -1e300, 50, 50), (0, 0, 1e308, 1e308)])
def test_turned_box_beyond_all_numbers_is_refused(model, photograph, box):
    with pytest.raises(BoxEmpty, match="far beside"):
        cut_place(photograph, place(tuple(map(float, box)), 0.5), model)


def test_turned_box_far_larger_than_the_photograph_is_cut_to_what_reaches_around_it(model, photograph):
    cut = cut_place(photograph, place((-1e5, -1e5, 2e5, 2e5), 0.5), model)
    corners = np.array([[0, 0], [200, 0], [0, 160], [200, 160]], float)
    a, b, c, d, e, f = cut.chip.to_image
    shares = np.linalg.solve([[a, b], [d, e]], (corners - (c, f)).T).T
    assert np.allclose(shares.min(axis=0), 0, atol=0.02) and np.allclose(shares.max(axis=0), 1, atol=0.02)
    assert [item.code for item in cut.warnings] == ["BBOX_CLAMPED", "BBOX_OVERHANGS"]
    square = shares[0] + (75 / 200, 85 / 160) @ np.array([shares[1] - shares[0], shares[2] - shares[0]])
    assert np.allclose(marked(cut.shown), square, atol=0.03) and np.allclose(marked(cut.chip.pixels), square, atol=0.03)


@pytest.mark.parametrize("box", [(900, 900, 40, 40), (0, 0, 1e6, 1e6)], ids=["beside", "around, but turned away"])
@pytest.mark.parametrize("own", [False, True], ids=["network", "own preprocessing"])
def test_turned_box_that_holds_nothing_is_refused_as_an_upright_one_is(model, miewid_network, photograph, box, own):
    if own:
        model = EmbeddingModel(miewid_network, input_size=(64, 64), preprocess=lambda pixels: torch.zeros(3, 64, 64))
    with pytest.raises(BoxEmpty, match="turned by 0.5, holds nothing"):
        cut_place(photograph, place(tuple(map(float, box)), 0.5), model)


def test_what_a_box_leaves_of_the_photograph_is_said_as_it_is_seen(model, photograph):
    (warning,) = cut_place(photograph, place((150, 40, 100, 80), 0.5), model).chip.warnings
    assert warning.code == "BBOX_OVERHANGS" and "are white" in warning.message


@pytest.mark.parametrize("theta", [0.0, 0.5])
def test_large_photograph_takes_no_more_memory_than_it_has(model, make_texture, theta):
    large = Photograph(pixels=np.tile(make_texture(3, size=100), (30, 30, 1)))
    cut_place(large, place(theta=theta), model)  # what is imported and kept for good comes first
    tracemalloc.start()
    try:
        cut_place(large, place(theta=theta), model)
        assert tracemalloc.get_traced_memory()[1] < large.pixels.nbytes / 4
    finally:
        tracemalloc.stop()


def test_model_with_its_own_preprocessing_gets_the_chip_as_it_is(miewid_network, photograph):
    seen = []

    def preprocess(pixels):
        seen.append(pixels.shape)
        return torch.zeros(3, 64, 64)

    own = EmbeddingModel(miewid_network, input_size=(64, 64), preprocess=preprocess)
    cut = cut_place(photograph, place((50, 60, 80, 70)), own)
    own.tensor([cut.chip.pixels])
    assert seen[-1] == (70, 80, 3) and cut.shown.shape == (64, 64, 3)


def test_cut_keeps_where_it_lies_in_the_photograph(model, photograph):
    cut = cut_place(photograph, place((50, 60, 80, 70)), model)
    assert isinstance(cut, Cut)
    assert cut.chip.image_points([(0.0, 0.0), (1.0, 1.0)]).tolist() == [[50.0, 60.0], [130.0, 130.0]]
