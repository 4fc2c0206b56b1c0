"""Listing, suggesting and finding layers."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from pairx_plugin.errors import LayerNotFound, ModelError
from pairx_plugin.models.layers import LayerInfo, get_layer, list_layers, suggest_layer

torch.set_num_threads(1)


class Gated(nn.Module):
    """A convolution scaled by a squeeze-and-excitation gate, with a residual sum."""

    def __init__(self, channels: int, stride: int = 1, kernel: int = 3, dilation: int = 1) -> None:
        super().__init__()
        padding = (kernel - 1) * dilation // 2
        self.conv = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.gate = nn.Conv2d(channels, channels, 1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn(self.conv(x))
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        return self.act(y + x if y.shape == x.shape else y)


class Staged(nn.Module):
    """Stem and stages with strides 2, 4, 8, 8, 16; (N, 3, H, W) to (N, 4)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, 4, 3, 2, 1)
        strides = (1, 2, 2, 1, 2)
        self.blocks = nn.Sequential(*[nn.Sequential(Gated(4, stride), Gated(4)) for stride in strides])
        self.head = nn.Linear(4, 4)
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.conv_stem(images)).mean((2, 3)))


@pytest.fixture
def network() -> Staged:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Staged().eval()


def by_key(layers: list[LayerInfo]) -> dict[str, LayerInfo]:
    return {layer.key: layer for layer in layers}


def test_listing_gives_grid_channels_and_stride(network):
    layers = by_key(list_layers(network, (160, 240)))
    block = layers["blocks.1"]
    assert (block.grid, block.channels, block.stride) == ((40, 60), 4, (4.0, 4.0))
    assert block.type_name == "Sequential"
    assert layers["conv_stem"].grid == (80, 120)
    assert layers["blocks.4.1.conv"].grid == (10, 15)


def test_listing_leaves_out_what_returns_no_map_or_is_not_run(network):
    keys = by_key(list_layers(network, (160, 160))).keys()
    assert not {"", "head", "unused"} & keys
    assert {"conv_stem", "blocks.4.1"} <= keys


def test_receptive_field_follows_kernels_strides_and_dilations():
    network = nn.Sequential(
        nn.Conv2d(3, 2, 7, 2, 3), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(2, 2, (1, 5), padding=(0, 4), dilation=2), nn.AvgPool2d(2), nn.Conv2d(2, 2, 3, padding=1),
    ).eval()
    layers = by_key(list_layers(network, (64, 64)))
    fields = {key: layer.receptive_field for key, layer in layers.items()}
    # By hand: r' = r + (k - 1) d j; j = 2, 4, 4, 8, 8.
    assert fields == {"0": (7, 7), "1": (11, 11), "2": (11, 43), "3": (15, 47), "4": (31, 63)}


def test_gates_do_not_widen_the_receptive_field_and_sums_take_the_widest(network):
    layers = by_key(list_layers(network, (160, 160)))
    # conv_stem: 3, j 2; each Gated adds (3 - 1) * j.
    assert layers["blocks.0.0"].receptive_field == (7, 7)
    assert layers["blocks.0"].receptive_field == (11, 11)
    assert layers["blocks.1"].receptive_field == (11 + 4 + 8, 11 + 4 + 8)


@pytest.mark.parametrize("key", ["blocks.0", "blocks.1", "blocks.2.0"])
def test_receptive_field_is_what_gradients_reach_without_the_gates(network, key):
    layers = by_key(list_layers(network, (96, 96)))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 0.1)  # positive throughout, so that no ReLU cuts a path
        if isinstance(module, Gated):
            module.gate.register_forward_hook(lambda m, i, o: o.detach())  # a gate carries no position
    kept = {}
    get_layer(network, key).register_forward_hook(lambda m, i, o: kept.update(map=o))
    image = torch.full((1, 3, 96, 96), 5.0, requires_grad=True)
    network(image)
    row, column = (size // 2 for size in layers[key].grid)
    kept["map"][0, :, row, column].sum().backward()
    touched = image.grad[0].abs().sum(0) > 0
    assert (int(touched.any(1).sum()), int(touched.any(0).sum())) == layers[key].receptive_field


def test_receptive_field_is_unknown_after_attention_and_resizing():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.after = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
            self.up = nn.Upsample(None, 2)

        def forward(self, x):
            x = self.conv(x)
            flat = x.flatten(2)
            attention = torch.softmax(flat.transpose(1, 2) @ flat, -1)
            x = (attention @ flat.transpose(1, 2)).transpose(1, 2).reshape_as(x)
            return self.up(self.after(x)).mean((2, 3))

    layers = by_key(list_layers(Mixed().eval(), (24, 24)))
    assert layers["conv"].receptive_field == (3, 3)
    assert layers["after"].receptive_field is None
    assert "up" not in layers  # larger than the image


def test_channels_last_maps_are_left_out():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)

        def forward(self, x):
            return self.norm(self.conv(x).permute(0, 2, 3, 1)).mean((1, 2))

    assert by_key(list_layers(Last().eval(), (112, 112))).keys() == {"conv"}


def test_layers_called_twice_are_left_out():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.relu = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()

        def forward(self, x):
            return self.relu(self.conv(self.relu(x))).mean((2, 3))

    assert by_key(list_layers(Shared().eval(), (24, 24))).keys() == {"conv"}


