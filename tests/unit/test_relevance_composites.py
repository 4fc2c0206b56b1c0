"""Composites: which rule each module gets, by name and as zennit objects, and what is said where one cannot be made."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from pairx_plugin import explain_ranking
from pairx_plugin.errors import SettingsError, UnsupportedArchitecture
from pairx_plugin.models import EmbeddingModel
from pairx_plugin.relevance.composites.hooked import Hooked
from pairx_plugin.relevance.composites.named import composite_named
from pairx_plugin.relevance.composites.translation import rule_of_hook, rule_of_sum
from pairx_plugin.relevance.propagation import RelevanceModel
from pairx_plugin.relevance.rules import activations, linear, linear_families
from pairx_plugin.relevance.rules.plain import Copy, Norm, NormSum, Pass

zennit_rules = pytest.importorskip("zennit.rules")
zennit_composites = pytest.importorskip("zennit.composites")

NAMES = sorted(zennit_composites.COMPOSITES)
LAYER = "backbone.blocks.1"
RANGE = ((-2.0, -2.1, -2.2), (2.0, 2.1, 2.2))


@pytest.fixture
def registered():
    """Register a composite with zennit for one test: ``registered(name, make)``."""
    names = []

    def register(name, make):
        names.append(name)
        zennit_composites.register_composite(name)(make)

    yield register
    for name in names:
        del zennit_composites.COMPOSITES[name]


@pytest.mark.parametrize(
    "hook, module, rule",
    [
        (zennit_rules.Epsilon(), nn.Linear(2, 2), linear.Epsilon),
        (zennit_rules.ZPlus(), nn.Conv2d(2, 2, 1), linear.ZPlus),
        (zennit_rules.Gamma(), nn.Conv2d(2, 2, 1), linear_families.Gamma),
        (zennit_rules.AlphaBeta(), nn.Conv2d(2, 2, 1), linear_families.AlphaBeta),
        (zennit_rules.ZBox(0.0, 1.0), nn.Conv2d(2, 2, 1), linear_families.ZBox),
        (zennit_rules.WSquare(), nn.Conv2d(2, 2, 1), linear_families.WSquare),
        (zennit_rules.Flat(), nn.Conv2d(2, 2, 1), linear_families.Flat),
        (zennit_rules.Norm(), nn.AvgPool2d(2), Norm),
        (zennit_rules.Pass(), nn.SiLU(), Pass),
        (zennit_rules.ReLUDeconvNet(), nn.ReLU(), activations.DeconvNet),
        (zennit_rules.ReLUGuidedBackprop(), nn.ReLU(), activations.GuidedBackprop),
        (zennit_rules.ReLUBetaSmooth(), nn.ReLU(), activations.BetaSmooth),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_hook_of_zennit_has_a_rule(hook, module, rule):
    assert type(rule_of_hook(hook, module)) is rule


def renamed(base):
    return type(base.__name__, (base,), {})()


def exchanged():
    hook = zennit_rules.ZPlus()
    hook.reducer = lambda inputs, gradients: gradients[0]
    return hook


class Turned(nn.Conv2d):
    def forward(self, x):
        return super().forward(-x)


def patched():
    module = nn.Conv2d(2, 2, 1)
    module.forward = lambda x: x
    return module


@pytest.mark.parametrize(
    "hook, module",
    [
        pytest.param(renamed(zennit_rules.ZPlus), nn.Conv2d(2, 2, 1), id="another class of the same name"),
        pytest.param(renamed(zennit_rules.Pass), nn.ReLU(), id="another Pass"),
        pytest.param(exchanged(), nn.Conv2d(2, 2, 1), id="functions exchanged"),
        pytest.param(zennit_rules.ZPlus(zero_params="weight"), nn.Conv2d(2, 2, 1), id="without weights"),
        pytest.param(zennit_rules.ZPlus(), Turned(2, 2, 1), id="a forward of its own"),
        pytest.param(zennit_rules.ZPlus(), patched(), id="a patched forward"),
        pytest.param(zennit_rules.ZPlus(), nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), id="reflections"),
        pytest.param(zennit_rules.ZPlus(), nn.ConvTranspose2d(2, 2, 2), id="transposed convolution"),
        pytest.param(zennit_rules.Epsilon(), nn.AvgPool2d(2), id="epsilon on a pooling"),
        pytest.param(zennit_rules.ReLUGuidedBackprop(), nn.SiLU(), id="guided on another activation"),
    ],
)
def test_what_no_rule_computes_is_left_to_the_hook_itself(hook, module):
    assert rule_of_hook(hook, module) is None


def test_sums_share_copy_or_are_left_to_the_hook():
    assert type(rule_of_sum(None)) is Copy
    assert rule_of_sum(zennit_rules.Norm(stabilizer=0.5)).stabilizer.epsilon == 0.5
    assert rule_of_sum(zennit_rules.Epsilon()) is None


def kinds_of(network, composite, images):
    program = RelevanceModel(network, composite=composite).program(images.shape)
    return [type(step.rule) for step in program.steps if step.rule is not None], program


@pytest.fixture(scope="module")
def resnet(settled):
    return settled(pytest.importorskip("torchvision").models.resnet18(weights=None))


@pytest.fixture
def images(make_tensor, make_texture):
    return make_tensor(make_texture(61))


@pytest.mark.parametrize("name", NAMES)
def test_zennit_s_composites_need_no_hooks_and_pass_in_parts(resnet, images, name):
    kinds, program = kinds_of(resnet, composite_named(name, RANGE), images)
    assert Hooked not in kinds
    assert program.is_local(program.layer_node("layer3"))


@pytest.mark.parametrize("name", ["guided_backprop", "epsilon_gamma_box", "excitation_backprop", "epsilon_plus_flat"])
@pytest.mark.parametrize("which", ["resnet", "miewid_network"])
def test_parts_give_what_whole_maps_give_by_every_rule(request, name, which, make_tensor, make_texture, monkeypatch):
    network = request.getfixturevalue(which)
    images = make_tensor(make_texture(62, 96), make_texture(63, 96))
    layer = LAYER if which == "miewid_network" else "layer2"
    model = RelevanceModel(network, composite=composite_named(name, RANGE))
    program, encoded = model.program(images.shape), model.forward(images, [layer])
    cells = [(0, 0), (5, 7), (11, 2)]
    in_parts, cut_off = encoded.at_pixels(layer, cells, [0, 1, 0])
    assert program.is_local(program.layer_node(layer)) and not cut_off.any()
    monkeypatch.setattr(type(program), "is_local", lambda *_: False)
    whole, _ = encoded.at_pixels(layer, cells, [0, 1, 0])
    assert whole.abs().amax((1, 2, 3)).min() > 0
    torch.testing.assert_close(in_parts, whole, rtol=1e-3, atol=1e-5 * whole.abs().max().item())


def test_name_and_object_give_the_same(resnet, images):
    maps = []
    for composite in ("epsilon_alpha2_beta1_flat", zennit_composites.EpsilonAlpha2Beta1Flat()):
        encoded = RelevanceModel(resnet, composite=composite).forward(images, ["layer3"])
        maps.append(encoded.at_layers(encoded.embedding, [0], ["layer3"])["layer3"])
    assert torch.equal(*maps)


def test_composites_differ(resnet, images):
    maps = {}
    for name in NAMES:
        encoded = RelevanceModel(resnet, composite=composite_named(name, RANGE)).forward(images, ["layer1"])
        pixels = encoded.at_pixels("layer1", [(7, 7)], [0])[0]
        maps[name] = pixels / pixels.abs().max()
    for name in set(NAMES) - {"epsilon_plus", "excitation_backprop"}:
        assert (maps[name] - maps["epsilon_plus"]).abs().max() > 1e-2, name


def test_stabilizer_of_a_sum_is_the_composite_s(resnet, images):
    kinds, program = kinds_of(resnet, zennit_composites.EpsilonPlus(stabilizer=0.25), images)
    sums = [step.rule for step in program.steps if isinstance(step.rule, NormSum)]
    assert len(sums) == 8 and {rule.stabilizer.epsilon for rule in sums} == {0.25}


def test_gradients_copy_sums(resnet, images):
    kinds, _ = kinds_of(resnet, "guided_backprop", images)
    assert NormSum not in kinds and kinds.count(Copy) == 8


def test_unknown_name_says_the_nearest():
    with pytest.raises(SettingsError, match="nearest: 'epsilon_gamma_box'") as caught:
        composite_named("epsilon_gama_box")
    assert "excitation_backprop" in str(caught.value) and "'epsilon_gama_box'" in str(caught.value)


@pytest.mark.parametrize(
    "composite", [3, zennit_composites.EpsilonPlus, zennit_rules.ZPlus()], ids=["number", "class", "hook"]
)
def test_what_is_no_composite_is_refused(resnet, images, composite):
    with pytest.raises(SettingsError, match="must be a name or a zennit composite"):
        RelevanceModel(resnet, composite=composite).forward(images, [])


def test_hook_that_is_none_is_named(resnet, images):
    composite = zennit_composites.NameMapComposite([(["layer2.0.conv1"], "z-plus")])
    with pytest.raises(UnsupportedArchitecture, match="'z-plus' for 'layer2.0.conv1'"):
        RelevanceModel(resnet, composite=composite).forward(images, [])


def test_hook_around_residual_sums_is_refused(resnet, images):
    composite = zennit_composites.NameMapComposite([(["layer2"], zennit_rules.Norm())])
    with pytest.raises(UnsupportedArchitecture, match="around 'layer2.0'"):
        RelevanceModel(resnet, composite=composite).forward(images, [])


def test_range_is_asked_for_where_it_is_not_known(resnet, images):
    with pytest.raises(SettingsError, match="lowest and highest value") as caught:
        RelevanceModel(resnet, composite="epsilon_gamma_box").forward(images, [])
    assert "low=..., high=..." in str(caught.value)


def test_other_arguments_cannot_be_known(registered):
    registered("asking", lambda colour: None)
    with pytest.raises(SettingsError, match="asks for colour"):
        composite_named("asking", RANGE)


def test_registered_composite_has_a_name_of_its_own(registered, resnet, images):
    low, high = torch.full((1, 3, 1, 1), -2.5), torch.full((1, 3, 1, 1), 2.75)
    registered("our_box", functools.partial(zennit_composites.EpsilonGammaBox, low=low, high=high))
    _, program = kinds_of(resnet, "our_box", images)
    boxes = [step.rule for step in program.steps if isinstance(step.rule, linear_families.ZBox)]
    assert len(boxes) == 1 and boxes[0].low(images).unique().tolist() == [-2.5]


def test_range_is_that_of_black_and_white_pixels(miewid_network, make_texture):
    model = EmbeddingModel(miewid_network, input_size=(64, 64), mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.1))
    tensor = model.tensor([make_texture(1)])
    _, program = kinds_of(miewid_network, composite_named("epsilon_gamma_box", model.input_range), tensor)
    (rule,) = [step.rule for step in program.steps if isinstance(step.rule, linear_families.ZBox)]
    assert rule.low(tensor)[0, :, 0, 0].tolist() == pytest.approx([-2.0, -2.0, -3.0])
    assert rule.high(tensor)[0, :, 0, 0].tolist() == pytest.approx([2.0, 3.0, 7.0])
    assert (rule.low(tensor) <= tensor).all() and (tensor <= rule.high(tensor)).all()


def test_range_of_a_caller_s_own_preprocessing_is_not_known(tiny_network):
    model = EmbeddingModel(tiny_network, preprocess=lambda chip: torch.from_numpy(chip).permute(2, 0, 1) / 255)
    assert model.input_range is None
    assert EmbeddingModel(tiny_network).input_range is not None


def explained(network, make_texture, **settings):
    pair = make_texture(1), make_texture(2)
    (found,) = explain_ranking(network, pair[0], [pair[1]], layer=LAYER, input_size=(64, 64), k_colors=1, **settings)
    return found


def test_record_carries_the_composite(miewid_network, make_texture):
    plain = explained(miewid_network, make_texture)
    gamma = explained(miewid_network, make_texture, composite="epsilon_gamma_box")
    assert (plain.params["composite"], gamma.params["composite"]) == ("epsilon_plus", "epsilon_gamma_box")
    assert plain.explanation_id != gamma.explanation_id
    assert gamma.to_json()["params"]["composite"] == "epsilon_gamma_box"
    assert (plain.layers[0].pixels_0 != gamma.layers[0].pixels_0).any()


def test_setting_that_names_no_composite_is_an_error(miewid_network, make_texture):
    with pytest.raises(SettingsError, match="nearest: 'guided_backprop'"):
        explained(miewid_network, make_texture, composite="guided-backprop")
