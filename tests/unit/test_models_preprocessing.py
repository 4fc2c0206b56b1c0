"""The tensor that chips become, and the pictures it gives back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.errors import ChipError, ModelError, SettingsError
from pairx_plugin.models import IMAGENET_MEAN, IMAGENET_STD, EmbeddingModel
from pairx_plugin.models.resizing import resize_pixels

torch.set_num_threads(1)


@pytest.fixture
def network() -> nn.Module:
    return nn.Conv2d(3, 4, 3).eval()


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("source", [(37, 91), (200, 123), (440, 440), (1, 1), (1, 50), (611, 17)], ids=str)
@pytest.mark.parametrize("target", [(64, 64), (48, 80)], ids=str)
def test_resizing_equals_opencv(source, target):
    cv2 = pytest.importorskip("cv2", reason="compares with OpenCV's resize")
    image = noise(*source)
    expected = cv2.resize(image, target[::-1], interpolation=cv2.INTER_LINEAR).astype(int)
    difference = np.abs(resize_pixels(image, target).astype(int) - expected)
    # Equal in every bit with the releases tried; builds with other vector code may round a few values
    # otherwise.
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99


@pytest.mark.parametrize("source", [(37, 91), (200, 123), (1, 50), (128, 160)], ids=str)
def test_resizing_stays_within_a_level_of_exact_interpolation(source):
    image = noise(*source)
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    exact = torch.nn.functional.interpolate(planes, size=(64, 80), mode="bilinear", align_corners=False)
    difference = np.abs(resize_pixels(image, (64, 80)) - exact[0].permute(1, 2, 0).numpy())
    assert difference.max() < 1 and difference.mean() < 0.35


def test_resizing_to_the_same_size_changes_nothing_and_copies():
    image = noise(20, 30)
    same = resize_pixels(image, (20, 30))
    assert np.array_equal(same, image) and not np.shares_memory(same, image)


def test_enlarging_two_columns_interpolates_between_their_centres():
    image = np.array([[[0, 0, 0], [100, 200, 40]]], dtype=np.uint8)
    # Centres of four cells over two: at -0.25, 0.25, 0.75, 1.25 columns, the outer two held at the border.
    expected = [[0, 0, 0], [25, 50, 10], [75, 150, 30], [100, 200, 40]]
    assert resize_pixels(image, (1, 4))[0].tolist() == expected


def test_tensor_is_normalised_by_channel(network):
    chip = np.full((5, 7, 3), (255, 0, 51), dtype=np.uint8)
    tensor = EmbeddingModel(network, input_size=(4, 6)).tensor([chip])
    assert tensor.shape == (1, 3, 4, 6) and tensor.dtype == torch.float32
    expected = [(level - m) / s for level, m, s in zip((1.0, 0.0, 0.2), IMAGENET_MEAN, IMAGENET_STD)]
    assert torch.allclose(tensor[0, :, 2, 3], torch.tensor(expected), atol=1e-6)


def test_bgr_swaps_the_channels_and_leaves_mean_and_std_in_place(network):
    chip = np.full((4, 4, 3), (255, 0, 51), dtype=np.uint8)
    model = EmbeddingModel(network, input_size=(4, 4), channel_order="bgr")
    expected = [(level - m) / s for level, m, s in zip((0.2, 0.0, 1.0), IMAGENET_MEAN, IMAGENET_STD)]
    assert torch.allclose(model.tensor([chip])[0, :, 0, 0], torch.tensor(expected), atol=1e-6)
    assert np.array_equal(model.input_pictures(model.tensor([chip]))[0], chip)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_input_pictures_undo_the_normalisation_exactly(network, dtype):
    levels = np.stack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3, axis=-1)
    model = EmbeddingModel(network.to(dtype), input_size=(16, 16))
    pictures = model.input_pictures(model.tensor([levels]))
    assert pictures.dtype == np.uint8 and np.array_equal(pictures[0], levels)


def test_input_pictures_show_the_resized_chip(network):
    chip = noise(31, 77)
    model = EmbeddingModel(network, input_size=(24, 40))
    assert np.array_equal(model.input_pictures(model.tensor([chip]))[0], resize_pixels(chip, (24, 40)))


def test_views_and_read_only_chips_are_taken_without_a_warning(network):
    chip = noise(9, 9)
    chip.setflags(write=False)
    model = EmbeddingModel(network, input_size=(8, 8))
    mirrored = model.tensor([chip[:, ::-1], np.ascontiguousarray(chip[:, ::-1])])
    assert torch.equal(mirrored[0], mirrored[1])


def test_no_chips_give_an_empty_tensor_and_no_embeddings(network):
    model = EmbeddingModel(network, input_size=(8, 6))
    assert model.tensor([]).shape == (0, 3, 8, 6)
    assert model.embed([]).shape == (0, 0)


@pytest.mark.parametrize(
    "chip",
    [
        np.zeros((5, 5), np.uint8), np.zeros((5, 5, 4), np.uint8), np.zeros((5, 5, 3), np.float32),
        np.zeros((5, 5, 3), np.uint16), np.zeros((0, 5, 3), np.uint8), "chip.png", None, torch.zeros(5, 5, 3),
    ],
    ids=["grey", "rgba", "float", "16-bit", "empty", "path", "none", "tensor"],
)
def test_unusable_chip_is_named_by_its_place(network, chip):
    with pytest.raises(ChipError, match="chip 1 "):
        EmbeddingModel(network, input_size=(8, 8)).tensor([noise(4, 4), chip])


def half_scale(chip: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(chip[:8, :8].astype(np.float64)).permute(2, 0, 1) / 510


def test_own_preprocessing_replaces_ours_and_takes_the_dtype_of_the_model(network):
    tensor = EmbeddingModel(network, preprocess=half_scale).tensor([np.full((9, 9, 3), 255, np.uint8)] * 2)
    assert tensor.shape == (2, 3, 8, 8) and tensor.dtype == torch.float32
    assert torch.equal(tensor, torch.full((2, 3, 8, 8), 0.5))


def test_own_preprocessing_may_return_a_batch_of_one(network):
    model = EmbeddingModel(network, preprocess=lambda chip: half_scale(chip)[None])
    assert model.tensor([noise(9, 9)]).shape == (1, 3, 8, 8)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros((3, 8, 8)), "ndarray"),
        (torch.zeros(8, 8, 3), r"permute\(2, 0, 1\)"),
        (torch.zeros(2, 3, 8, 8), r"\(2, 3, 8, 8\)"),
        (torch.zeros(1, 8, 8), r"\(1, 8, 8\)"),
        (torch.zeros(3, 0, 8), r"\(3, 0, 8\)"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), "uint8"),
        (torch.full((3, 8, 8), float("nan")), "NaN"),
        (torch.full((3, 8, 8), float("inf")), "infinity"),
    ],
    ids=["array", "channels-last", "batch-of-two", "one-channel", "no-rows", "integers", "nan", "inf"],
)
def test_bad_output_of_own_preprocessing_is_explained(network, output, message):
    with pytest.raises(ModelError, match=message):
        EmbeddingModel(network, preprocess=lambda chip: output).tensor([noise(4, 4)])


def test_own_preprocessing_must_give_one_size(network):
    model = EmbeddingModel(network, preprocess=lambda chip: torch.zeros(3, *chip.shape[:2]))
    with pytest.raises(ModelError, match="several sizes"):
        model.tensor([noise(4, 4), noise(4, 5)])


@pytest.mark.parametrize(
    "settings",
    [
        {"input_size": (0, 5)}, {"input_size": 440}, {"input_size": (4.5, 4)}, {"input_size": "ab"},
        {"mean": (0.5, 0.5)}, {"mean": (0.5, 0.5, float("nan"))}, {"std": (1.0, 0.0, 1.0)}, {"std": "abc"},
        {"channel_order": "bgra"}, {"preprocess": "resize"},
    ],
    ids=str,
)
def test_unusable_setting_is_refused(network, settings):
    with pytest.raises(SettingsError, match=next(iter(settings))):
        EmbeddingModel(network, **settings)
