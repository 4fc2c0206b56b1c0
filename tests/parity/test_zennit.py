"""Whole networks against zennit's own hooks, in float64: relevance at layers and at pixels."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import nn

from pairx_plugin.relevance.propagation import RelevanceModel

zennit_composites = pytest.importorskip("zennit.composites")
zennit_rules, zennit_types = pytest.importorskip("zennit.rules"), pytest.importorskip("zennit.types")
from zennit.core import BasicHook, Hook  # noqa: E402
from zennit.layer import Sum  # noqa: E402

MEAN = torch.tensor((0.485, 0.456, 0.406), dtype=torch.float64).reshape(1, 3, 1, 1)
SPREAD = torch.tensor((0.229, 0.224, 0.225), dtype=torch.float64).reshape(1, 3, 1, 1)

NETWORKS = {
    "torchvision resnet18": ("torchvision", "resnet18", "layer2"),
    "torchvision efficientnet_b0": ("torchvision", "efficientnet_b0", "features.3"),
    "timm resnet26": ("timm", "resnet26", "layer2"),
    "timm resnet26d": ("timm", "resnet26d", "layer1.1"),
    "timm seresnext26d": ("timm", "seresnext26d_32x4d", "layer2"),
    "timm efficientnet_b0": ("timm", "efficientnet_b0", "blocks.2"),
    "timm tf_efficientnetv2_b0": ("timm", "tf_efficientnetv2_b0", "blocks.1"),
}


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS)
def network_and_layer(request, settled):
    package, name, layer = request.param
    library = pytest.importorskip(package)
    network = library.create_model(name) if package == "timm" else getattr(library.models, name)(weights=None)
    return settled(network).double(), layer


class GateSeen(torch.autograd.Function):
    """A product that sends all of its gradient to the signal, as the public gate canonizer does."""

    @staticmethod
    def forward(ctx, gate, signal):
        ctx.gate_shape = gate.shape
        return gate * signal

    @staticmethod
    def backward(ctx, gradient):
        return gradient.new_zeros(ctx.gate_shape), gradient


def zennit_canonizers(network):
    """Say in zennit's terms what our reference mode says of gates, sums and batch norms."""
    from zennit.canonizers import AttributeCanonizer, SequentialMergeBatchNorm
    from zennit.layer import Sum
    from zennit.torchvision import ResNetCanonizer

    def gate(name, module):
        if type(module).__name__ == "SqueezeExcitation":

            def forward(x, module=module):
                return _gated(module._scale(x), x)

            return {"forward": forward}
        if type(module).__name__ == "SqueezeExcite":

            def forward(x, module=module):
                hidden = module.act1(module.conv_reduce(x.mean((2, 3), keepdim=True)))
                return _gated(module.gate(module.conv_expand(hidden)), x)

            return {"forward": forward}
        return None

    def _gated(scale, x):
        return GateSeen.apply(scale, x)

    def mobile_sum(name, module):
        if type(module).__name__ != "MBConv":
            return None

        def forward(x, module=module):
            result = module.block(x)
            return module.total(torch.stack([x, result], dim=-1)) if module.use_res_connect else result

        return {"forward": forward, "total": Sum()}

    kind = type(network).__module__
    if kind == "torchvision.models.resnet":
        return [ResNetCanonizer()]
    if kind == "timm.models.resnet":
        return [SequentialMergeBatchNorm()]
    return [AttributeCanonizer(gate), AttributeCanonizer(mobile_sum), SequentialMergeBatchNorm()]


def zennit_relevance(network, images, layer, seed, cell, make=zennit_composites.EpsilonPlus):
    """Return what the public code's hooks record: relevance at the layer, and of one cell at the pixels."""
    composite = make(canonizers=zennit_canonizers(network))
    found = {}
    with composite.context(network) as hooked:
        images = images.clone().requires_grad_()
        module = hooked.get_submodule(layer)
        handles = [
            module.register_full_backward_hook(lambda _, __, out: found.update(layer=out[0].detach())),
            module.register_forward_hook(lambda _, __, out: found.update(map=out)),
        ]
        output = hooked(images)
        torch.autograd.grad(output, images, seed, retain_graph=True)
        one_cell = torch.zeros_like(found["map"])
        one_cell[:, :, cell[0], cell[1]] = found["map"].detach()[:, :, cell[0], cell[1]]
        (pixels,) = torch.autograd.grad(found["map"], images, one_cell)
        for handle in handles:
            handle.remove()
    return found["layer"], pixels


