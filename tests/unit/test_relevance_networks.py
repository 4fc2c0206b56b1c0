"""Which networks are explained and which are refused: unknown ones, half precision, inference mode, odd layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pairx_plugin.errors import LayerNotFound, ModelError, UnsupportedArchitecture
from pairx_plugin.relevance.propagation import RelevanceModel

LAYER = "backbone.blocks.1"


@pytest.fixture
def images(make_tensor, make_texture):
    return make_tensor(make_texture(21), make_texture(22))


def test_network_that_was_made_in_inference_mode_is_explained(miewid_shaped, settled, images):
    backbone = pytest.importorskip("timm").create_model("tf_efficientnetv2_b0", pretrained=False)
    network = settled(miewid_shaped(backbone, backbone.num_features))
    expected = RelevanceModel(network).forward(images, [LAYER])
    with torch.inference_mode():
        state = {key: value.clone() for key, value in network.state_dict().items()}
        for name, parameter in list(network.named_parameters()):
            owner, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(owner), leaf, nn.Parameter(state[name], requires_grad=False))
    assert network.pooling.p.is_inference()
    encoded = RelevanceModel(network).forward(images, [LAYER])
    found = encoded.at_layers(encoded.embedding, [0, 1], [LAYER])[LAYER]
    torch.testing.assert_close(found, expected.at_layers(expected.embedding, [0, 1], [LAYER])[LAYER])


class Elsewhere(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.stem(x).mean((2, 3))


def test_unknown_architecture_says_what_is_supported():
    with pytest.raises(UnsupportedArchitecture) as caught:
        RelevanceModel(Elsewhere())
    for part in ("Elsewhere", "timm EfficientNet", "torchvision ResNet", "pairx-plugin hooks"):
        assert part in str(caught.value)


class Turned(nn.Module):
    """A supported backbone behind a forward pass of the test's own."""

    def __init__(self, forward):
        super().__init__()
        self.net = pytest.importorskip("torchvision").models.resnet18(weights=None)
        self.turn = forward

    def forward(self, x):
        return self.turn(self.net, x)


@pytest.mark.parametrize(
    "forward, says",
    [
        pytest.param(lambda net, x: (net(x), x), "returns tuple", id="tuple"),
        pytest.param(lambda net, x: {"embedding": net(x)}, "returns dict", id="dict"),
        pytest.param(lambda net, x: None, "returns NoneType", id="nothing"),
    ],
)
def test_network_that_returns_no_tensor_is_told_so(forward, says, images):
    with pytest.raises(ModelError, match=says):
        RelevanceModel(Turned(forward).eval()).forward(images, [])


@pytest.mark.parametrize(
    "forward, says",
    [
        pytest.param(lambda net, x: net(x) if x.sum() > 0 else net(-x), "values of a tensor", id="branches by value"),
        pytest.param(lambda net, x: net(torch.from_numpy(x.numpy())), "cannot be followed", id="leaves torch"),
    ],
)
def test_network_without_fixed_steps_is_refused(forward, says, images):
    with pytest.raises(UnsupportedArchitecture, match=says):
        RelevanceModel(Turned(forward).eval()).forward(images, [])


@pytest.mark.parametrize(
    "forward",
    [
        pytest.param(lambda net, x: net(x) if x.ndim == 4 else net(x[None]), id="rank"),
        pytest.param(lambda net, x: net(x) if len(x.shape) == 4 and x.shape[1] == 3 else None, id="channels"),
        pytest.param(lambda net, x: net(x if x.size(-1) > 50 else x.repeat(1, 1, 2, 2)), id="size"),
        pytest.param(lambda net, x: torch.nn.functional.normalize(net(x), dim=int(x.ndim) - 3), id="number"),
    ],
)
def test_network_that_asks_for_shapes_is_followed(forward, images):
    network = Turned(forward).eval()
    model = RelevanceModel(network)
    for batch in (images, images[:, :, :40, :40], images[:1]):
        with torch.no_grad():
            expected = network(batch)
        encoded = model.forward(batch, ["net.layer2"])
        torch.testing.assert_close(encoded.embedding, expected)
        assert encoded.at_layers(encoded.embedding, range(len(batch)), ["net.layer2"])["net.layer2"].abs().max() > 0


@pytest.mark.parametrize(
    "key, error, says",
    [
        pytest.param("backbone.blocks.9", LayerNotFound, "nearest: 'backbone.blocks", id="unknown"),
        pytest.param("backbone.blocks.3.0.se.conv_reduce", LayerNotFound, "no part", id="inside a gate"),
        pytest.param("", ModelError, "no single feature map", id="empty"),
        pytest.param("bn", ModelError, "no feature map", id="no map"),
    ],
)
def test_layer_that_has_no_feature_map_is_named(miewid_network, images, key, error, says):
    with pytest.raises(error, match=says):
        RelevanceModel(miewid_network).forward(images, [key])


def test_layer_that_runs_twice_is_refused(settled, images):
    network = settled(pytest.importorskip("torchvision").models.resnet18(weights=None))
    with pytest.raises(ModelError, match="runs 2 times"):
        RelevanceModel(network).forward(images, ["layer1.0.relu"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_network_is_explained_with_its_own_numbers(miewid_network, images, dtype):
    network = copy.deepcopy(miewid_network).to(dtype)
    with torch.no_grad():
        embedding = network(images.to(dtype))
    model = RelevanceModel(network)
    encoded = model.forward(images.to(dtype), [LAYER])
    assert torch.equal(encoded.embedding, embedding) and encoded.feature_maps[LAYER].dtype == dtype
    seeds = torch.linspace(-1, 1, embedding.shape[1]).double().expand(2, -1)
    found = encoded.at_layers(seeds, [0, 1], [LAYER])[LAYER]
    full = RelevanceModel(copy.deepcopy(network).float()).forward(images.to(dtype).float(), [LAYER])
    expected = full.at_layers(seeds, [0, 1], [LAYER])[LAYER]
    assert found.dtype == torch.float32 and torch.equal(found, expected)
    pixels, _ = encoded.at_pixels(LAYER, [(3, 4)], [1])
    assert pixels.dtype == torch.float32 and pixels.abs().max() > 0
    assert all(parameter.dtype == dtype for parameter in network.parameters())


def test_half_precision_network_that_is_updated_is_copied_anew(miewid_network, images):
    network = copy.deepcopy(miewid_network).bfloat16()
    model = RelevanceModel(network)
    before = model.forward(images.bfloat16(), [LAYER])
    with torch.no_grad():
        network.backbone.conv_stem.weight.mul_(1.5)
    after = model.forward(images.bfloat16(), [LAYER])
    assert before.program is not after.program


def test_host_in_inference_mode_is_served(miewid_network, images):
    plain = RelevanceModel(miewid_network).forward(images, [LAYER])
    with torch.inference_mode():
        encoded = RelevanceModel(miewid_network).forward(images + 0, [LAYER])
        found = encoded.at_layers(encoded.embedding + 0, [0, 1], [LAYER])[LAYER]
        pixels, _ = encoded.at_pixels(LAYER, [(3, 4)], [1])
    assert torch.equal(found, plain.at_layers(plain.embedding, [0, 1], [LAYER])[LAYER])
    assert torch.equal(pixels, plain.at_pixels(LAYER, [(3, 4)], [1])[0])
