"""Relevance on the transformers of three libraries, family by family, against the host's own forward pass."""

from __future__ import annotations

import pytest
import torch
from small_transformers import FLAT, WINDOWS, as_map, made, pictures, terms_of, watched
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pairx_plugin.relevance.conservation import balance_of
from pairx_plugin.relevance.propagation import RelevanceModel
from pairx_plugin.relevance.rules.base import Stabilizer

FAMILIES = {
    "siglip, attention pooling": ("vit_base_patch16_siglip_224", FLAT, "blocks.0"),
    "dinov2 with SwiGLU": ("vit_giant_patch14_dinov2", {**FLAT, "mlp_ratio": 4.0}, "blocks.0"),
    "deit distilled": ("deit_tiny_distilled_patch16_224", FLAT, "blocks.0"),
    "relative positions": ("vit_relpos_small_patch16_224", FLAT, "blocks.0"),
    "eva": ("eva_giant_patch14_224", FLAT, "blocks.0"),
    "eva02, packed": ("eva02_tiny_patch14_224", FLAT, "blocks.0"),
    "eva02, apart, norms inside": ("eva02_base_patch14_224", FLAT, "blocks.0.mlp.fc1_x"),
    "dinov3": ("vit_small_patch16_dinov3", FLAT, "blocks.0.attn.proj"),
    "rotary, learnt": ("vit_small_patch16_rope_mixed_224", FLAT, "blocks.0"),
    "beit": ("beit_base_patch16_224", FLAT, "blocks.0"),
    "swin v2": ("swinv2_tiny_window8_256", WINDOWS, "layers.0"),
    "swin v2, padded windows": ("swinv2_tiny_window8_256", {**WINDOWS, "img_size": (40, 24)}, "layers.0"),
    "swin v2-cr": ("swinv2_cr_tiny_224", WINDOWS, "stages.0.blocks.1"),
    "torchvision vit": ("torchvision vit", {}, "encoder.layers.encoder_layer_0"),
    "torchvision swin, odd size": ("torchvision swin", {"img_size": (36, 52)}, "features.1"),
    "torchvision swin v2": ("torchvision swin v2", {}, "features.1.1.mlp.0"),
    "transformers vit": ("transformers ViTModel", {}, "backbone.layers.0"),
    "transformers deit": ("transformers DeiTModel", {}, "backbone.layers.0"),
    "transformers dinov2": ("transformers Dinov2Model", {}, "backbone.encoder.layer.0"),
    "transformers dinov2, eager": (
        "transformers Dinov2Model", {"_attn_implementation": "eager"}, "backbone.encoder.layer.0"
    ),
    "transformers dinov2 with SwiGLU": (
        "transformers Dinov2Model", {"use_swiglu_ffn": True}, "backbone.encoder.layer.0.mlp"
    ),
    "transformers dinov2 with registers": (
        "transformers Dinov2WithRegistersModel", {"num_register_tokens": 3}, "backbone.encoder.layer.0"
    ),
    "transformers dinov3": ("transformers DINOv3ViTModel", {"num_register_tokens": 2}, "backbone.model.layer.0"),
    "transformers clip": ("transformers CLIPVisionModel", {}, "backbone.encoder.layers.0"),
}


def halved(values):
    return (values + values.detach()) / 2


def is_live(value):
    return isinstance(value, torch.Tensor) and value.requires_grad


