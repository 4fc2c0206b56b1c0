"""What masks hide and how drops are weighed: windows, random masks, superpixels and fills against formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pairx_plugin.errors import SettingsError
from pairx_plugin.explainers.sane.fills import filled
from pairx_plugin.explainers.sane.options import SaneOptions
from pairx_plugin.explainers.sane.perturbations import Rise, SlidingWindow, SuperpixelModel
from pairx_plugin.explainers.sane.superpixels import superpixels


def test_sliding_window_hides_each_place_and_returns_the_drop() -> None:
    window = SlidingWindow(4, 0.25)
    masks = window.masks(0, 16, (8, 8))
    assert masks.shape == (16, 1, 8, 8) and float(masks.sum()) == 16 * 60
    assert torch.equal((1 - masks).sum(0)[0], torch.ones(8, 8))  # four by four windows of two pixels tile the picture
    assert float(masks[6, 0, 2:4, 4:6].sum()) == 0.0  # window 6 is row 1, column 2
    drops = window.estimate(np.arange(16.0) / 16, 1.0)
    assert drops[0, 0] == 1.0 and drops[3, 3] == pytest.approx(1 / 16)


def test_rise_follows_its_formula() -> None:
    rise, similarity = Rise(40, 4, seed=3), np.random.default_rng(0).random(40)
    masks = rise.masks(0, 40, (16, 16))[:, 0].numpy().astype(np.float64)
    slow = np.zeros((16, 16))
    for y in range(16):
        for x in range(16):
            shown = sum(similarity[i] * masks[i, y, x] for i in range(40)) / sum(masks[i, y, x] for i in range(40))
            slow[y, x] = shown - similarity.mean()
    assert np.allclose(rise.estimate(similarity, 0.9), slow, atol=1e-6)


def test_rise_masks_are_soft_cells_of_the_asked_share_and_do_not_depend_on_the_batch() -> None:
    rise = Rise(400, 8, seed=0)
    masks = rise.masks(0, 400, (32, 24))
    assert masks.shape == (400, 1, 32, 24) and float(masks.min()) >= 0 and float(masks.max()) <= 1
    assert float(masks.mean()) == pytest.approx(0.5, abs=0.02)
    assert torch.equal(masks[100:120], rise.masks(100, 120, (32, 24)))
    assert not torch.equal(masks, Rise(400, 8, seed=1).masks(0, 400, (32, 24)))


def test_superpixel_model_recovers_a_linear_network(make_texture: Any) -> None:
    model = SuperpixelModel(make_texture(4, 40), n=600, cells=3, seed=0, penalty=1e-6)
    masks = model.masks(0, 600, (40, 40))[:, 0].numpy()
    labels = superpixels(make_texture(4, 40), 3)
    weights = np.random.default_rng(1).normal(size=labels.max() + 1)
    shown = np.stack([[mask[labels == part].mean() for part in range(len(weights))] for mask in masks])
    assert set(np.unique(shown)) == {0.0, 1.0}  # a superpixel is hidden whole or not at all
    found = model.estimate(shown @ weights + 0.3, 1.0)
    assert np.allclose(found, weights[labels], atol=1e-4)


def test_superpixels_follow_colour() -> None:
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[:, 27:] = (250, 200, 20)  # off the grid's own border
    labels = superpixels(picture, 2)
    left, right = set(np.unique(labels[:, :26])), set(np.unique(labels[:, 28:]))
    assert not left & right and labels.min() == 0 and set(np.unique(labels)) == set(range(labels.max() + 1))


def test_fills_hide_as_they_say(make_tensor: Any, make_texture: Any) -> None:
    tensor = make_tensor(make_texture(1))
    blur, mean, zero = (filled(tensor, fill) for fill in ("blur", "mean", "zero"))
    assert blur.var() < 0.6 * tensor.var() and torch.allclose(blur.mean(), tensor.mean(), atol=0.05)
    assert torch.allclose(mean, tensor.mean((2, 3), keepdim=True).expand_as(tensor)) and not zero.any()
    flat = torch.full((1, 3, 20, 30), 0.7)
    assert torch.allclose(filled(flat, "blur"), flat, atol=1e-6)
    with pytest.raises(SettingsError, match="choose blur, mean or zero"):
        filled(tensor, "noise")


def test_defaults_are_larger_on_faster_devices() -> None:
    fast, slow = SaneOptions().settled("cuda"), SaneOptions().settled("cpu")
    assert (fast.saliency, fast.masks, fast.cells) == ("rise", 2000, 8)
    assert (slow.saliency, slow.cells) == ("slide", 14)
    assert SaneOptions(saliency="mask").settled("cuda").steps == 500
    assert SaneOptions(saliency="rise", masks=7).settled("cpu").masks == 7


def test_options_of_others_are_passed_over() -> None:
    assert SaneOptions.from_options({"vsa_weight": "rank", "sane_masks": "12", "sane_window": "0.3"}) == SaneOptions(
        masks=12, window=0.3
    )
