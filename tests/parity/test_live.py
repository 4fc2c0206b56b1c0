"""compat against the public PAIR-X itself, on networks and pictures that the goldens do not have.

Skipped unless ``pairx`` (WildMeOrg/pairx) is importable, for example by PYTHONPATH=checkout/src.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from pairx_plugin import compat

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the public code's own
    public = pytest.importorskip("pairx.core", reason="WildMeOrg/pairx is not importable")

NETWORKS = {
    "tf_efficientnetv2_b0 as MiewID": ("tf_efficientnetv2_b0", True, ["backbone.blocks.2", "backbone.blocks.1"]),
    "efficientnet_b0": ("efficientnet_b0", False, ["blocks.2"]),
    "resnet50": ("resnet50", False, ["layer2"]),
    "resnet50d": ("resnet50d", False, ["layer2"]),
    "torchvision resnet18": ("torchvision/resnet18", False, ["layer2", "layer1.0.conv2"]),
}


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS)
def network_and_layers(request, settled, miewid_shaped):
    name, wrapped, layers = request.param
    if name.startswith("torchvision/"):
        network = pytest.importorskip("torchvision").models.resnet18(weights=None)
    else:
        network = pytest.importorskip("timm").create_model(name, num_classes=0)
    network = settled(miewid_shaped(network, network.num_features) if wrapped else network, size=96)
    network.device = torch.device("cpu")  # the public code asks every network for it
    return network, layers


@pytest.mark.filterwarnings("ignore")
def test_numbers_and_pictures_are_the_public_code_s(network_and_layers, make_texture, make_tensor):
    network, layers = network_and_layers
    wide = make_texture(5, 128)
    pictures_0, pictures_1 = [wide[:96, :96], make_texture(6, 96)], [wide[8:104, 16:112], make_texture(7, 96)]
    images_0, images_1 = make_tensor(*pictures_0), make_tensor(*pictures_1)
    ours = compat.pairx(None, images_0, images_1, network, layers, 20, 4)
    theirs = public.pairx(torch.device("cpu"), images_0.clone(), images_1.clone(), network, layers, 20, 4)
    assert list(ours) == list(theirs)
    for layer in layers:
        assert list(ours[layer]) == list(theirs[layer])
        for our_map, their_map in zip(ours[layer]["intermediate_relevances"], theirs[layer]["intermediate_relevances"]):
            assert our_map.shape == their_map.shape and our_map.dtype == their_map.dtype
            assert np.abs(our_map - their_map).max() <= 1e-3 * their_map.max()
        for our_pair, their_pair in zip(ours[layer]["matches"], theirs[layer]["matches"]):
            cells = [{(*match["coord0"], *match["coord1"]) for match in pair} for pair in (our_pair, their_pair)]
            assert len(cells[0] & cells[1]) >= 0.95 * len(cells[1])
            assert our_pair[0].keys() == their_pair[0].keys()
            assert [type(value) for value in our_pair[0].values()] == [type(value) for value in their_pair[0].values()]
        pairs = zip(ours[layer]["matches"], theirs[layer]["matches"])
        if all(_cells(our_pair, 4) == _cells(their_pair, 4) for our_pair, their_pair in pairs):
            for our_side, their_side in zip(ours[layer]["pixel_relevances"], theirs[layer]["pixel_relevances"]):
                assert len(our_side) == len(their_side)
                for our_maps, their_maps in zip(our_side, their_side):
                    assert np.abs(our_maps - their_maps).max() <= 5e-3 * np.abs(their_maps).max()


@pytest.mark.filterwarnings("ignore")
def test_arguments_and_defaults_are_the_public_code_s():
    import inspect

    for name in ("explain", "pairx"):
        ours, theirs = inspect.signature(getattr(compat, name)), inspect.signature(getattr(public, name))
        assert [(p.name, p.default) for p in ours.parameters.values()] == [
            (p.name, p.default) for p in theirs.parameters.values()
        ]


def _cells(matches, k):
    return [(*match["coord0"], *match["coord1"]) for match in matches[:k]]
