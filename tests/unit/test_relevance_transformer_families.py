"""Relevance on the transformers of timm and torchvision, family by family, against the host's own forward pass."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from pairx_plugin.errors import LayerNotFound, UnsupportedArchitecture
from pairx_plugin.models.token_grids import to_map, token_layout
from pairx_plugin.relevance.conservation import balance_of
from pairx_plugin.relevance.propagation import RelevanceModel
from pairx_plugin.relevance.rules.base import Stabilizer
from pairx_plugin.relevance.seeds import product_seeds

FLAT = dict(img_size=32, patch_size=8, depth=2, embed_dim=16, num_heads=2)
WINDOWS = dict(img_size=32, window_size=4, depths=(2, 2), embed_dim=8, num_heads=(1, 2))

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
}


def from_torchvision(name):
    models = pytest.importorskip("torchvision").models
    if name == "torchvision vit":
        network = models.VisionTransformer(32, 8, 2, 2, 16, 32)
        network.heads = nn.Identity()
        return network
    swin = models.swin_transformer
    newer = dict(block=swin.SwinTransformerBlockV2, downsample_layer=swin.PatchMergingV2) if "v2" in name else {}
    network = models.SwinTransformer([4, 4], 8, [2, 2], [1, 2], [4, 4], **newer)
    network.head = nn.Identity()
    return network


def made(name, options, dtype=torch.float64):
    """Return a network of random weights in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        if name.startswith("torchvision"):
            network = from_torchvision(name)
        else:
            network = pytest.importorskip("timm").create_model(name, num_classes=0, **options)
        with torch.no_grad():
            for parameter in network.parameters():
                spread = torch.randn(parameter.shape)
                if parameter.ndim > 1 and len(parameter) > 1:
                    parameter.copy_(spread * (1.0 / parameter[0].numel()) ** 0.5)
                else:
                    parameter.add_(spread * 0.1)
    return network.eval().to(dtype)


def pictures(options, n=2, dtype=torch.float64):
    size = options.get("img_size", 32)
    size = (size, size) if isinstance(size, int) else size
    return torch.randn((n, 3, *size), generator=torch.Generator().manual_seed(1), dtype=dtype)


def watched(network, layer, images):
    """Return the embedding and what a layer returned."""
    seen = []
    handle = network.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        return network(images), seen[-1]
    finally:
        handle.remove()


def as_map(network, tokens, images):
    return to_map(tokens, token_layout(network).grid(tuple(tokens.shape), tuple(images.shape[2:])))


def terms_of(network, images):
    with torch.no_grad():
        embeddings = network(images)
    return product_seeds(embeddings[:1], embeddings[1:])[1]


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
        if name in ("gelu", "silu") and is_live(args[0]):
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
    assert lowest.startswith(("patch_embed", "conv_proj", "features.0"))
    assert all(balance.error(layer) < 1e-9 for layer in balance.layers)


def test_with_biases_excluded_attention_alone_keeps_relevance(family):
    name, options, _ = family
    network = made(name, options)
    constants = ("bias", "pos_embed", "pos_embedding", "_token", "latent", "position_bias_table")
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


SIZES = {
    "vit of any size": ("vit_tiny_patch16_224", {**FLAT, "dynamic_img_size": True}, (32, 48), "blocks.0"),
    "vit that pads": (
        "vit_tiny_patch16_224", {**FLAT, "dynamic_img_size": True, "dynamic_img_pad": True}, (35, 45), "blocks.0"
    ),
    "eva02 of any size": ("eva02_tiny_patch14_224", {**FLAT, "dynamic_img_size": True}, (48, 32), "blocks.0"),
    "swin of any size": ("swin_tiny_patch4_window7_224", {**WINDOWS, "strict_img_size": False}, (40, 28), "layers.0"),
    "swin v2 of any size": ("swinv2_tiny_window8_256", {**WINDOWS, "strict_img_size": False}, (40, 28), "layers.0"),
    "torchvision swin below a window": ("torchvision swin", {}, (32, 12), "features.1"),
}


