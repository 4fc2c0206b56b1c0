"""Rules of linear steps against slow oracles written from their papers' equations, in float64: loops over outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.rules.linear_families import AlphaBeta, Flat, Gamma, LinearGradient, WSquare, ZBox

EPSILON = 1e-6
CONVOLUTIONS = {
    "plain": dict(kernel_size=3, padding=1),
    "strided": dict(kernel_size=3, stride=2, padding=1),
    "no bias": dict(kernel_size=3, bias=False),
    "depthwise": dict(kernel_size=3, groups=4, padding=1),
    "dilated": dict(kernel_size=3, dilation=2, padding=2),
    "wide padding": dict(kernel_size=3, padding=4, stride=2),
}


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(7)


def draw(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def carried(rule, relevance, x):
    with torch.no_grad():
        kept = rule.keep((x,), rule.run(x))
        (found,) = rule.propagate(Patch(relevance, Images((0,), 1)), kept)
    return found.values


@torch.no_grad()
def dense_matrix(module, shape):
    """Return the linear part of `module` as a matrix (outputs, inputs), and its bias by output."""
    size = shape.numel()
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    zero = module(torch.zeros(1, *shape, dtype=torch.float64))
    return (module(basis) - zero).reshape(size, -1).T, zero.flatten()


def away(value):
    return value + (EPSILON if value >= 0 else -EPSILON)


def oracle_gamma(weights, bias, x, gamma):
    """Montavon et al. 2019, section 10.2.3, by the sign of the output as Andeol et al. 2021 have it."""
    output = float((weights * x).sum() + bias)
    favoured = (lambda part: part.clamp(min=0)) if output > 0 else (lambda part: part.clamp(max=0))
    parts = weights * x + gamma * favoured(weights * x)
    return parts / away(parts.sum() + bias + gamma * favoured(bias)) if output != 0 else torch.zeros_like(x)


def oracle_alpha_beta(weights, bias, x, alpha, beta):
    """Bach et al. 2015, equation 60, with the bias among the contributions."""
    parts = weights * x
    raising, lowering = parts.clamp(min=0), parts.clamp(max=0)
    share = alpha * raising / away(raising.sum() + bias.clamp(min=0))
    return share - beta * lowering / away(lowering.sum() + bias.clamp(max=0))


def oracle_box(weights, bias, x, low, high):
    """Montavon et al. 2017, equation of the z-B rule."""
    parts = x * weights - low * weights.clamp(min=0) - high * weights.clamp(max=0)
    return parts / away(parts.sum())


def oracle_w_square(weights, bias, x):
    """Montavon et al. 2017, equation of the w-square rule, with the bias among the weights."""
    return weights**2 / away((weights**2).sum() + bias**2)


def oracle_flat(weights, bias, x):
    """Lapuschkin et al. 2019: as if all weights were one; those that there are not stay zero."""
    there = (weights != 0).double()
    return there / away(there.sum())


def oracle_gradient(weights, bias, x):
    return weights


LOW, HIGH = -4.0, 5.0
RULES = {
    "gamma": (lambda *args: Gamma(*args, gamma=0.4), lambda *args: oracle_gamma(*args, 0.4)),
    "alpha 2 beta 1": (AlphaBeta, lambda *args: oracle_alpha_beta(*args, 2.0, 1.0)),
    "alpha 3 beta 2": (
        lambda *args: AlphaBeta(*args, alpha=3.0, beta=2.0),
        lambda *args: oracle_alpha_beta(*args, 3.0, 2.0),
    ),
    "box": (
        lambda *args: ZBox(*args, low=lambda x: torch.full_like(x, LOW), high=lambda x: torch.full_like(x, HIGH)),
        lambda *args: oracle_box(*args, LOW, HIGH),
    ),
    "w-square": (WSquare, oracle_w_square),
    "flat": (Flat, oracle_flat),
    "gradient": (LinearGradient, oracle_gradient),
}


def expected_of(oracle, module, x, relevance):
    matrix, bias = dense_matrix(module, x.shape[1:])
    lower = torch.zeros_like(x).flatten()
    for weights, offset, share in zip(matrix, bias, relevance.flatten()):
        lower += oracle(weights, offset, x.flatten()) * share
    return lower.reshape(x.shape)


@pytest.mark.parametrize("nonnegative", [True, False], ids=["inputs >= 0", "inputs of both signs"])
@pytest.mark.parametrize("geometry", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("make, oracle", RULES.values(), ids=RULES)
def test_rule_on_a_convolution_is_its_equation(make, oracle, geometry, nonnegative, generator):
    torch.manual_seed(3)
    module = nn.Conv2d(4, 4, **geometry).double()
    x = draw(generator, 1, 4, 6, 5)
    x = x.abs() if nonnegative else x
    relevance = draw(generator, *module(x).shape)
    ours = carried(make(module, module.weight, module.bias), relevance, x)
    torch.testing.assert_close(ours, expected_of(oracle, module, x, relevance), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("make, oracle", RULES.values(), ids=RULES)
def test_rule_on_a_dense_layer_is_its_equation(make, oracle, generator):
    torch.manual_seed(4)
    module = nn.Linear(6, 5).double()
    x, relevance = draw(generator, 1, 6), draw(generator, 1, 5)
    ours = carried(make(module, module.weight, module.bias), relevance, x)
    torch.testing.assert_close(ours, expected_of(oracle, module, x, relevance), rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", ["gamma", "alpha 2 beta 1", "w-square"])
def test_bias_that_is_left_out_takes_no_share(name, generator):
    make, oracle = RULES[name]
    torch.manual_seed(5)
    module, bare = nn.Linear(6, 5).double(), nn.Linear(6, 5, bias=False).double()
    bare.weight = module.weight
    x, relevance = draw(generator, 1, 6), draw(generator, 1, 5)
    signed = torch.sign(module(x)) == torch.sign(bare(x))  # gamma looks at the sign of the whole output
    relevance = relevance * signed
    rule = type(make(module, module.weight, None))(module, module.weight, module.bias, zero_bias=True)
    if name == "gamma":
        rule.gamma = 0.4
    torch.testing.assert_close(
        carried(rule, relevance, x), expected_of(oracle, bare, x, relevance), rtol=1e-8, atol=1e-11
    )


@pytest.mark.parametrize("name", ["box", "flat", "w-square", "alpha 2 beta 1"])
def test_relevance_is_conserved_where_there_is_no_bias(name, generator):
    make, _ = RULES[name]
    module = nn.Conv2d(4, 4, 3, padding=1, bias=False).double()
    x, relevance = draw(generator, 1, 4, 6, 5), draw(generator, 1, 4, 6, 5).abs()
    total = carried(make(module, module.weight, None), relevance, x).sum()
    torch.testing.assert_close(total, relevance.sum(), rtol=1e-4, atol=0.0)


def test_output_of_zero_passes_nothing_by_gamma():
    module = nn.Linear(2, 1, bias=False).double()
    weight = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    lower = carried(Gamma(module, weight, None), torch.ones(1, 1).double(), torch.ones(1, 2).double())
    assert lower.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("make", [rule for rule, _ in RULES.values()], ids=RULES)
def test_rules_are_linear_in_the_seed(make, generator):
    module = nn.Conv2d(3, 5, 3, padding=1).double()
    x = draw(generator, 1, 3, 6, 6)
    first, second = draw(generator, 1, 5, 6, 6), draw(generator, 1, 5, 6, 6)
    rule = make(module, module.weight, module.bias)
    mixed, one, two = (carried(rule, seed, x) for seed in (2.0 * first - 3.0 * second, first, second))
    torch.testing.assert_close(mixed, 2.0 * one - 3.0 * two)


@pytest.mark.parametrize("make", [rule for rule, _ in RULES.values()], ids=RULES)
def test_seeds_of_several_images_find_their_own_activations(make, generator):
    module = nn.Conv2d(3, 3, 3, padding=1).double()
    x, images = draw(generator, 3, 3, 5, 5), (2, 0, 2, 2)
    x[0] = x[0].abs()
    relevance = draw(generator, 4, 3, 5, 5)
    rule = make(module, module.weight, module.bias)
    with torch.no_grad():
        kept = rule.keep((x,), module(x))
        (together,) = rule.propagate(Patch(relevance, Images(images, 3)), kept)
    for row, image in enumerate(images):
        alone = carried(rule, relevance[row : row + 1], x[image : image + 1])
        torch.testing.assert_close(together.values[row], alone[0])


def test_arrivals_that_pass_together_get_what_each_gets_alone(generator):
    module = nn.Conv2d(3, 3, 3, padding=1).double()
    for make in (Gamma, AlphaBeta):
        rule = make(module, module.weight, module.bias)
        arrivals, alone = [], []
        for x in (draw(generator, 1, 3, 5, 5), draw(generator, 1, 3, 5, 5).abs()):
            patch = Patch(draw(generator, 1, 3, 5, 5), Images((0,), 1))
            arrivals.append((patch, rule.keep((x,), module(x).detach())))
            alone.append(carried(rule, patch.values, x))
        with torch.no_grad():
            together = rule.propagate_each(arrivals)
        for (found,), expected in zip(together, alone):
            assert torch.equal(found.values, expected)
