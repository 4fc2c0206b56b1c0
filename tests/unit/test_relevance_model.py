"""The prepared network: what it computes, and that the host's network stays as it was."""

from __future__ import annotations

import functools
import threading

import pytest
import torch
from torch import nn

from pairx_plugin.errors import ModelError, PropagationError
from pairx_plugin.relevance.encoded import LayerQuestion, at_layers_together
from pairx_plugin.relevance.network.shadow import make_twin
from pairx_plugin.relevance.propagation import RelevanceModel, cosine_seeds

LAYER = "backbone.blocks.1"


def snapshot(network):
    """Everything of a network that a stranger could have changed."""
    modules = dict(network.named_modules())
    return {
        "state": {key: value.clone() for key, value in network.state_dict().items()},
        "addresses": [tensor.data_ptr() for tensor in network.state_dict().values()],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [parameter.grad for parameter in network.parameters()],
        "training": [module.training for module in modules.values()],
        "hooks": [
            len(value) for module in modules.values() for key, value in vars(module).items() if key.endswith("_hooks")
        ],
        "attributes": [sorted(vars(module)) for module in modules.values()],
        "random": torch.get_rng_state(),
    }


def assert_same(before, after):
    for key, tensor in before.pop("state").items():
        assert torch.equal(tensor, after["state"][key]), key
    after.pop("state")
    assert torch.equal(before.pop("random"), after.pop("random"))
    assert before == after


@pytest.fixture
def images(make_tensor, make_texture):
    return make_tensor(make_texture(21), make_texture(22))


def test_host_s_network_is_what_it_was(miewid_network, images):
    calls = []
    handle = miewid_network.backbone.register_forward_hook(lambda *_: calls.append(1))
    before = snapshot(miewid_network)
    encoded = RelevanceModel(miewid_network).forward(images, [LAYER])
    encoded.at_layers(encoded.embedding, [0, 1], [LAYER])
    encoded.at_pixels(LAYER, [(3, 4)], [1])
    assert_same(before, snapshot(miewid_network))
    assert not calls, "the host's hooks belong to the host's own passes"
    assert not images.requires_grad and images.grad is None
    handle.remove()


def test_host_in_training_mode_stays_so_and_its_statistics_too(miewid_network, images):
    miewid_network.train()
    try:
        before = snapshot(miewid_network)
        RelevanceModel(miewid_network).forward(images, [LAYER])
        assert_same(before, snapshot(miewid_network))
    finally:
        miewid_network.eval()


def test_twin_shares_the_weights(miewid_network):
    twin = make_twin(miewid_network)
    assert [value.data_ptr() for value in twin.state_dict().values()] == [
        value.data_ptr() for value in miewid_network.state_dict().values()
    ]
    assert not any(parameter.requires_grad for parameter in twin.parameters())


def test_twin_runs_a_patched_forward_on_its_own_children():
    class Patched(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)
            self.forward = self.other

        def other(self, x):
            return self.inner(x)

    network = Patched()
    twin = make_twin(network)
    twin.inner = nn.Identity()
    x = torch.ones(1, 2)
    assert torch.equal(twin(x), x)
    assert not torch.equal(network(x), x)


def test_twin_runs_a_forward_with_arguments_filled_in_on_its_own_children():
    class Choosing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x, times=1.0):
            return times * self.inner(x)

    network = Choosing()
    network.forward = functools.partial(network.forward, times=3.0)
    twin = make_twin(network)
    twin.inner = nn.Identity()
    assert torch.equal(twin(torch.ones(1, 2)), torch.full((1, 2), 3.0))


def test_embeddings_on_other_threads_stay_identical(miewid_network, images):
    with torch.no_grad():
        expected = miewid_network(images)
    stop, differing, passes = threading.Event(), [], []

    def embed():
        with torch.no_grad():
            while not stop.is_set():
                passes.append(1)
                if not torch.equal(miewid_network(images), expected):
                    differing.append(1)

    thread = threading.Thread(target=embed)
    thread.start()
    try:
        for _ in range(3):  # preparing traces the network, which must not redirect anybody else's calls
            encoded = RelevanceModel(miewid_network).forward(images, [LAYER])
            encoded.at_layers(encoded.embedding, [0, 1], [LAYER])
    finally:
        stop.set()
        thread.join()
    assert passes and not differing