class Linearised(TorchFunctionMode):
    """The host's own forward pass, with what is not linear frozen and each product of two live factors in halves.

    Nothing of the rules is used here: torch's functions are met as the host calls them.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(function, "__name__", "")
        if name in ("gelu", "silu", "sigmoid") and is_live(args[0]):
            return args[0] * (function(*args, **kwargs) / args[0]).detach()
        if name == "layer_norm" and is_live(args[0]):
            given = {**dict(zip(("x", "shape", "weight", "bias", "eps"), args)), **kwargs}
            x, weight, bias, eps = (given[key] for key in ("x", "weight", "bias", "eps"))
            centred = x - x.mean(-1, keepdim=True)
            result = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt().detach()
            return result if weight is None else result * weight + (0 if bias is None else bias)
        if name == "normalize" and is_live(args[0]):
            return args[0] / args[0].norm(dim=-1, keepdim=True).clamp_min(1e-12).detach()
        if name == "scaled_dot_product_attention":
            return self._attention(*args[:3], kwargs.get("attn_mask"))
        if name == "multi_head_attention_forward":
            x, _, _, _, heads, weight, bias = args[:7]
            q, k, v = F.linear(x.transpose(0, 1), weight, bias).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
            mixed = self._attention(q, k, v, None).transpose(1, 2).flatten(2)
            return F.linear(mixed, args[11], args[12]).transpose(0, 1), None
        if name in ("matmul", "__matmul__", "mul", "__mul__") and all(is_live(value) for value in args):
            return function(halved(args[0]), halved(args[1]))
        return function(*args, **kwargs)

    @staticmethod
    def _attention(q, k, v, bias):
        q, k = (halved(q), halved(k)) if is_live(q) else (q, k)
        products = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        return halved((products if bias is None else products + bias).softmax(-1)) @ halved(v)


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES)
def family(request):
    return request.param


def test_embedding_and_tokens_are_the_host_s_to_the_last_bit(family):
    name, options, layer = family
    network, images = made(name, options, torch.float32), pictures(options, dtype=torch.float32)
    before = {key: sorted(vars(module)) for key, module in network.named_modules()}
    with torch.no_grad():
        embedding, tokens = watched(network, layer, images)
    encoded = RelevanceModel(network, mode="corrected").forward(images, [layer])
    assert torch.equal(encoded.embedding, embedding)
    assert torch.equal(encoded.feature_maps[layer], as_map(network, tokens, images))
    assert {key: sorted(vars(module)) for key, module in network.named_modules()} == before


def test_relevance_is_input_times_gradient_of_the_linearised_host(family, monkeypatch):
    monkeypatch.setattr(Stabilizer, "__call__", lambda self, denominator: denominator)
    name, options, layer = family
    network, images = made(name, options).requires_grad_(False), pictures(options)
    terms = terms_of(network, images)
    encoded = RelevanceModel(network, mode="corrected").forward(images, [layer])
    found = encoded.at_layers(terms, [0], [layer])[layer]
    with Linearised():
        embedding, tokens = watched(network, layer, images[:1].clone().requires_grad_())
    torch.testing.assert_close(embedding, encoded.embedding[:1])
    (gradient,) = torch.autograd.grad(embedding, tokens, terms / embedding.detach())
    expected = as_map(network, tokens.detach() * gradient, images)
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() < 1e-10 * expected.abs().max()


def test_relevance_is_accounted_for_from_the_embedding_to_the_patches(family):
    name, options, _ = family
    network, images = made(name, options), pictures(options)
    balance = balance_of(RelevanceModel(network, mode="corrected"), images[:1], terms_of(network, images))
    lowest = balance.layers[-1].layer_key
    assert lowest.startswith(("patch_embed", "conv_proj", "features.0", "backbone.embeddings.patch_embed"))
    assert all(balance.error(layer) < 1e-9 for layer in balance.layers)


def test_with_biases_excluded_attention_alone_keeps_relevance(family):
    name, options, _ = family
    network = made(name, options)
    constants = ("bias", "pos_embed", "pos_embedding", "_token", "_tokens", "latent", "position_bias_table")
    constants += ("position_embeddings", "position_embedding.weight", "class_embedding")
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if key.endswith(constants):
                parameter.zero_()
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                module.eps = 0.0 if "swin" not in name else module.eps
    images = pictures(options)
    balance = balance_of(RelevanceModel(network, mode="corrected"), images[:1], terms_of(network, images))
    kept = {step: share for step, share in balance.left_behind.items() if abs(share) > 2e-3 * abs(balance.total)}
    assert all("core" in step for step in kept), kept


def test_a_cell_of_a_window_answers_to_the_pixels_of_its_window():
    network = made("swinv2_tiny_window8_256", WINDOWS)
    images = pictures(WINDOWS, 1)
    encoded = RelevanceModel(network, mode="corrected").forward(images, ["layers.0.blocks.0", "layers.0.blocks.1"])
    for layer, window in (("layers.0.blocks.0", (slice(16, 32), slice(0, 16))), ("layers.0.blocks.1", None)):
        maps, _ = encoded.at_pixels(layer, [(5, 2)], [0])  # 8 x 8 cells of 4 pixels, windows of 4 x 4 cells
        there = maps[0].abs().sum(0) > 0
        if window is not None:
            assert there[window].all() and there.sum() == 16 * 16
        else:
            assert there.sum() > 16 * 16, "the second block has shifted windows"
