"""Transformers as hosts use them: other sizes, one call of torch's or many, half precision, weights that change."""

from __future__ import annotations

import pytest
import torch
from small_transformers import FLAT, WINDOWS, as_map, made, pictures, terms_of, watched

from pairx_plugin.relevance.propagation import RelevanceModel

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
