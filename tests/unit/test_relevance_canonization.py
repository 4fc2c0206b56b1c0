"""What canonisation says it touched, and that touching nothing is an error unless asked for."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from pairx_plugin import explain_ranking
from pairx_plugin.errors import UnsupportedArchitecture
from pairx_plugin.relevance.program.canonization import check_touched
from pairx_plugin.relevance.propagation import RelevanceModel

SHAPE = (1, 3, 64, 64)


def made(name, **options):
    return pytest.importorskip("timm").create_model(name, num_classes=0, **options).eval()


def report(network, mode, **options):
    return RelevanceModel(network, mode=mode, **options).program(SHAPE).canonization.to_json()


@pytest.mark.parametrize(
    "mode, counts",
    [
        ("reference", {"gates": 16, "merged_batch_norms": 0, "shared_sums": 0, "copied_sums": 15}),
        ("corrected", {"gates": 16, "merged_batch_norms": 59, "shared_sums": 15, "copied_sums": 0}),
    ],
)
def test_report_counts_what_is_treated_and_what_is_not(mode, counts):
    found = report(made("tf_efficientnetv2_b0"), mode)
    assert {name: found[name] for name in counts} == counts
    assert found["architecture"] == "timm EfficientNet and EfficientNetV2" and found["mode"] == mode
    assert found["names"]["gates"] == ["blocks.3.0.se", "blocks.5.7.se"]
    assert json.loads(json.dumps(found)) == found


def test_report_names_every_batch_norm_of_the_network():
    network = made("resnet26d")
    found = RelevanceModel(network, mode="corrected").program(SHAPE).canonization
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert {merge.norm_key for merge in found.merged.values()} == norms and not found.lone_norms
    assert found.shared_sums == tuple(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1))


def test_dense_layers_at_cells_are_treated_as_the_convolutions_that_they_are():
    found = report(pytest.importorskip("torchvision").models.convnext_tiny(weights=None).eval(), "corrected")
    assert (found["layer_norms"], found["dense_layers_at_cells"], found["shared_sums"]) == (23, 36, 18)


def test_reference_mode_that_finds_nothing_of_what_it_wants_is_an_error():
    network = made("resnet50_gn")
    with pytest.raises(UnsupportedArchitecture) as caught:
        report(network, "reference")
    for part in ("timm ResNet", "'reference'", "batch norms right after", "'corrected'", "allow_uncanonized"):
        assert part in str(caught.value)
    allowed = report(network, "reference", allow_uncanonized=True)
    assert allowed["merged_batch_norms"] == 0 and allowed["copied_sums"] == 16
    assert report(network, "corrected")["shared_sums"] == 16


def test_reference_mode_takes_a_network_on_which_the_public_code_has_nothing_to_do():
    found = report(made("efficientnet_lite0"), "reference")
    assert (found["gates"], found["merged_batch_norms"], found["shared_sums"], found["copied_sums"]) == (0, 0, 0, 9)


class Emptied(nn.Module):
    """A network with a backbone of a known name and nothing in it of what makes that architecture."""

    def __init__(self):
        super().__init__()
        self.net = ResNet()

    def forward(self, x):
        return self.net(x)


class ResNet(nn.Module):
    __module__ = "timm.models.resnet"

    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)
        nn.init.ones_(self.conv.bias)  # a channel without a living cell would pass no relevance

    def forward(self, x):
        return self.pool(self.conv(x).relu()).flatten(1)


def test_corrected_mode_on_a_network_without_norms_and_sums_is_an_error():
    network = Emptied().eval()
    with pytest.raises(UnsupportedArchitecture, match="in 'net'.* looked for batch norms; layer norms; sums"):
        report(network, "corrected")
    model = RelevanceModel(network, mode="corrected", allow_uncanonized=True)
    relevance = model.forward(torch.rand(SHAPE), ["net.conv"]).at_layers(torch.ones(1, 4), [0], ["net.conv"])
    assert relevance["net.conv"].sum().item() == pytest.approx(4.0, rel=1e-5)
    check_touched(RelevanceModel(made("resnet18"), mode="corrected").program(SHAPE).canonization)


@pytest.mark.parametrize("mode", ["reference", "corrected"])
def test_record_says_what_was_touched(miewid_network, make_texture, mode):
    arguments = dict(layer="backbone.blocks.1", input_size=(64, 64), k_colors=0, mode=mode)
    (found,) = explain_ranking(miewid_network, make_texture(1), [make_texture(2)], **arguments)
    record = found.to_json()["provenance"]["canonization"]
    assert record["mode"] == mode and record["backbone"] == "backbone" and record["gates"] == 16
    assert len(json.dumps(record)) < 1000


def test_setting_explains_what_is_refused_without_it(make_texture):
    network = made("resnet50_gn")
    arguments = dict(layer="layer1", input_size=(64, 64), k_colors=0)
    with pytest.raises(UnsupportedArchitecture, match="nothing was canonised"):
        explain_ranking(network, make_texture(1), [make_texture(2)], **arguments)
    (found,) = explain_ranking(network, make_texture(1), [make_texture(2)], allow_uncanonized=True, **arguments)
    assert found.provenance["canonization"]["copied_sums"] == 16


def test_convnext_asks_for_the_mode_that_knows_it():
    with pytest.raises(UnsupportedArchitecture, match="knows no timm ConvNeXt; set mode to 'corrected'"):
        report(made("convnext_atto"), "reference")
