"""Each rule against the zennit hook that it stands for, in float64, on steps of every geometry."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.composites.hooked import Hooked
from pairx_plugin.relevance.composites.translation import rule_of_hook

zennit_rules = pytest.importorskip("zennit.rules")
zennit_core = pytest.importorskip("zennit.core")

LOW, HIGH = torch.full((1, 4, 1, 1), -2.5), torch.tensor([2.0, 2.5, 3.0, 3.5]).reshape(1, 4, 1, 1)
HOOKS = {
    "epsilon": lambda **changes: zennit_rules.Epsilon(**changes),
    "epsilon of a quarter": lambda **changes: zennit_rules.Epsilon(epsilon=0.25, **changes),
    "z-plus": lambda **changes: zennit_rules.ZPlus(**changes),
    "gamma": lambda **changes: zennit_rules.Gamma(**changes),
    "gamma 3": lambda **changes: zennit_rules.Gamma(gamma=3.0, stabilizer=1e-2, **changes),
    "gamma 0": lambda **changes: zennit_rules.Gamma(gamma=0.0, **changes),
    "alpha 2 beta 1": lambda **changes: zennit_rules.AlphaBeta(**changes),
    "alpha 1 beta 0": lambda **changes: zennit_rules.AlphaBeta(alpha=1, beta=0, **changes),
    "alpha 1.5 beta 0.5": lambda **changes: zennit_rules.AlphaBeta(alpha=1.5, beta=0.5, stabilizer=0.1, **changes),
    "box": lambda **changes: zennit_rules.ZBox(LOW, HIGH, **changes),
    "box of numbers": lambda **changes: zennit_rules.ZBox(-3.0, 3, stabilizer=1e-3, **changes),
    "w-square": lambda **changes: zennit_rules.WSquare(**changes),
    "flat": lambda **changes: zennit_rules.Flat(**changes),
}
STABILIZERS = {
    "clipped": lambda: zennit_core.Stabilizer(epsilon=0.3, clip=True),
    "scaled": lambda: zennit_core.Stabilizer(epsilon=0.2, norm_scale=True),
    "a function": lambda: lambda values: values + 0.5,
}
CONVOLUTIONS = {
    "plain": dict(kernel_size=3, padding=1),
    "strided": dict(kernel_size=3, stride=2, padding=1),
    "no bias": dict(kernel_size=3, bias=False),
    "pointwise": dict(kernel_size=1),
    "depthwise": dict(kernel_size=3, groups=4, padding=1),
    "grouped": dict(kernel_size=3, groups=2, padding=1, stride=2),
    "dilated": dict(kernel_size=3, dilation=2, padding=2),
    "same": dict(kernel_size=4, padding="same"),
    "oblong": dict(kernel_size=(3, 1), padding=(1, 0), stride=(2, 1)),
    "wide padding": dict(kernel_size=3, padding=4, stride=2),
    "gaps": dict(kernel_size=1, stride=3),
}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


def draw(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def of_zennit(hook, module, x, relevance):
    hook = hook.copy()
    handles = hook.register(module)
    x = x.detach().clone().requires_grad_()
    try:
        (found,) = torch.autograd.grad(module(x), x, relevance)
    finally:
        handles.remove()
    return found


def of_rule(rule, module, x, relevance):
    with torch.no_grad():
        kept = rule.keep((x,), module(x))
        (found,) = rule.propagate(Patch(relevance, Images(tuple(range(len(x))), len(x))), kept)
    return found.values


def assert_equal(hook, module, x, generator):
    rule = rule_of_hook(hook, module)
    assert rule is not None and not isinstance(rule, Hooked)
    relevance = draw(generator, *module(x).shape)
    ours, theirs = of_rule(rule, module, x, relevance), of_zennit(hook, module, x, relevance)
    assert theirs.abs().max() > 0
    torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10 * theirs.abs().max().item())


@pytest.mark.parametrize("nonnegative", [True, False], ids=["inputs >= 0", "inputs of both signs"])
@pytest.mark.parametrize("zero_params", [None, ["bias"]], ids=["bias", "zero bias"])
@pytest.mark.parametrize("geometry", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("make", HOOKS.values(), ids=HOOKS)
def test_rule_on_a_convolution_is_zennit_s(make, geometry, zero_params, nonnegative, generator):
    torch.manual_seed(3)
    module = nn.Conv2d(4, 4, **geometry).double()
    x = draw(generator, 2, 4, 7, 6)
    assert_equal(make(zero_params=zero_params), module, x.abs() if nonnegative else x, generator)


@pytest.mark.parametrize("nonnegative", [True, False], ids=["inputs >= 0", "inputs of both signs"])
@pytest.mark.parametrize("zero_params", [None, "bias"], ids=["bias", "zero bias"])
@pytest.mark.parametrize("shape", [(3, 4), (2, 5, 4)], ids=["vectors", "rows of vectors"])
@pytest.mark.parametrize("name", [name for name in HOOKS if "box" not in name])
def test_rule_on_a_dense_layer_is_zennit_s(name, shape, zero_params, nonnegative, generator):
    torch.manual_seed(4)
    x = draw(generator, *shape)
    assert_equal(
        HOOKS[name](zero_params=zero_params), nn.Linear(4, 5).double(), x.abs() if nonnegative else x, generator
    )


@pytest.mark.parametrize("size", [(6, 6), (7, 6), (6, 7), (7, 7)], ids=lambda size: f"{size[0]} x {size[1]}")
@pytest.mark.parametrize("make", HOOKS.values(), ids=HOOKS)
def test_rule_on_a_convolution_padded_as_tensorflow_does_is_zennit_s(make, size, generator):
    layers = pytest.importorskip("timm.layers")
    torch.manual_seed(5)
    module = layers.Conv2dSame(4, 3, 3, stride=2).double()
    assert_equal(make(), module, draw(generator, 2, 4, *size), generator)


@pytest.mark.parametrize("stabilizer", STABILIZERS.values(), ids=STABILIZERS)
@pytest.mark.parametrize("kind", ["ZPlus", "Epsilon", "Gamma", "AlphaBeta", "WSquare", "Flat"])
def test_stabilizers_are_zennit_s(kind, stabilizer, generator):
    torch.manual_seed(6)
    module = nn.Conv2d(4, 4, 3, padding=1).double()
    name = "epsilon" if kind == "Epsilon" else "stabilizer"
    hook = getattr(zennit_rules, kind)(**{name: stabilizer()})
    assert_equal(hook, module, draw(generator, 2, 4, 7, 6), generator)


@pytest.mark.parametrize("kind", ["ReLUDeconvNet", "ReLUGuidedBackprop", "ReLUBetaSmooth", "Pass"])
def test_rule_on_an_activation_is_zennit_s(kind, generator):
    assert_equal(getattr(zennit_rules, kind)(), nn.ReLU(), draw(generator, 2, 4, 7, 6), generator)


def test_beta_is_the_hook_s(generator):
    assert_equal(zennit_rules.ReLUBetaSmooth(beta_smooth=1.5), nn.ReLU(), draw(generator, 2, 4, 7, 6), generator)


@pytest.mark.parametrize("stabilizer", [1e-6, 0.5], ids=str)
def test_norm_is_zennit_s(stabilizer, generator):
    x = draw(generator, 2, 4, 7, 6)
    assert_equal(zennit_rules.Norm(stabilizer=stabilizer), nn.AvgPool2d(3, 2, 1), x, generator)


@pytest.mark.parametrize("shared", [True, False], ids=["one box", "a box for each image"])
def test_box_of_the_image_s_size_is_zennit_s(shared, generator):
    module = nn.Conv2d(3, 5, 3, padding=1, stride=2).double()
    low = -3.0 - draw(generator, 1 if shared else 4, 3, 6, 6).abs()  # a batch that is longer is cut off
    assert_equal(zennit_rules.ZBox(low, -low), module, draw(generator, 2, 3, 6, 6), generator)
