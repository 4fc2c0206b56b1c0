"""Each rule against a slow oracle written from its equation, in float64, and against zennit."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from pairx_plugin.errors import UnsupportedArchitecture
from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.rules import linear
from pairx_plugin.relevance.rules.base import Stabilizer
from pairx_plugin.relevance.rules.plain import Copy, Gradient, Norm, NormSum

EPSILON = 1e-6


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


def draw(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def carried(rule, relevance, *inputs, output=None, images=(0,), n_images=1):
    """Run a step forward and pull relevance back through it; return what each input receives."""
    if output is None:
        output = rule.run(*inputs) if hasattr(rule, "run") else rule.step(*inputs)
    with torch.no_grad():
        patches = rule.propagate(Patch(relevance, Images(tuple(images), n_images)), rule.keep(inputs, output))
    return [patch.values for patch in patches]


@torch.no_grad()
def dense_matrix(module, shape):
    """Return the linear part of `module` as a matrix (outputs, inputs), one basis vector at a time."""
    size = shape.numel()
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    zero = module(torch.zeros(1, *shape, dtype=torch.float64))
    return (module(basis) - zero).reshape(size, -1).T, zero.flatten()


def oracle_z_plus(matrix, bias, x, relevance):
    """R_i = sum_j max(x_i w_ij, 0) / (sum_i' max(x_i' w_i'j, 0) + max(b_j, 0)) R_j, written out."""
    lower = torch.zeros_like(x)
    for j in range(matrix.shape[0]):
        positive = torch.clamp(x * matrix[j], min=0)
        denominator = positive.sum() + max(float(bias[j]), 0.0)
        lower += positive / (denominator + (EPSILON if denominator >= 0 else -EPSILON)) * relevance[j]
    return lower


def oracle_epsilon(matrix, bias, x, relevance):
    lower = torch.zeros_like(x)
    for j in range(matrix.shape[0]):
        parts = x * matrix[j]
        denominator = parts.sum() + bias[j]
        lower += parts / (denominator + (EPSILON if denominator >= 0 else -EPSILON)) * relevance[j]
    return lower


CONVOLUTIONS = {
    "plain": dict(kernel_size=3, padding=1),
    "strided": dict(kernel_size=3, stride=2, padding=1),
    "no bias": dict(kernel_size=3, bias=False),
    "pointwise": dict(kernel_size=1),
    "depthwise": dict(kernel_size=3, groups=4, padding=1),
    "dilated": dict(kernel_size=3, dilation=2, padding=2),
    "same": dict(kernel_size=4, padding="same"),
    "oblong": dict(kernel_size=(3, 1), padding=(1, 0), stride=(2, 1)),
}
RULES = {"z-plus": (linear.ZPlus, oracle_z_plus), "epsilon": (linear.Epsilon, oracle_epsilon)}


@pytest.mark.parametrize("nonnegative", [True, False], ids=["inputs >= 0", "inputs of both signs"])
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("geometry", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_rule_on_a_convolution_is_its_equation(geometry, name, nonnegative, generator):
    rule_class, oracle = RULES[name]
    torch.manual_seed(3)
    module = nn.Conv2d(4, 4, **geometry).double()
    x = draw(generator, 1, 4, 7, 6)
    x = x.abs() if nonnegative else x
    relevance = draw(generator, *module(x).shape)
    (ours,) = carried(rule_class(module, module.weight, module.bias), relevance, x)
    matrix, bias = dense_matrix(module, x.shape[1:])
    expected = oracle(matrix, bias, x.flatten(), relevance.flatten()).reshape(x.shape)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_timm_s_padding_depends_on_the_input_s_size(generator):
    layers = pytest.importorskip("timm.layers")
    module = layers.Conv2dSame(4, 4, 3, stride=2).double()
    for height, width in itertools.product((6, 7), (6, 7)):
        x = draw(generator, 1, 4, height, width)
        rule = linear.ZPlus(module, module.weight, module.bias)
        torch.testing.assert_close(rule.run(x), module(x))
        relevance = draw(generator, *module(x).shape)
        (ours,) = carried(rule, relevance, x)
        matrix, bias = dense_matrix(module, x.shape[1:])
        expected = oracle_z_plus(matrix, bias, x.flatten(), relevance.flatten()).reshape(x.shape)
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_epsilon_on_a_dense_layer_is_its_equation(generator):
    module = nn.Linear(5, 3).double()
    x, relevance = draw(generator, 1, 5), draw(generator, 1, 3)
    (ours,) = carried(linear.Epsilon(module, module.weight, module.bias), relevance, x)
    torch.testing.assert_close(ours[0], oracle_epsilon(module.weight, module.bias, x[0], relevance[0]))


def test_sum_by_norm_shares_relevance_by_value():
    branch, shortcut = torch.tensor([[3.0]]), torch.tensor([[1.0]])
    parts = carried(NormSum(), torch.tensor([[8.0]]), branch, shortcut, output=branch + shortcut)
    assert [part.item() for part in parts] == pytest.approx([6.0, 2.0], rel=1e-5)


def test_plain_sum_copies_relevance_to_every_summand():
    ones = torch.ones(1, 1)
    parts = carried(Copy(), torch.tensor([[8.0]]), ones, ones, output=ones + ones)
    assert [part.item() for part in parts] == [8.0, 8.0]


def test_plain_sum_of_other_shapes_is_refused():
    with pytest.raises(UnsupportedArchitecture, match="different shapes"):
        Copy().keep((torch.ones(1, 4), torch.ones(1, 1)), torch.ones(1, 4))


def test_gradient_is_the_transposed_jacobian(generator):
    x, relevance = draw(generator, 1, 2, 4, 4).abs() + 0.1, draw(generator, 1, 2, 1, 1)

    def pooled(values):
        return values.pow(3).mean((2, 3), keepdim=True).pow(1 / 3)

    (ours,) = carried(Gradient(pooled), relevance, x)
    jacobian = torch.autograd.functional.jacobian(pooled, x).reshape(2, -1)
    torch.testing.assert_close(ours.flatten(), relevance.flatten() @ jacobian)


def test_norm_shares_by_input_of_an_average():
    x = torch.tensor([[[[1.0, 3.0]]]])
    rule, relevance = Norm(nn.AdaptiveAvgPool2d(1).forward), torch.full((1, 1, 1, 1), 4.0)
    (ours,) = carried(rule, relevance, x)
    assert ours.flatten().tolist() == pytest.approx([1.0, 3.0], rel=1e-5)


@pytest.mark.parametrize("zero", [0.0, -0.0], ids=["zero", "minus zero"])
def test_denominators_move_away_from_zero(zero):
    moved = Stabilizer()(torch.tensor([2.0, -2.0, zero], dtype=torch.float64))
    torch.testing.assert_close(moved, torch.tensor([2.0 + EPSILON, -2.0 - EPSILON, EPSILON], dtype=torch.float64))


def test_seeds_of_several_images_find_their_own_activations(generator):
    module = nn.Conv2d(3, 3, 3, padding=1).double()
    x = draw(generator, 3, 3, 5, 5)
    images = (2, 0, 2, 2)
    relevance = draw(generator, 4, 3, 5, 5)
    for rule in (
        linear.ZPlus(module, module.weight, module.bias),
        linear.Epsilon(module, module.weight, module.bias),
        Gradient(lambda values: values.pow(2)),
        Norm(lambda values: values.cumsum(3)),
    ):
        (together,) = carried(rule, relevance, x, images=images, n_images=3)
        for row, image in enumerate(images):
            (alone,) = carried(rule, relevance[row : row + 1], x[image : image + 1])
            torch.testing.assert_close(together[row], alone[0])


def test_rules_are_linear_in_the_seed(generator):
    module = nn.Conv2d(3, 5, 3, padding=1).double()
    x = draw(generator, 1, 3, 6, 6)
    first, second = draw(generator, 1, 5, 6, 6), draw(generator, 1, 5, 6, 6)
    for name in ("ZPlus", "Epsilon"):
        rule = getattr(linear, name)(module, module.weight, module.bias)
        (mixed,) = carried(rule, 2.0 * first - 3.0 * second, x)
        (one,), (two,) = carried(rule, first, x), carried(rule, second, x)
        torch.testing.assert_close(mixed, 2.0 * one - 3.0 * two)


def test_padding_that_is_not_zero_is_refused():
    module = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")
    with pytest.raises(UnsupportedArchitecture, match="reflect"):
        linear.ZPlus(module, module.weight, module.bias)
