"""Whole networks against zennit's own hooks, in float64: relevance at layers and at pixels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pairx_plugin.relevance.propagation import RelevanceModel

zennit_composites = pytest.importorskip("zennit.composites")

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


def zennit_relevance(network, images, layer, seed, cell):
    """Return what the public code's hooks record: relevance at the layer, and of one cell at the pixels."""
    composite = zennit_composites.EpsilonPlus(canonizers=zennit_canonizers(network))
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
