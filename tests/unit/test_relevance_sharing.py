"""Rules that pass on everything, each against a slow oracle written from its equation, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pairx_plugin.errors import UnsupportedArchitecture
from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.rules.conserving_linear import WholeZPlus
from pairx_plugin.relevance.rules.sharing import PassTo, SharedMean, SharedProduct, SharedSum


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(9)


def draw(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def carried(rule, relevance, *inputs, output, images=(0,), n_images=1):
    with torch.no_grad():
        patches = rule.propagate(Patch(relevance, Images(tuple(images), n_images)), rule.keep(inputs, output))
    return [None if patch is None else patch.values for patch in patches]


def test_terms_share_a_sum_in_proportion():
    branch, shortcut = torch.tensor([[3.0, -6.0]]), torch.tensor([[1.0, -2.0]])
    parts = carried(SharedSum((1, 1)), torch.tensor([[8.0, 4.0]]), branch, shortcut, output=branch + shortcut)
    assert [part.tolist()[0] for part in parts] == [[6.0, 3.0], [2.0, 1.0]]


def test_a_term_that_opposes_the_sum_takes_nothing_of_it():
    branch, shortcut = torch.tensor([[3.0, 1.0]]), torch.tensor([[-2.999, -3.0]])
    parts = carried(SharedSum((1, 1)), torch.tensor([[8.0, 8.0]]), branch, shortcut, output=branch + shortcut)
    assert [part.tolist()[0] for part in parts] == [[8.0, 0.0], [0.0, 8.0]]


def test_what_is_subtracted_counts_with_its_sign():
    first, second = torch.tensor([[5.0, 3.0]]), torch.tensor([[1.0, -1.0]])
    parts = carried(SharedSum((1, -1)), torch.tensor([[8.0, 8.0]]), first, second, output=first - second)
    assert [part.tolist()[0] for part in parts] == [[8.0, 6.0], [0.0, 2.0]]


def test_a_constant_term_keeps_its_share():
    tokens, places = torch.tensor([[3.0]]), torch.tensor([1.0])
    rule = SharedSum((1, 1), (True, False))
    parts = carried(rule, torch.tensor([[8.0]]), tokens, places, output=tokens + places)
    assert parts[0].item() == 6.0 and parts[1] is None


def test_sum_that_spreads_a_term_is_refused():
    with pytest.raises(UnsupportedArchitecture, match="different shapes"):
        SharedSum((1, 1)).keep((torch.ones(1, 4), torch.ones(1, 1)), torch.ones(1, 4))


def test_a_gate_takes_nothing_and_its_signal_all():
    gate, signal = torch.rand(1, 2, 1, 1), torch.rand(1, 2, 3, 3)
    relevance = torch.rand(1, 2, 3, 3)
    parts = carried(SharedProduct(), relevance, gate, signal, output=gate * signal)
    assert parts[0] is None and torch.equal(parts[1], relevance)


def test_two_signals_of_a_product_take_half_each():
    first, second = torch.rand(1, 2, 3, 3), torch.rand(1, 2, 3, 3)
    parts = carried(SharedProduct(), torch.ones(1, 2, 3, 3), first, second, output=first * second)
    assert all(torch.equal(part, torch.full((1, 2, 3, 3), 0.5)) for part in parts)


def test_a_scaled_signal_keeps_its_relevance():
    relevance = torch.rand(1, 4)
    parts = carried(PassTo(1, 2), relevance, torch.rand(4), torch.rand(1, 4), output=torch.rand(1, 4))
    assert parts[0] is None and torch.equal(parts[1], relevance)
    with pytest.raises(UnsupportedArchitecture, match="no scaling"):
        PassTo().keep((torch.rand(1, 4),), torch.rand(1, 2))


def test_values_with_the_mean_s_sign_share_it():
    x = torch.tensor([[[[1.0, 3.0, -2.0]]], [[[1.0, -3.0, -1.0]]]])
    rule = SharedMean(lambda values: values.mean((2, 3)))
    relevance = torch.tensor([[4.0], [8.0]])
    (found,) = carried(rule, relevance, x, output=x.mean((2, 3)), images=(0, 1), n_images=2)
    assert found.flatten().tolist() == pytest.approx([1.0, 3.0, 0.0, 0.0, 6.0, 2.0])


def test_mean_of_values_that_cancel_stays_bounded(generator):
    x = draw(generator, 1, 3, 4, 4)
    x = x - x.mean((2, 3), keepdim=True) + 1e-9
    rule, relevance = SharedMean(nn.AdaptiveAvgPool2d(1).forward), draw(generator, 1, 3, 1, 1)
    (found,) = carried(rule, relevance, x, output=x.mean((2, 3), keepdim=True))
    torch.testing.assert_close(found.sum((2, 3), keepdim=True), relevance)
    torch.testing.assert_close(found.abs().sum((2, 3), keepdim=True), relevance.abs())


def test_generalised_mean_shares_by_power(generator):
    """Clamp, power, mean, root: relevance passes the powers and is shared by what the mean is made of."""
    x = draw(generator, 1, 2, 3, 3).abs()
    relevance = draw(generator, 1, 2, 1, 1)
    cubes = x.pow(3)
    (found,) = carried(SharedMean(nn.AdaptiveAvgPool2d(1).forward), relevance, cubes, output=cubes.mean((2, 3), True))
    torch.testing.assert_close(found, relevance * cubes / cubes.sum((2, 3), keepdim=True))


@torch.no_grad()
def oracle_whole_z_plus(weight, x, relevance):
    """One output at a time, from the equation; weight (D, n), x (n,), relevance (D,)."""
    lower = torch.zeros_like(x)
    for j in range(len(weight)):
        z = x * weight[j]
        parts = z.clamp(min=0) if z.clamp(min=0).sum() > 1e-5 * z.abs().sum() else z.abs()
        if parts.sum() > 0:
            lower += parts / parts.sum() * relevance[j]
    return lower


@pytest.mark.parametrize("groups", [1, 4], ids=["dense", "depthwise"])
@pytest.mark.parametrize("nonnegative", [True, False], ids=["inputs >= 0", "inputs of both signs"])
def test_whole_z_plus_is_its_equation(groups, nonnegative, generator):
    torch.manual_seed(5)
    module = nn.Conv2d(4, 4, 3, padding=1, groups=groups).double()
    with torch.no_grad():
        module.weight[1].copy_(-module.weight[1].abs())  # with inputs >= 0 nothing raises this output
    x = draw(generator, 1, 4, 5, 6)
    x = x.abs() if nonnegative else x
    relevance = draw(generator, 1, 4, 5, 6)
    rule = WholeZPlus(module, module.weight, module.bias)
    (found,) = carried(rule, relevance, x, output=rule.run(x))
    basis = torch.eye(x.numel(), dtype=torch.float64).reshape(-1, *x.shape[1:])
    with torch.no_grad():
        matrix = nn.functional.conv2d(basis, module.weight, None, padding=1, groups=groups).flatten(1).T
    expected = oracle_whole_z_plus(matrix, x.flatten(), relevance.flatten()).reshape(x.shape)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(found.sum(), relevance.sum(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rule.run(x), module(x))


def test_bias_far_above_the_inputs_leaves_shares_as_they_are(generator):
    torch.manual_seed(6)
    module = nn.Conv2d(3, 5, 3, padding=1)
    x = draw(generator, 1, 3, 6, 6).float()
    relevance = draw(generator, 1, 5, 6, 6).float()
    found = []
    for bias in (torch.zeros(5), torch.full((5,), 1e6)):
        rule = WholeZPlus(module, module.weight, bias)
        (lower,) = carried(rule, relevance, x, output=rule.run(x))
        found.append(lower)
    torch.testing.assert_close(found[1], found[0])


def test_parts_of_maps_get_what_whole_maps_get(generator):
    torch.manual_seed(7)
    module = nn.Conv2d(4, 4, 3, padding=1, groups=4).double()
    with torch.no_grad():
        module.weight.copy_(-module.weight.abs())
    x = draw(generator, 1, 4, 6, 6).abs()
    rule = WholeZPlus(module, module.weight, module.bias)
    with torch.no_grad():
        kept = rule.keep((x,), rule.run(x))
    values = draw(generator, 1, 4, 1, 1)
    part = Patch(values, Images((0,), 1), ((2, 5),))
    whole = Patch(part.whole((6, 6)), part.images)
    with torch.no_grad():
        (from_part,), (from_whole,) = rule.propagate(part, kept), rule.propagate(whole, kept)
    torch.testing.assert_close(from_part.whole((6, 6)), from_whole.values)
    torch.testing.assert_close(from_whole.values.sum(), values.sum())