def test_threads_get_what_one_thread_gets(miewid_network, images):
    model = RelevanceModel(miewid_network)
    encoded = model.forward(images, [LAYER])
    expected = encoded.at_layers(encoded.embedding, [0, 1], [LAYER])[LAYER]
    found = [None] * 4

    def explain(index):
        mine = model.forward(images, [LAYER])
        found[index] = mine.at_layers(mine.embedding, [0, 1], [LAYER])[LAYER]

    threads = [threading.Thread(target=explain, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(result, expected) for result in found)


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.bn.weight.data.mul_(2.0),
        lambda network: setattr(network.bn, "weight", nn.Parameter(network.bn.weight.detach() * 2.0)),
        lambda network: network.load_state_dict({**network.state_dict(), "bn.weight": network.bn.weight * 2.0}),
    ],
    ids=["in place behind autograd's back", "swapped", "loaded"],
)
def test_changed_weights_of_the_host_are_noticed(miewid_shaped, settled, images, change):
    backbone = pytest.importorskip("timm").create_model("tf_efficientnetv2_b0", pretrained=False)
    network = settled(miewid_shaped(backbone, backbone.num_features))
    model = RelevanceModel(network)
    before = model.forward(images, []).embedding
    change(network)
    with torch.no_grad():
        expected = network(images)
    after = model.forward(images, []).embedding
    torch.testing.assert_close(after, expected)
    assert (after - before).abs().max() > 1e-3


@pytest.mark.parametrize("behind_autograd", [False, True])
def test_merged_weights_follow_the_host_s(settled, images, behind_autograd):
    network = settled(pytest.importorskip("torchvision").models.resnet18(weights=None))
    model = RelevanceModel(network)
    encoded = model.forward(images, ["layer1"])
    before = encoded.at_layers(encoded.embedding, [0, 1], ["layer1"])["layer1"]
    with torch.no_grad():
        bias = network.layer4[1].bn2.bias
        (bias.data if behind_autograd else bias).add_(1.0)
    encoded = model.forward(images, ["layer1"])
    after = encoded.at_layers(encoded.embedding, [0, 1], ["layer1"])["layer1"]
    assert (after - before).abs().max() > 1e-3 * before.abs().max()


def test_several_layers_get_what_each_gets_alone(miewid_network, images):
    model = RelevanceModel(miewid_network)
    keys = ["backbone.blocks.2", "backbone.blocks.0", "backbone.conv_head"]
    encoded = model.forward(images, keys)
    together = encoded.at_layers(encoded.embedding, [0, 1], keys)
    for key in keys:
        alone = encoded.at_layers(encoded.embedding, [0, 1], [key])[key]
        assert torch.equal(alone, together[key]) and alone.abs().max() > 0


def test_batch_of_images_gets_what_each_image_gets_alone(miewid_network, images):
    model = RelevanceModel(miewid_network)
    both = model.forward(images, [LAYER])
    cells = [(2, 3), (5, 5), (2, 3)]
    pixels, cut_off = both.at_pixels(LAYER, cells, [1, 0, 0])
    assert cut_off.tolist() == [0.0] * 3
    for row, image in enumerate([1, 0, 0]):
        alone = model.forward(images[image : image + 1], [LAYER]).at_pixels(LAYER, [cells[row]], [0])[0]
        torch.testing.assert_close(pixels[row], alone[0], rtol=1e-3, atol=1e-5 * alone.abs().max().item())


def test_pixels_need_nothing_above_the_layer(miewid_network, images):
    layers = ["backbone.blocks.1", "backbone.blocks.2"]
    encoded = RelevanceModel(miewid_network).forward(images[:1], layers)
    before = [encoded.at_pixels(layer, [(1, 1)], [0])[0] for layer in layers]
    kept = len(encoded._tape.kept)
    seeds = torch.ones(1, encoded.embedding.shape[1])
    at_layers_together([LayerQuestion(encoded, seeds, [0], is_last=True)], layers)
    assert 0 < len(encoded._tape.kept) < kept
    for layer, expected in zip(layers, before):
        assert torch.equal(encoded.at_pixels(layer, [(1, 1)], [0])[0], expected)
    with pytest.raises(PropagationError, match="once more"):
        encoded.at_layers(seeds, [0], layers)


def test_pixel_relevance_lies_around_its_cell(miewid_network, images):
    encoded = RelevanceModel(miewid_network).forward(images, ["backbone.blocks.0"])
    pixels = encoded.at_pixels("backbone.blocks.0", [(4, 20)], [0])[0].sum(1).abs()[0]
    rows, cols = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    centre = (pixels * rows).sum() / pixels.sum(), (pixels * cols).sum() / pixels.sum()
    assert abs(centre[0] - 9) < 3 and abs(centre[1] - 41) < 3


def test_cosine_seeds_are_the_gradient_of_the_cosine():
    first = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    second = torch.randn(3, 8, dtype=torch.float64)
    cosine, seeds = cosine_seeds(first.detach(), second)
    expected = torch.nn.functional.cosine_similarity(first, second)
    (gradient,) = torch.autograd.grad(expected.sum(), first)
    torch.testing.assert_close(cosine, expected.detach())
    torch.testing.assert_close(seeds, gradient)
    assert (seeds * first.detach()).sum(1).abs().max() < 1e-12  # the cosine has no scale


def test_zero_embedding_is_an_error():
    with pytest.raises(ModelError, match="all zeros"):
        cosine_seeds(torch.zeros(1, 4), torch.ones(1, 4))
