"""Transformers, and parts of them, that have no rule are refused in words that name a way out."""

from __future__ import annotations

import types

import pytest
from small_transformers import FLAT, made, pictures
from torch import nn

from pairx_plugin.errors import LayerNotFound, UnsupportedArchitecture
from pairx_plugin.relevance.propagation import RelevanceModel


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


def older(options):
    network = made("transformers ViTModel", {})
    for block in network.backbone.layers:
        block.attention.queries = block.attention._modules.pop("q_proj")
    return network


def asked_for_more(options):
    network = made("transformers ViTModel", {})
    layer = network.backbone.layers[0]
    layer.forward = types.MethodType(lambda self, x, *others: self.attention(x, output_attentions=True)[0], layer)
    return network


REFUSED = {
    "another version of transformers": (older, r"'backbone\.layers\.0\.attention' .*4\.57 to 5\.23 are"),
    "further outputs": (asked_for_more, r"attention with output_attentions has no rule.*images alone"),
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
    kind = type("SwinModel", (nn.Module,), {"__module__": "transformers.models.swin.modeling_swin"})
    network = nn.ModuleDict({"backbone": kind()})
    with pytest.raises(UnsupportedArchitecture, match="'backbone' is SwinModel of the library transformers.*timm has"):
        RelevanceModel(network, mode="corrected")