@pytest.mark.parametrize("name, options, size, layer", SIZES.values(), ids=SIZES)
def test_sizes_that_a_network_was_not_built_for(name, options, size, layer):
    network, images = made(name, options, torch.float32), pictures({"img_size": size}, dtype=torch.float32)
    with torch.no_grad():
        embedding, tokens = watched(network, layer, images)
    encoded = RelevanceModel(network, mode="corrected").forward(images, [layer])
    assert torch.equal(encoded.embedding, embedding)
    assert torch.equal(encoded.feature_maps[layer], as_map(network, tokens, images))
    relevance = encoded.at_layers(terms_of(network, images), [0], [layer])[layer]
    assert relevance.shape[2:] == encoded.feature_maps[layer].shape[2:] and relevance.isfinite().all()


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "eva02_base_patch14_224", "beit_base_patch16_224"])
def test_one_call_of_torch_s_and_many_give_the_same_bits_as_the_host(name):
    network, images = made(name, FLAT, torch.float32), pictures(FLAT, dtype=torch.float32)
    found = []
    for fused in (False, True):
        for module in network.modules():
            if hasattr(module, "fused_attn"):
                module.fused_attn = fused
        with torch.no_grad():
            embedding = network(images)
        encoded = RelevanceModel(network, mode="corrected").forward(images, ["blocks.0"])
        assert torch.equal(encoded.embedding, embedding)
        found.append(encoded.at_layers(terms_of(network, images), [0], ["blocks.0"])["blocks.0"])
    torch.testing.assert_close(*found, rtol=1e-2, atol=1e-3 * found[0].abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_keeps_the_host_s_numbers(dtype):
    network, images = made("eva02_tiny_patch14_224", FLAT, dtype), pictures(FLAT, dtype=dtype)
    tokens = []
    network.blocks[0].register_forward_hook(lambda *call: tokens.append(call[-1]))
    with torch.no_grad():
        embedding = network(images)
    encoded = RelevanceModel(network, mode="corrected").forward(images, ["blocks.0"])
    assert torch.equal(encoded.embedding, embedding)
    feature_map = encoded.feature_maps["blocks.0"]
    assert feature_map.dtype is dtype and feature_map.shape == (2, 16, 4, 4)
    assert torch.equal(feature_map.flatten(2).transpose(1, 2), tokens[0][:, -16:])
    relevance = encoded.at_layers(terms_of(network, images).float(), [0], ["blocks.0"])["blocks.0"]
    assert relevance.shape == (1, 16, 4, 4) and relevance.dtype is torch.float32 and relevance.isfinite().all()


def test_weights_that_steps_were_made_of_are_read_again_when_they_change():
    network, images = made("swinv2_tiny_window8_256", WINDOWS), pictures(WINDOWS)
    model = RelevanceModel(network, mode="corrected")
    first = model.forward(images, []).embedding
    attention = network.layers[0].blocks[0].attn
    for weight in (attention.logit_scale, attention.cpb_mlp[0].weight, attention.q_bias):
        weight.data.add_(0.5)
    with torch.no_grad():
        assert torch.equal(model.forward(images, []).embedding, network(images))
    assert not torch.equal(first, network(images))


def test_steps_that_were_put_in_are_no_layers():
    network, images = made("eva02_tiny_patch14_224", FLAT), pictures(FLAT)
    model = RelevanceModel(network, mode="corrected")
    for inner in ("blocks.0.attn.core", "blocks.0.attn.qkv"):
        with pytest.raises(LayerNotFound, match="takes no part in the forward pass as a step of its own"):
            model.forward(images, [inner])


def differential(options):
    return made("vit_tiny_patch16_224", {**options, "attn_layer": "diff"})


def gated(options):
    network = made("vit_tiny_patch16_224", options)
    for block in network.blocks:
        block.attn.gate = nn.Linear(16, 16).double()
    return network


def parallel(options):
    return made("vit_small_patch16_18x2_224", options)


def crossed(options):
    network = made("torchvision vit", {})
    block = network.encoder.layers[0]
    block.forward = types.MethodType(lambda self, x: self.self_attention(x, 2 * x, x, need_weights=False)[0], block)
    return network


REFUSED = {
    "differential attention": (differential, r"'blocks\.0\.attn' \(timm\.layers\.diff_attention.*have: build"),
    "gates": (gated, r"gate of attention 'blocks\.0\.attn' .*gated=False, or use another explainer"),
    "parallel branches": (parallel, r"'stack' \(stack\) works along the batch.*another explainer"),
    "attention to something else": (crossed, r"MultiheadAttention of one input to another has no rule.*use another"),
}


@pytest.mark.parametrize("make, message", REFUSED.values(), ids=REFUSED)
def test_what_has_no_rule_is_refused_with_a_way_out(make, message):
    network, images = make(FLAT), pictures(FLAT)
    with pytest.raises(UnsupportedArchitecture, match=message):
        RelevanceModel(network, mode="corrected").forward(images, [])


def test_another_library_s_transformer_is_named_with_whose_is_known():
    kind = type("Dinov2Model", (nn.Module,), {"__module__": "transformers.models.dinov2.modeling_dinov2"})
    network = nn.ModuleDict({"backbone": kind()})
    with pytest.raises(UnsupportedArchitecture, match="'backbone' is Dinov2Model of the library transformers.*timm's"):
        RelevanceModel(network, mode="corrected")
