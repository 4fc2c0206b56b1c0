"""Parts of maps: exact where nothing may be cut off, bounded where something may."""

from __future__ import annotations

import pytest
import torch

from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.propagation import RelevanceModel


def patch(values, corner, images=(0,)):
    return Patch(torch.as_tensor(values, dtype=torch.float32)[None, None], Images(images, 1), (corner,))


def test_kept_values_are_read_at_the_place_and_filled_beyond_the_border():
    kept = torch.arange(12.0).reshape(1, 1, 3, 4)
    read = patch([[0, 0], [0, 0]], (-1, 2)).read(kept, fill=9.0)
    assert read[0, 0].tolist() == [[9.0, 9.0], [2.0, 3.0]]


def test_each_seed_reads_its_own_image_and_place():
    kept = torch.arange(8.0).reshape(2, 1, 2, 2)
    two = Patch(torch.zeros(2, 1, 1, 1), Images((1, 0), 2), ((1, 1), (0, 1)))
    assert two.read(kept).flatten().tolist() == [7.0, 1.0]


def test_sum_covers_both_parts():
    total = patch([[1, 1], [1, 1]], (1, 1)).plus(patch([[5]], (3, 0)))
    assert total.whole((5, 4))[0, 0].tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [5, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_sum_with_a_whole_map_is_whole():
    whole = Patch(torch.ones(1, 1, 2, 2), Images((0,), 1))
    total = patch([[2]], (0, 1)).plus(whole)
    assert total.corners is None and total.values[0, 0].tolist() == [[1, 3], [1, 1]]


def test_what_covers_the_map_becomes_whole():
    trimmed = patch([[9, 9, 9, 9], [9, 1, 2, 9], [9, 3, 4, 9], [9, 9, 9, 9]], (-1, -1)).trimmed((2, 2))
    assert trimmed.corners is None and trimmed.values[0, 0].tolist() == [[1, 2], [3, 4]]


def test_one_side_that_covers_the_map_is_trimmed_alone():
    trimmed = patch([[1, 2], [3, 4], [5, 6]], (-1, 1)).trimmed((2, 5))
    assert trimmed.corners == ((0, 1),) and trimmed.values[0, 0].tolist() == [[3, 4], [5, 6]]


def test_rim_is_cut_off_up_to_the_share_and_no_further():
    values = torch.zeros(5, 7)
    values[2, 3] = 0.97
    values[0, 3] = values[4, 3] = 0.005
    values[2, 0] = 0.02
    cropped, cut = patch(values, (10, 20)).cropped(0.04)
    assert cropped.corners == ((12, 20),) and tuple(cropped.values.shape[2:]) == (1, 4)
    assert cut.tolist() == pytest.approx([0.01], abs=1e-6)
    assert patch(values, (10, 20)).cropped(0.0)[0].values.shape[2:] == (5, 7)


def test_patch_of_zeros_keeps_something():
    cropped, cut = patch(torch.zeros(5, 5), (0, 0)).cropped(0.1)
    assert cropped.values.numel() >= 1 and cut.tolist() == [0.0]


LAYERS = {
    "timm": ("tf_efficientnetv2_b0", "blocks.2"),
    "resnet with max pooling": ("resnet18", "layer2"),
    "resnet with average pooling": ("resnet26d", "layer2"),
}


@pytest.fixture(scope="module", params=LAYERS.values(), ids=LAYERS)
def encoded(request, settled, make_tensor, make_texture):
    name, layer = request.param
    network = settled(pytest.importorskip("timm").create_model(name)).double()
    images = make_tensor(make_texture(51, 128), make_texture(52, 128)).double()
    return RelevanceModel(network).forward(images, [layer]), layer


CELLS, OF_IMAGE = [(0, 0), (8, 8), (15, 3), (4, 12)], [0, 1, 0, 1]


def test_parts_give_what_whole_maps_give(encoded, monkeypatch):
    encoded, layer = encoded
    in_parts, cut_off = encoded.at_pixels(layer, CELLS, OF_IMAGE)
    monkeypatch.setattr(type(encoded.program), "is_local", lambda *_: False)
    whole, _ = encoded.at_pixels(layer, CELLS, OF_IMAGE)
    assert whole.abs().amax((1, 2, 3)).min() > 0 and cut_off.tolist() == [0.0] * 4
    torch.testing.assert_close(in_parts, whole, rtol=1e-9, atol=1e-12 * whole.abs().max().item())


@pytest.mark.parametrize("tolerance", [1e-3, 1e-2, 0.1])
def test_what_is_cut_off_is_bounded_and_reported(encoded, tolerance):
    encoded, layer = encoded
    exact, _ = encoded.at_pixels(layer, CELLS, OF_IMAGE)
    cut, cut_off = encoded.at_pixels(layer, CELLS, OF_IMAGE, tolerance=tolerance)
    assert (cut_off <= tolerance).all()
    missing = (cut - exact).abs().sum((1, 2, 3)) / exact.abs().sum((1, 2, 3))
    assert (missing <= 3 * cut_off + 1e-12).all()  # relevance of both signs may cancel further down, so not one to one
    assert (cut - exact).abs().amax((1, 2, 3)).max() <= 3 * tolerance * exact.abs().max()
