"""Suggested layers and receptive fields of the backbones that people use."""

from __future__ import annotations

import pytest

from pairx_plugin.models.layers import list_layers, suggest_layer


@pytest.mark.parametrize(
    ("library", "name", "size", "key", "grid", "field"),
    [
        ("timm", "tf_efficientnetv2_b0", 224, "blocks.2", (28, 28), 43),
        ("timm", "tf_efficientnetv2_b0", 440, "blocks.3", (28, 28), 123),
        ("timm", "efficientnet_b0", 384, "blocks.3", (24, 24), 147),
        ("timm", "resnet18", 224, "layer2", (28, 28), 99),
        ("torchvision", "efficientnet_b0", 224, "features.3", (28, 28), 67),
        ("torchvision", "efficientnet_b0", 512, "features.4", (32, 32), 147),
        ("torchvision", "resnet18", 440, "layer3", (28, 28), 211),
    ],
)
def test_suggestion_for_the_supported_families(library, name, size, key, grid, field):
    package = pytest.importorskip(library, reason=f"needs {library}")
    network = package.create_model(name) if library == "timm" else package.models.get_model(name)
    suggested = suggest_layer(network.eval(), (size, size))
    assert (suggested.key, suggested.grid, suggested.receptive_field) == (key, grid, (field, field))


def test_published_receptive_fields_are_reproduced():
    """EfficientNet-B0: 851 pixels; ResNet-50: 483, or 427 with the strides in the 3x3 convolutions."""
    timm = pytest.importorskip("timm", reason="needs timm")
    for name, key, field in (("efficientnet_b0", "conv_head", 851), ("resnet50", "layer4", 427)):
        layers = list_layers(timm.create_model(name).eval(), (224, 224))
        assert [layer.receptive_field for layer in layers if layer.key == key] == [(field, field)]
