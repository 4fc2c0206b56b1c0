"""The part of a network above a layer, on a twin: maps, gradients, and a host that notices nothing."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.errors import LayerNotFound, ModelError, UnsupportedArchitecture
from pairx_plugin.relevance.heads import Head, last_feature_map

SIZE = (64, 64)


class Pooled(nn.Module):
    """Two convolutions, average pooling, a linear layer and a batch norm."""

    def __init__(self, pool="module") -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3, stride=2), nn.Conv2d(5, 6, 3, stride=2)
        self.act, self.pool = nn.ReLU(), nn.AdaptiveAvgPool2d(1)
        self.fc, self.bn = nn.Linear(6, 4), nn.BatchNorm1d(4)
        self.how = pool

    def forward(self, x):
        x = self.act(self.second(self.first(x).relu()))
        pooled = x.mean((2, 3)) if self.how == "function" else self.pool(x).flatten(1)
        return self.bn(self.fc(pooled))


@pytest.fixture
def pooled(settled):
    return settled(Pooled(), size=32)


@pytest.fixture
def images(make_texture, make_tensor):
    return make_tensor(make_texture(1, 32), make_texture(2, 32))


def oracle(network, images, weights):
    """d(w . e / |e|) / dF in float64, one picture at a time, the plain way."""
    network = Pooled(network.how).double().eval().requires_grad_(False), network
    network[0].load_state_dict({key: value.double() for key, value in network[1].state_dict().items()})
    double, found = network[0], []
    for image, weight in zip(images.double(), weights.double()):
        feature_map = double.act(double.second(double.first(image[None]).relu())).detach().requires_grad_()
        embedding = double.bn(double.fc(double.pool(feature_map).flatten(1)))[0]
        found.append(torch.autograd.grad((weight * embedding / embedding.norm()).sum(), feature_map)[0])
    return torch.cat(found)


def test_gradients_are_those_of_the_weighted_unit_embedding(pooled, images):
    weights = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    found = Head(pooled, ["act"], (32, 32)).forward(images).gradients(weights)["act"]
    expected = oracle(pooled, images, weights)
    assert float(expected.abs().max()) > 1e-3
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_maps_and_embeddings_are_the_networks_own_at_several_layers(pooled, images):
    with torch.no_grad():
        first = pooled.first(images)
        expected = pooled(images)
    heads = Head(pooled, ["second", "first"], (32, 32)).forward(images)
    assert torch.equal(heads.feature_maps["first"], first)
    torch.testing.assert_close(heads.embedding.detach(), expected)
    gradients = heads.gradients(torch.ones(2, 4))
    assert gradients["first"].shape == first.shape and gradients["second"].shape == (2, 6, 7, 7)


def test_in_place_steps_behind_a_layer_change_neither_map_nor_gradient(images, settled):
    class InPlace(Pooled):
        def forward(self, x):
            x = self.second(self.first(x).relu())
            return self.bn(self.fc(nn.functional.relu(x, inplace=True).mean((2, 3))))

    network = settled(InPlace(), size=32)
    heads = Head(network, ["second"], (32, 32)).forward(images)
    assert bool((heads.feature_maps["second"] < 0).any()), "the map is the one before the rectifier"
    assert float(heads.gradients(torch.ones(2, 4))["second"].abs().max()) > 0


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_gradients_are_taken_whatever_mode_the_caller_is_in(pooled, images, mode):
    expected = Head(pooled, ["act"], (32, 32)).forward(images).gradients(torch.ones(2, 4))["act"]
    with mode():
        found = Head(pooled, ["act"], (32, 32)).forward(images.clone()).gradients(torch.ones(2, 4))["act"]
    assert torch.equal(found, expected)


def test_weights_that_were_made_in_inference_mode_do(settled, images):
    with torch.inference_mode():
        network = Pooled().eval()
    heads = Head(network, ["act"], (32, 32)).forward(images)
    assert heads.gradients(torch.ones(2, 4))["act"].shape == (2, 6, 7, 7)
    assert network.fc.weight.is_inference()


def test_host_is_left_as_it_was(pooled, images):
    for parameter in pooled.parameters():
        parameter.requires_grad_()
    before = {key: (value.clone(), value.data_ptr()) for key, value in pooled.state_dict().items()}
    calls = []
    handle = pooled.act.register_forward_hook(lambda *args: calls.append(1))
    heads = Head(pooled, ["act"], (32, 32)).forward(images)
    heads.gradients(torch.ones(2, 4))
    handle.remove()
    assert not calls and not images.requires_grad
    assert all(parameter.grad is None and parameter.requires_grad for parameter in pooled.parameters())
    assert not any(module._forward_hooks for module in pooled.modules())
    after = pooled.state_dict()
    assert all(torch.equal(after[key], kept) and after[key].data_ptr() == at for key, (kept, at) in before.items())


def test_threads_on_one_head_get_what_one_thread_gets_and_the_host_embeds_meanwhile(pooled, images):
    head = Head(pooled, ["act"], (32, 32))
    expected = head.forward(images).gradients(torch.ones(2, 4))["act"]
    with torch.no_grad():
        embedding = pooled(images)
    found, differing = [], []

    def explain():
        found.append(head.forward(images).gradients(torch.ones(2, 4))["act"])

    def embed():
        for _ in range(20):
            with torch.no_grad():
                differing.extend([] if torch.equal(pooled(images), embedding) else [1])

    threads = [threading.Thread(target=explain) for _ in range(4)] + [threading.Thread(target=embed)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(torch.equal(one, expected) for one in found) and not differing


def test_above_runs_what_follows_a_layer_on_maps_of_any_grid(pooled):
    maps = torch.rand(7, 6, 1, 1)
    with torch.no_grad():
        expected = pooled.bn(pooled.fc(maps.flatten(1)))
    torch.testing.assert_close(Head(pooled, ["act"], (32, 32)).above("act", maps), expected)
    torch.testing.assert_close(
        Head(pooled, ["act"], (32, 32)).above("act", maps, end="pool"), maps.flatten(1)
    )


def test_above_says_what_cannot_be_run(settled):
    network = settled(Pooled(), size=32)
    with pytest.raises(ModelError, match="maps of 1 x 1 cells.*cannot be taken apart"):
        Head(network, ["act"], (32, 32)).above("act", torch.rand(3, 9, 1, 1))


def test_last_feature_map_is_what_the_pooling_reads(miewid_network, pooled):
    assert last_feature_map(miewid_network, SIZE) == "backbone.bn2"
    assert last_feature_map(pooled, (32, 32)) == "act"


def test_network_that_looks_at_values_has_a_last_feature_map_too(settled):
    class Looking(Pooled):
        def forward(self, x):
            return super().forward(x if float(x.mean()) < 1e9 else x * 0)

    assert last_feature_map(settled(Looking(), size=32), (32, 32)) == "act"


@pytest.mark.parametrize(
    "keys, error, says",
    [
        pytest.param(["nowhere"], LayerNotFound, "not found", id="unknown"),
        pytest.param(["fc"], ModelError, "no feature map", id="no map"),
        pytest.param(["unused"], LayerNotFound, "takes no part", id="unused"),
    ],
)
def test_layers_that_cannot_be_used_are_refused(settled, images, keys, error, says):
    network = settled(Pooled(), size=32)
    network.unused = nn.Conv2d(1, 1, 1)
    with pytest.raises(error, match=says):
        Head(network.eval(), keys, (32, 32)).forward(images)


def test_network_in_training_mode_is_refused(settled):
    with pytest.raises(ModelError, match="eval"):
        Head(settled(Pooled(), size=32).train(), ["act"], (32, 32))


def test_network_whose_places_go_on_as_tokens_is_refused(settled):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.mix = nn.Conv2d(3, 6, 8, stride=8), nn.Linear(6, 6)

        def forward(self, x):
            return self.mix(self.embed(x).flatten(2).transpose(1, 2)).mean(1)

    with pytest.raises(UnsupportedArchitecture, match=r"behind 'embed'.*\(1, 16, 6\) in 'mix'"):
        last_feature_map(settled(Tokens(), size=32), (32, 32))


def test_above_runs_networks_that_read_the_batch_off_their_images(settled):
    class Batched(Pooled):
        def forward(self, x):
            n = len(x)
            x = self.act(self.second(self.first(x).relu()))
            return self.bn(self.fc(x.mean((2, 3)).view(n, 6)))

    network = settled(Batched(), size=32)
    maps = torch.rand(21, 6, 1, 1)
    with torch.no_grad():
        expected = network.bn(network.fc(maps.flatten(1)))
    torch.testing.assert_close(Head(network, ["act"], (32, 32)).above("act", maps), expected)


def test_network_without_a_map_is_refused():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3 * 32 * 32, 4)

        def forward(self, x):
            return self.fc(x.flatten(1))

    with pytest.raises(ModelError, match="more than one cell"):
        last_feature_map(Flat().eval(), (32, 32))
