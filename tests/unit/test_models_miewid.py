"""The MiewID-shaped network: its pooling, its keys, its backbones."""

from __future__ import annotations

import pytest
import torch

from pairx_plugin.errors import ModelError, ModelNotFound
from pairx_plugin.models import EmbeddingModel, GeM, MiewIdNetwork, list_layers
from pairx_plugin.relevance.propagation import RelevanceModel

timm = pytest.importorskip("timm", reason="needs timm")
torch.set_num_threads(1)

SMALL = "test_efficientnet" if timm.is_model("test_efficientnet") else "tf_efficientnetv2_b0"


def test_gem_is_the_generalised_mean():
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 5.0], [5.0, 5.0]]]], dtype=torch.float64)
    pooled = GeM(p=3.0).double()(maps)
    assert pooled.shape == (1, 2, 1, 1)
    assert pooled.flatten().tolist() == pytest.approx([(100 / 4) ** (1 / 3), 5.0], rel=1e-12)


def test_gem_with_power_one_is_the_mean_and_lifts_negative_values_to_eps():
    maps = torch.tensor([[[[-4.0, 2.0]]]], dtype=torch.float64)
    assert GeM(p=1.0, eps=1e-6).double()(maps).item() == pytest.approx((1e-6 + 2.0) / 2, rel=1e-6)


def test_gem_of_zeros_has_finite_gradients():
    maps = torch.zeros(1, 2, 3, 3, requires_grad=True)
    GeM()(maps).sum().backward()
    assert bool(torch.isfinite(maps.grad).all())


def test_state_dict_has_miewids_keys_and_no_head():
    keys = MiewIdNetwork(SMALL).state_dict().keys()
    assert {"pooling.p", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"} <= keys
    others = {key for key in keys if not key.startswith(("bn.", "pooling."))}
    assert others and all(key.startswith("backbone.") for key in others)
    assert not any("classifier" in key or "fc" in key for key in others)
    assert MiewIdNetwork(SMALL).state_dict()["pooling.p"].shape == (1,)


def test_embedding_is_neck_of_pooling_of_the_backbones_map():
    network = MiewIdNetwork(SMALL).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        network.bn.running_mean.uniform_(-1, 1)
        network.bn.weight.uniform_(0.5, 2)
        maps = network.backbone.forward_features(images)
        means = maps.clamp(min=1e-6).double().pow(3).mean((2, 3)).pow(1 / 3)
        expected = (means - network.bn.running_mean) / (1 + network.bn.eps) ** 0.5 * network.bn.weight
        assert torch.allclose(network(images).double(), expected, atol=1e-4)


def test_building_leaves_the_random_state_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    MiewIdNetwork(SMALL)
    assert torch.equal(torch.rand(2), expected)


def test_blocks_of_the_backbone_can_be_explained():
    network = MiewIdNetwork(SMALL).eval()
    layers = {layer.key: layer for layer in list_layers(network, (64, 64))}
    assert layers["backbone.blocks.2"].grid == (8, 8)
    encoded = RelevanceModel(network).forward(torch.rand(1, 3, 64, 64), ["backbone.blocks.2"])
    assert encoded.embedding.shape == (1, network.bn.num_features)
    assert encoded.feature_maps["backbone.blocks.2"].shape[2:] == (8, 8)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", 64),
        ("test_vit" if timm.is_model("test_vit") else "vit_tiny_patch16_224", 96),
        ("swin_tiny_patch4_window7_224", 224),
    ],
    ids=["resnet", "vit", "swin"],
)
def test_other_backbones_embed(name, size):
    network = MiewIdNetwork(name, image_size=(size, size)).eval()
    embeddings = EmbeddingModel(network, input_size=(size, size)).embed([torch.zeros(9, 9, 3).byte().numpy()])
    assert embeddings.shape == (1, network.backbone.num_features)


def test_class_token_is_what_a_vit_gives_to_the_neck():
    name = "test_vit" if timm.is_model("test_vit") else "vit_tiny_patch16_224"
    network = MiewIdNetwork(name, image_size=(96, 96)).eval()
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        tokens = network.backbone.forward_features(images)
        assert torch.allclose(network(images), network.bn(tokens[:, 0]))


def test_tokens_without_a_class_token_are_an_error():
    class Tokens(torch.nn.Module):
        def forward_features(self, images):
            return images.flatten(2)

    network = MiewIdNetwork(SMALL).eval()
    network.backbone = Tokens()
    with pytest.raises(ModelError, match="no class token"):
        network(torch.rand(1, 3, 8, 8))


def test_unknown_backbone_names_the_nearest():
    with pytest.raises(ModelNotFound, match="no model 'resnet188'; nearest: 'resnet18"):
        MiewIdNetwork("resnet188")
