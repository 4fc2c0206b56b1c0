"""Relevance of a part of a map is what the whole map gives there, whatever the step's geometry and the part's place."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pairx_plugin.relevance.arithmetic.patches import Images, Patch
from pairx_plugin.relevance.composites.translation import rule_of_hook
from pairx_plugin.relevance.rules.linear_families import LinearGradient

zennit_rules = pytest.importorskip("zennit.rules")

HOOKS = {
    "epsilon": zennit_rules.Epsilon(),
    "z-plus": zennit_rules.ZPlus(),
    "gamma": zennit_rules.Gamma(),
    "alpha 2 beta 1": zennit_rules.AlphaBeta(),
    "box": zennit_rules.ZBox(-3.0, 3.0),
    "w-square": zennit_rules.WSquare(),
    "flat": zennit_rules.Flat(),
    "gradient": None,
}
MANY = settings(max_examples=25, deadline=None)


@st.composite
def geometries(draw):
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.integers(1, 2))
    return {
        "kernel_size": kernel,
        "stride": draw(st.integers(1, 3)),
        "dilation": dilation,
        "padding": (draw(st.integers(0, kernel[0])), draw(st.integers(0, kernel[1]))),
        "groups": draw(st.sampled_from((1, 2, 4))),
    }


def rule_for(name, module):
    if HOOKS[name] is None:
        return LinearGradient(module, module.weight, module.bias)
    return rule_of_hook(HOOKS[name], module)


@pytest.mark.parametrize("name", HOOKS)
@MANY
@given(geometry=geometries(), size=st.tuples(st.integers(7, 11), st.integers(7, 11)), data=st.data())
def test_part_of_a_map_passes_as_it_does_within_the_whole(name, geometry, size, data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    torch.manual_seed(1)
    modules = [nn.Conv2d(4, 4, 3, padding=1).double(), nn.Conv2d(4, 4, **geometry).double()]
    inputs = [torch.randn(2, 4, *size, generator=generator, dtype=torch.float64)]
    with torch.no_grad():
        for module in modules:
            inputs.append(module(inputs[-1]))
    height, width = inputs[-1].shape[2:]
    cells = [
        (data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))),
        (data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))),
    ]
    images = Images((1, 0), 2)
    values = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    patch = Patch(values[:, :, None, None], images, tuple(cells))
    whole = Patch(patch.whole((height, width)), images)
    with torch.no_grad():
        for module, x, y in zip(modules[::-1], inputs[1::-1], inputs[:0:-1]):  # what one step leaves, the next receives
            rule = rule_for(name, module)
            kept = rule.keep((x,), y)
            (patch,), (whole,) = rule.propagate(patch, kept), rule.propagate(whole, kept)
    assert whole.corners is None
    torch.testing.assert_close(
        patch.whole(size), whole.values, rtol=1e-9, atol=1e-12 * max(1.0, whole.values.abs().max().item())
    )


def test_parts_beyond_the_border_are_taken_away_and_not_only_cut_off():
    module = nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    rule = LinearGradient(module, torch.ones(1, 1, 3, 3).double(), None)
    x = torch.zeros(1, 1, 6, 6).double()
    two = Patch(torch.ones(2, 1, 1, 1).double(), Images((0, 0), 1), ((0, 0), (3, 3)))  # one at a corner, one inside
    (lower,) = rule.propagate(two, rule.keep((x,), x))
    assert lower.values[0, 0].tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    assert lower.values[1, 0].tolist() == [[1, 1, 1]] * 3
