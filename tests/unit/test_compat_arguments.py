"""What `compat` says of arguments that WildMeOrg/pairx would trip over somewhere inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pairx_plugin.compat import explain, pairx
from pairx_plugin.errors import ModelError
from pairx_plugin.models import EmbeddingModel

timm = pytest.importorskip("timm", reason="needs timm")

IMAGES = torch.zeros(1, 3, 64, 64)
CHIPS = [np.zeros((64, 64, 3), np.uint8)]


@pytest.mark.parametrize(
    ("images", "says"),
    [
        pytest.param(IMAGES.numpy(), "imgs_0 must be a torch.Tensor .*not a ndarray", id="array"),
        pytest.param("cpu", "imgs_0 must be a torch.Tensor .*not a str", id="the README's device"),
        pytest.param(IMAGES[0], r"not torch.float32 \(3, 64, 64\); a single image .*images\[None\]", id="no batch"),
        pytest.param(IMAGES[:0], r"with an image in it, not torch.float32 \(0, 3, 64, 64\)", id="empty"),
        pytest.param(IMAGES.byte(), r"floats .*not torch.uint8", id="bytes"),
    ],
)
def test_images_of_another_kind_are_named(images, says):
    with pytest.raises(ModelError, match=says):
        explain(images, IMAGES, CHIPS, CHIPS, torch.nn.Identity(), ["layer1"])
    with pytest.raises(ModelError, match=says):
        pairx(None, images, IMAGES, torch.nn.Identity(), ["layer1"], 1, 0)


def test_single_layer_key_asks_for_a_list():
    with pytest.raises(ModelError, match=r"layer_keys must be a list of keys, not a text; give \['layer1'\]"):
        explain(IMAGES, IMAGES, CHIPS, CHIPS, torch.nn.Identity(), "layer1")


def test_model_of_the_catalogue_is_taken_for_its_network():
    torch.manual_seed(1)
    network, images = timm.create_model("resnet18", num_classes=0).eval(), torch.rand(2, 1, 3, 64, 64)
    wrapped = EmbeddingModel(network, input_size=(64, 64))
    found, expected = (
        pairx(None, *images, model, ["layer3"], 2, 0)["layer3"]["intermediate_relevances"][0]
        for model in (wrapped, network)
    )
    assert expected.max() > 0 and np.array_equal(found, expected)
    with pytest.raises(ModelError, match="a model must be a torch.nn.Module .*got NoneType"):
        pairx(None, *images, None, ["layer3"], 2, 0)
