"""PAIR-X on tokens: whole transformers against the identity that attention-aware rules add up to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin import explain_ranking
from pairx_plugin.models.layers import list_layers, suggest_layer
from pairx_plugin.relevance.conservation import balance_of
from pairx_plugin.relevance.propagation import RelevanceModel
from pairx_plugin.relevance.rules.base import Stabilizer
from pairx_plugin.relevance.seeds import product_seeds

NETWORKS = {
    "vit": ("vit_tiny_patch16_224", dict(img_size=64, depth=4, embed_dim=24, num_heads=3), "blocks.1"),
    "vit pooled by average": (
        "vit_tiny_patch16_224",
        dict(img_size=64, depth=2, embed_dim=24, num_heads=3, global_pool="avg"),
        "blocks.1",
    ),
    "dinov2 with registers": (
        "vit_small_patch14_reg4_dinov2", dict(img_size=56, depth=3, embed_dim=24, num_heads=2), "blocks.1"
    ),
    "swin": (
        "swin_tiny_patch4_window7_224",
        dict(img_size=64, window_size=4, depths=(2, 2), embed_dim=24, num_heads=(2, 4)),
        "layers.0",
    ),
}


def made(name, options, seed=3):
    network = pytest.importorskip("timm").create_model(name, num_classes=0, **options).eval().double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim > 1:
                parameter.copy_(spread * (1.0 / parameter[0].numel()) ** 0.5)
            else:
                parameter.add_(spread * 0.1)
    return network


@pytest.fixture(scope="module", params=NETWORKS.values(), ids=NETWORKS)
def network_and_layer(request):
    name, options, layer = request.param
    return made(name, options), layer


def pictures(network, n=2):
    size = (56, 56) if network.patch_embed.patch_size[0] == 14 else (64, 64)
    return torch.randn((n, 3, *size), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def patch_tokens(network, tokens):
    """(B, N, C) or (B, h, w, C) to (B, C, h, w)."""
    if tokens.ndim == 4:
        return tokens.permute(0, 3, 1, 2)
    side = round((tokens.shape[1] - network.num_prefix_tokens) ** 0.5)
    return tokens[:, network.num_prefix_tokens :].transpose(1, 2).unflatten(2, (side, side))


def test_embedding_and_tokens_are_the_host_s_and_the_host_stays_as_it_was(network_and_layer):
    network, layer = network_and_layer
    images, seen = pictures(network), {}
    before = {name: sorted(vars(module)) for name, module in network.named_modules()}
    handle = network.get_submodule(layer).register_forward_hook(lambda _, __, out: seen.update(tokens=out))
    with torch.no_grad():
        embedding = network(images)
    handle.remove()
    encoded = RelevanceModel(network, mode="corrected").forward(images, [layer])
    assert torch.equal(encoded.embedding, embedding)
    assert torch.equal(encoded.feature_maps[layer], patch_tokens(network, seen["tokens"]))
    assert {name: sorted(vars(module)) for name, module in network.named_modules()} == before
    assert not any("core" in name for name, _ in network.named_modules())


class Linearised:
    """The network with everything but linear steps frozen, so that input times gradient is its relevance."""

    def __init__(self, network):
        self.network, self.undo = network, []

    def __enter__(self):
        for module in self.network.modules():
            kind = type(module).__name__
            if kind == "LayerNorm":
                self._replace(module, lambda x, norm=module: self._norm(norm, x))
            elif kind == "GELU":
                self._replace(module, lambda x: x * (nn.functional.gelu(x) / x).detach())
            elif kind == "Attention":
                self._replace(module, lambda x, attn_mask=None, is_causal=False, a=module: self._attention(a, x))
        return self.network

    def __exit__(self, *_):
        for module in self.undo:
            del module.forward

    def _replace(self, module, forward):
        module.forward = forward
        self.undo.append(module)

    @staticmethod
    def _norm(norm, x):
        spread = (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt().detach()
        return (x - x.mean(-1, keepdim=True)) / spread * norm.weight + norm.bias

    @staticmethod
    def _attention(attention, x):
        half = lambda values: (values + values.detach()) / 2
        n, length, width = x.shape
        qkv = attention.qkv(x).reshape(n, length, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        weights = (half(q) @ half(k).transpose(-2, -1) * attention.scale).softmax(-1)
        return attention.proj((half(weights) @ half(v)).transpose(1, 2).reshape(n, length, width))


@pytest.mark.parametrize("name", ["vit", "vit pooled by average", "dinov2 with registers"])
def test_relevance_is_input_times_gradient_of_the_linearised_network(name, monkeypatch):
    monkeypatch.setattr(Stabilizer, "__call__", lambda self, denominator: denominator)
    model_name, options, layer = NETWORKS[name]
    network = made(model_name, options)
    images = pictures(network)
    with torch.no_grad():
        embeddings = network(images)
    _, terms = product_seeds(embeddings[:1], embeddings[1:])
    encoded = RelevanceModel(network, mode="corrected").forward(images, [layer])
    found = encoded.at_layers(terms, [0], [layer])[layer]
    seen = {}
    with Linearised(network) as linearised:
        handle = linearised.get_submodule(layer).register_forward_hook(lambda _, __, out: seen.update(tokens=out))
        embedding = linearised(images[:1])
        handle.remove()
        (gradient,) = torch.autograd.grad(embedding, seen["tokens"], terms / embedding.detach())
    expected = patch_tokens(network, seen["tokens"].detach() * gradient)
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()


def test_conservation_is_reported_with_what_stays_behind(network_and_layer):
    network, _ = network_and_layer
    images = pictures(network)
    with torch.no_grad():
        embeddings = network(images)
    _, terms = product_seeds(embeddings[:1], embeddings[1:])
    balance = balance_of(RelevanceModel(network, mode="corrected"), images[:1], terms)
    kept = [layer for layer in balance.layers if layer.layer_key.startswith(("blocks.", "layers."))]
    assert kept and all(balance.error(layer) < 1e-9 for layer in kept)
    if getattr(network, "num_prefix_tokens", 0):
        assert any(abs(layer.beside) > 0 for layer in kept), "class tokens carry relevance beside the map"


def test_without_biases_only_attention_keeps_anything():
    name, options, _ = NETWORKS["vit pooled by average"]
    network = made(name, options)
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith("bias") or key in ("pos_embed", "cls_token"):
                parameter.zero_()
    images = pictures(network)
    with torch.no_grad():
        embeddings = network(images)
    _, terms = product_seeds(embeddings[:1], embeddings[1:])
    balance = balance_of(RelevanceModel(network, mode="corrected"), images[:1], terms)
    above = {step: kept for step, kept in balance.left_behind.items() if abs(kept) > 1e-3 * abs(balance.total)}
    assert above and all("core" in step for step in above), above


def test_layers_of_a_transformer_are_listed_with_their_grids(network_and_layer):
    network, layer = network_and_layer
    network = network.float()
    try:
        size = tuple(pictures(network).shape[2:])
        found = {info.key: info for info in list_layers(network, size)}
        assert found[layer].tokens and found[layer].grid == ((16, 16) if layer == "layers.0" else (4, 4))
        assert found["patch_embed.proj"].tokens is False
        suggested = suggest_layer(network, size)
        assert suggested.tokens and suggested.is_stage
    finally:
        network.double()


def test_three_quarters_of_the_depth_are_suggested():
    network = made("vit_tiny_patch16_224", dict(img_size=64, depth=12, embed_dim=24, num_heads=3)).float()
    suggested = suggest_layer(network, (64, 64))
    assert (suggested.key, suggested.reason) == ("blocks.8", "three quarters of the depth, all of one grid")


def test_pair_is_explained_on_tokens(make_texture):
    network = made("vit_tiny_patch16_224", dict(img_size=64, depth=4, embed_dim=24, num_heads=3)).float()
    (found,) = explain_ranking(
        network, make_texture(1), [make_texture(2)], mode="corrected", k_colors=2, input_size=(64, 64)
    )
    (layer,) = found.layers
    assert layer.layer_key == "blocks.2" and layer.grid_0 == (4, 4) and len(layer.matches)
    assert layer.pixels_0.shape == (2, 64, 64) and np.abs(layer.pixels_0).max() > 0
    assert found.provenance["canonization"]["attention"] == 4


def test_several_seeds_find_their_own_images(network_and_layer):
    network, layer = network_and_layer
    images = pictures(network, 3)
    encoded = RelevanceModel(network, mode="corrected").forward(images, [layer])
    seeds = torch.randn(4, encoded.embedding.shape[1], generator=torch.Generator().manual_seed(9)).double()
    together = encoded.at_layers(seeds, [2, 0, 2, 1], [layer])[layer]
    for row, image in enumerate([2, 0, 2, 1]):
        alone = RelevanceModel(network, mode="corrected").forward(images[image : image + 1], [layer])
        expected = alone.at_layers(seeds[row : row + 1], [0], [layer])[layer]
        assert (together[row] - expected[0]).abs().max() < 1e-9 * expected.abs().max()


def test_batch_norm_behind_a_class_token_keeps_its_bias_s_share():
    """MiewID's neck on a ViT: with relevance in proportion to values, its input's share is what the input adds."""
    from pairx_plugin.models.miewid import MiewIdNetwork

    pytest.importorskip("timm")
    network = MiewIdNetwork("vit_tiny_patch16_224", image_size=(64, 64)).eval().double()
    with torch.no_grad():
        network.bn.running_mean.normal_(generator=torch.Generator().manual_seed(1))
        network.bn.bias.normal_(generator=torch.Generator().manual_seed(2))
    images = torch.randn((2, 3, 64, 64), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        embeddings, tokens = network(images), network.backbone.forward_features(images)
    _, terms = product_seeds(embeddings[:1], embeddings[1:])
    balance = balance_of(RelevanceModel(network, mode="corrected"), images[:1], terms)
    scale = network.bn.weight.detach() / (network.bn.running_var + network.bn.eps).sqrt()
    expected = (terms[0] * scale * tokens[0, 0] / embeddings[0]).sum()
    assert balance.left_behind["bn"] == pytest.approx((terms.sum() - expected).item(), rel=1e-3)