def test_listing_changes_nothing(network):
    state = {key: value.clone() for key, value in network.state_dict().items()}
    random_before = torch.get_rng_state()
    list_layers(network, (64, 64))
    assert torch.equal(random_before, torch.get_rng_state())
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert all(not module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_hooks_are_removed_when_the_network_fails(network):
    network.blocks[2] = nn.Conv2d(9, 9, 3)
    with pytest.raises(ModelError, match="does not run on an image of 64 x 64.*RuntimeError"):
        list_layers(network, (64, 64))
    assert all(not module._forward_hooks for module in network.modules())


def test_listing_in_training_mode_is_an_error(network):
    with pytest.raises(ModelError, match=r"\.eval\(\)"):
        list_layers(network.train(), (64, 64))


def test_listing_takes_the_dtype_of_the_network(network):
    assert by_key(list_layers(network.double(), (64, 64)))["blocks.0"].grid == (32, 32)


@pytest.mark.parametrize(
    ("size", "key", "grid"),
    [
        ((160, 160), "blocks.2", (20, 20)),  # blocks.3 has the same grid and lies deeper: the first is taken
        ((320, 320), "blocks.4", (20, 20)),
        ((318, 318), "blocks.4", (20, 20)),
        ((300, 300), "blocks.2", (38, 38)),
        ((80, 160), "blocks.1", (20, 40)),
        ((24, 24), "blocks.0", (12, 12)),
    ],
    ids=str,
)
def test_suggestion_is_the_coarsest_stage_with_enough_cells(network, size, key, grid):
    suggested = suggest_layer(network, size)
    assert (suggested.key, suggested.grid) == (key, grid)
    assert [layer.key for layer in list_layers(network, size) if layer.suggested] == [key]


def test_every_layer_says_why_it_is_suggested_or_not(network):
    reasons = {key: layer.reason for key, layer in by_key(list_layers(network, (160, 160))).items()}
    assert reasons["blocks.2"] == "coarsest grid of at least 20 x 20 cells"
    assert reasons["blocks.1"] == "finer than needed"
    assert reasons["blocks.3"] == "same grid as blocks.2"
    assert reasons["blocks.4"] == "fewer than 20 x 20 cells"
    assert reasons["blocks.2.1"] == "inside a stage" and reasons["conv_stem"] == "not a stage"


def test_stages_are_marked_where_they_lie_in_no_other_stage(network):
    stages = [layer.key for layer in list_layers(network, (160, 160)) if layer.is_stage]
    assert stages == [f"blocks.{number}" for number in range(5)]


def test_network_without_stages_has_none_marked():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)).eval()
    assert [layer.is_stage for layer in list_layers(network, (64, 64))] == [False, False]


def test_size_beyond_the_memory_is_a_clear_error(network):
    with pytest.raises(ModelError, match="does not run on an image of 9000000 x 9000000 pixels"):
        list_layers(network, (9_000_000, 9_000_000))
    assert all(not module._forward_hooks for module in network.modules())


def test_without_stages_the_last_layer_of_the_grid_is_suggested():
    network = nn.Sequential()
    for name, stride in (("first", 2), ("second", 1), ("third", 2)):
        network.add_module(name, nn.Conv2d(3, 3, 3, stride, 1))
    assert suggest_layer(network.eval(), (64, 64)).key == "second"


def test_network_without_maps_has_no_suggestion():
    with pytest.raises(ModelError, match="no layer of Sequential returns a feature map"):
        suggest_layer(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval(), (2, 2))


def test_layer_is_found_by_its_key(network):
    assert get_layer(network, "blocks.3.1") is network.blocks[3][1]


@pytest.mark.parametrize("key", ["blocks.1", "module.blocks.1", "_orig_mod.module.blocks.1"])
def test_keys_with_and_without_wrapper_prefixes_are_accepted(network, key):
    assert get_layer(network, key) is network.blocks[1]
    assert get_layer(nn.DataParallel(network), key) is network.blocks[1]


def test_layer_really_named_module_is_found():
    network = nn.ModuleDict({"module": nn.Conv2d(3, 3, 1)})
    assert get_layer(network, "module") is network["module"]


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("blocks.9", "blocks.4"), ("blocks.2.7", "blocks.2.1"), ("module.blocks.9", "blocks.4"),
        ("conv_stemm", "conv_stem"), ("0.act", "blocks.0.0.act"), ("Blocks.0", "blocks.0"),
    ],
)
def test_unknown_layer_names_the_nearest(network, key, nearest):
    with pytest.raises(LayerNotFound) as raised:
        get_layer(network, key)
    start = f"layer '{key}' not found in Staged; nearest: '{nearest}'; "
    assert str(raised.value) == start + "list them with `pairx-plugin layers MODEL`"


@pytest.mark.parametrize("key", ["", None, 3, "quite something else"], ids=repr)
def test_key_without_a_likeness_is_refused_without_a_guess(network, key):
    with pytest.raises(LayerNotFound, match=r"not found in Staged; list them") as raised:
        get_layer(network, key)
    assert isinstance(raised.value, KeyError)


def test_listing_in_two_threads_at_once_keeps_the_passes_apart(network):
    results: dict[int, list[LayerInfo]] = {}

    def run(size: int) -> None:
        results[size] = [list_layers(network, (size, size)) for _ in range(5)]

    threads = [threading.Thread(target=run, args=(size,)) for size in (64, 96)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for size in (64, 96):
        assert all(by_key(layers)["blocks.0"].grid == (size // 2, size // 2) for layers in results[size])
        assert all(len(layers) == len(results[64][0]) for layers in results[size])