def test_relevance_equals_zennit_s(network_and_layer, make_tensor, make_texture):
    network, layer = network_and_layer
    images = make_tensor(make_texture(11)).double()
    model = RelevanceModel(network)
    encoded = model.forward(images, [layer])
    seed = torch.randn(encoded.embedding.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = encoded.at_layers(seed, [0], [layer])[layer]
    cell = (encoded.feature_maps[layer].shape[2] // 2, 1)
    our_pixels, _ = encoded.at_pixels(layer, [cell], [0])
    theirs, their_pixels = zennit_relevance(network, images, layer, seed, cell)
    assert theirs.abs().max() > 0 and their_pixels.abs().max() > 0
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9 * theirs.abs().max().item())
    torch.testing.assert_close(our_pixels, their_pixels, rtol=1e-6, atol=1e-9 * their_pixels.abs().max().item())


LOW, HIGH = (0 - MEAN) / SPREAD, (1 - MEAN) / SPREAD
NEEDS = {"epsilon_gamma_box": {"low": LOW, "high": HIGH}}
NAMES = sorted(zennit_composites.COMPOSITES)


SOME = ["torchvision resnet18", "timm resnet26d", "timm efficientnet_b0"]
OTHERS = ["torchvision resnet18", "torchvision efficientnet_b0", "timm efficientnet_b0"]


@pytest.mark.parametrize("network_and_layer", [NETWORKS[name] for name in SOME], ids=SOME, indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_every_composite_equals_zennit_s(network_and_layer, name, make_tensor, make_texture):
    network, layer = network_and_layer
    make = functools.partial(zennit_composites.COMPOSITES[name], **NEEDS.get(name, {}))
    assert_equal_to_zennit(network, layer, make_tensor(make_texture(14)).double(), make)


def assert_equal_to_zennit(network, layer, images, make):
    encoded = RelevanceModel(network, composite=make()).forward(images, [layer])
    seed = torch.randn(encoded.embedding.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = encoded.at_layers(seed, [0], [layer])[layer]
    cell = (encoded.feature_maps[layer].shape[2] // 2, 1)
    our_pixels, _ = encoded.at_pixels(layer, [cell], [0])
    theirs, their_pixels = zennit_relevance(with_inputs_of_their_own(network), images, layer, seed, cell, make)
    assert theirs.abs().max() > 0 and their_pixels.abs().max() > 0
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-8 * theirs.abs().max().item())
    torch.testing.assert_close(our_pixels, their_pixels, rtol=1e-5, atol=1e-8 * their_pixels.abs().max().item())


class ZPlus(BasicHook):
    """A stranger's hook that bears the name of one of zennit's: inputs share by squared contributions."""

    def __init__(self, power=2):
        super().__init__(
            input_modifiers=[lambda values: values.abs() ** power],
            param_modifiers=[lambda parameter, _: parameter.abs() ** power],
            output_modifiers=[lambda values: values],
            gradient_mapper=lambda relevance, outputs: relevance / (outputs[0] + 1e-3),
            reducer=lambda inputs, gradients: inputs[0] * gradients[0],
        )


class Doubled(Hook):
    """Passes twice the gradient, and reads what it kept of the forward pass."""

    def forward(self, module, args, output):
        self.stored_tensors["positive"] = output > 0

    def backward(self, module, grad_input, grad_output):
        return (2 * grad_input[0] * (0.5 + self.stored_tensors["positive"]),)


def strange_everywhere(canonizers=None):
    first = [(zennit_types.Convolution, ZPlus()), (nn.ReLU, Doubled()), (nn.SiLU, Doubled())]
    return zennit_composites.EpsilonPlus(layer_map=first, canonizers=canonizers)


def strange_sums(canonizers=None):
    return zennit_composites.EpsilonPlus(layer_map=[(Sum, zennit_rules.Epsilon(0.1))], canonizers=canonizers)


def strange_norms(canonizers=None):
    return zennit_composites.EpsilonPlus(layer_map=[(nn.BatchNorm2d, zennit_rules.Epsilon(0.1))], canonizers=canonizers)


def by_name(canonizers=None):
    names = ["layer2.0.conv1", "features.2.0.block.0.0", "blocks.1.0.conv_pw"]
    around = ["layer2.0.downsample", "features.2.0.block.0", "blocks.1.0.bn1"]  # containers, with hooks inside of them
    mixed = [
        zennit_composites.NameMapComposite([(names, zennit_rules.Gamma(0.5)), (around, zennit_rules.Norm(0.1))]),
        zennit_composites.EpsilonPlusFlat(),
    ]
    return zennit_composites.MixedComposite(mixed, canonizers=canonizers)


STRANGE = {"hooks": strange_everywhere, "sums": strange_sums, "batch norms": strange_norms, "names": by_name}


@pytest.mark.parametrize("network_and_layer", [NETWORKS[name] for name in OTHERS], ids=OTHERS, indirect=True)
@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE)
def test_composites_of_one_s_own_equal_zennit_s(network_and_layer, make, make_tensor, make_texture):
    network, layer = network_and_layer
    assert_equal_to_zennit(network, layer, make_tensor(make_texture(15)).double(), make)


class InTurn(nn.Module):
    """Serves several places of one forward pass, each by a module of its own."""

    def __init__(self, *modules):
        super().__init__()
        self.of_each_run, self.runs = nn.ModuleList(modules), 0

    def forward(self, x):
        self.runs += 1
        return self.of_each_run[(self.runs - 1) % len(self.of_each_run)](x)


def with_inputs_of_their_own(network):
    """Return a copy whose activations leave their inputs alone and run once each, as zennit keeps the last one's."""
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        if hasattr(module, "inplace"):
            module.inplace = False
        if type(module).__module__ == "torchvision.models.resnet" and hasattr(module, "conv2"):
            module.relu = InTurn(nn.ReLU(), nn.ReLU())
    return copied


def test_embedding_and_features_are_the_host_s(network_and_layer, make_tensor, make_texture):
    network, layer = network_and_layer
    images = make_tensor(make_texture(12), make_texture(13)).double()
    encoded = RelevanceModel(network).forward(images, [layer])
    seen = {}
    handle = network.get_submodule(layer).register_forward_hook(lambda _, __, out: seen.update(map=out))
    with torch.no_grad():
        embedding = network(images)
    handle.remove()
    torch.testing.assert_close(encoded.embedding, embedding)
    torch.testing.assert_close(encoded.feature_maps[layer], seen["map"])
    assert isinstance(network, nn.Module) and not network.training
