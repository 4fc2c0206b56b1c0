"""Hosts that are wrapped, compiled, quantised, lowered in precision, or make their weights anew at each pass."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from pairx_plugin.errors import UnsupportedArchitecture
from pairx_plugin.relevance.network.shadow import weights_signature
from pairx_plugin.relevance.propagation import RelevanceModel

timm = pytest.importorskip("timm")
LAYER = "backbone.layer2"


class Host(nn.Module):
    """A backbone, and a head on its embedding."""

    def __init__(self, head=None):
        super().__init__()
        torch.manual_seed(5)
        self.backbone = timm.create_model("resnet10t", num_classes=0)
        self.dense = nn.Linear(512, 24)
        self.head = head

    def forward(self, x):
        x = self.backbone(x)
        return self.dense(x) if self.head is None else self.head(self, x)


@pytest.fixture
def images(make_tensor, make_texture):
    return make_tensor(make_texture(33), make_texture(34))


def numbers(network, images, **options):
    """Return the embedding, and relevance at a layer and at the pixels."""
    encoded = RelevanceModel(network, **options).forward(images, [LAYER])
    seed = torch.linspace(-1.0, 1.0, encoded.embedding.numel()).view(encoded.embedding.shape)
    at_layer = encoded.at_layers(seed, [0, 1], [LAYER])[LAYER]
    return encoded.embedding, at_layer, encoded.at_pixels(LAYER, [(3, 4)], [1])[0]


def assert_close(found, expected):
    for one, other in zip(found, expected):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * other.abs().max().item())


def weight_norm(dense):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch recommends the other one; hosts have this one
        nn.utils.weight_norm(dense)


WAYS = {
    "weight norm": weight_norm,
    "spectral norm": nn.utils.spectral_norm,
    "pruning": lambda dense: prune.l1_unstructured(dense, "weight", 0.5),
    "several prunings": lambda dense: [prune.l1_unstructured(dense, "weight", 0.3) for _ in range(2)],
    "parametrised": parametrizations.spectral_norm,
}


@pytest.mark.parametrize("mode", ["reference", "corrected"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_weights_that_are_made_of_others_are_those_of_now(way, mode, images):
    network = Host().eval()
    way(network.dense)  # and no forward pass of the host's follows, which would make the weight
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model = RelevanceModel(network, mode=mode)
    for update in (lambda p: None, lambda p: p.mul_(1.5).add_(0.01), lambda p: p.data.mul_(0.5)):
        with torch.no_grad():
            update(next(p for name, p in network.dense.named_parameters() if name != "bias"))
            made = model.forward(images, []).embedding
            torch.testing.assert_close(made, network(images), rtol=1e-5, atol=1e-6)
    assert set(before) == set(network.state_dict())


@pytest.mark.parametrize("wrapper", [nn.DataParallel, torch.compile], ids=["DataParallel", "torch.compile"])
def test_a_wrapper_inside_of_a_network_is_passed(wrapper, images):
    plain = Host().eval()
    expected = numbers(plain, images)
    wrapped = copy.deepcopy(plain)
    wrapped.backbone = wrapper(wrapped.backbone)
    inner = next(name for name, _ in wrapped.named_modules() if name.endswith(".layer2"))
    encoded = RelevanceModel(wrapped).forward(images, [inner])
    seed = torch.linspace(-1.0, 1.0, encoded.embedding.numel()).view_as(encoded.embedding)
    assert torch.equal(encoded.embedding, expected[0])
    assert torch.equal(encoded.at_layers(seed, [0, 1], [inner])[inner], expected[1])


@pytest.mark.skipif(not hasattr(nn.Module, "compile"), reason="PyTorch 2.0 or later")
def test_a_module_that_was_told_to_compile_is_not_called(images):
    network = Host().eval()
    expected = numbers(network, images)
    called = []
    network._compiled_call_impl = lambda *inputs: called.append(inputs)  # as nn.Module.compile() leaves it
    assert all(map(torch.equal, numbers(network, images), expected))
    assert not called


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_scripted_module_is_refused_by_name(images):
    network = Host().eval()
    network.dense = torch.jit.script(network.dense)
    with pytest.raises(UnsupportedArchitecture, match="'dense'.*torch.jit"):
        numbers(network, images)


def test_a_quantised_module_is_refused_by_name(images):
    network = Host().eval()
    network.dense.weight = nn.Parameter(network.dense.weight.detach().mul(64).to(torch.int8), requires_grad=False)
    with pytest.raises(UnsupportedArchitecture, match="'dense'.*quantised"):
        numbers(network, images)
    dynamic = pytest.importorskip("torch.ao.nn.quantized.dynamic")
    network.dense = dynamic.Linear(512, 24)
    with pytest.raises(UnsupportedArchitecture, match="'dense'.*quantised"):
        numbers(network, images)


@pytest.mark.parametrize("mode", ["reference", "corrected"])
def test_autocast_lowers_the_host_s_numbers_and_not_relevance(mode, images):
    network = Host().eval()
    _, *expected = numbers(network, images, mode=mode)
    with torch.autocast("cpu", torch.bfloat16):
        found, *relevance = numbers(network, images, mode=mode)
        with torch.no_grad():
            theirs = network(images)
    assert found.dtype == theirs.dtype == torch.bfloat16 and torch.equal(found, theirs)
    assert_close(relevance, expected)


def test_autocast_inside_of_a_forward_pass_is_the_host_s_affair(images):
    def head(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.dense(x)

    network, plain = Host(head).eval(), Host().eval()
    with torch.no_grad():
        theirs = network(images)
    found = numbers(network, images)
    assert theirs.dtype == torch.bfloat16 and torch.equal(found[0], theirs)
    assert_close(found[1:], numbers(plain, images)[1:])


@pytest.mark.skipif(not hasattr(torch, "set_default_device"), reason="PyTorch 2.0 or later")
def test_a_default_device_of_the_host_s_is_not_where_we_compute():
    network = pytest.importorskip("torchvision").models.swin_t(weights=None).eval()
    images = torch.linspace(-2.0, 2.0, 3 * 64 * 72).view(1, 3, 64, 72)
    expected = RelevanceModel(network, mode="corrected").forward(images, []).embedding
    with torch.device("meta"):
        found = RelevanceModel(network, mode="corrected").forward(images, []).embedding
    assert torch.equal(found, expected)


def fold(self, x):
    return torch.stack([x, 2.0 * x, -x]).mean(0)


def turn(self, x):
    return (x.t() * torch.arange(1.0, 513.0)[:, None]).t().contiguous()


@pytest.mark.parametrize("head", [fold, turn], ids=["stacked in front", "transposed"])
def test_steps_along_the_batch_are_refused_and_never_guessed(head, images):
    with pytest.raises(UnsupportedArchitecture, match="batch"):
        numbers(Host(head).eval(), images)


def test_steps_without_a_gradient_pass_no_relevance(images):
    def head(self, x):
        return x * (x > 0.45).float() + 0.5 * x.detach()

    network, plain = Host(head).eval(), Host(lambda self, x: x * 1.0).eval()
    encoded, other = (RelevanceModel(one).forward(images, [LAYER]) for one in (network, plain))
    seed = torch.linspace(-1.0, 1.0, encoded.embedding.numel()).view_as(encoded.embedding)
    kept = seed * (other.embedding > 0.45)  # what autograd says
    found, expected = encoded.at_layers(seed, [0, 1], [LAYER]), other.at_layers(kept, [0, 1], [LAYER])
    assert expected[LAYER].abs().max() > 0
    assert_close([found[LAYER]], [expected[LAYER]])


def test_signature_of_weights_sees_what_leaves_no_other_trace():
    network = Host()
    network.dense.weight.data = network.dense.weight.data.t().contiguous().t()  # rows apart in memory
    before = weights_signature(network)
    assert weights_signature(network) == before
    network.dense.weight.data[-1, -1] += 1.0
    changed = weights_signature(network)
    assert changed != before
    network.backbone.bn1.running_var.data[0] = float("nan")
    assert weights_signature(network) != changed
    assert weights_signature(network) == weights_signature(network), "not a number, and the same all the same"
