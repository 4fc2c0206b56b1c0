"""Rules of convolutions and dense layers.

Both rules need one number per output, a denominator, which is made during the forward pass, and one or two transposed
maps per seed. With y = W x and a = |W| |x|, what raised y is (y + a) / 2, so that z-plus takes one further convolution
for its denominators. The same trick on the way back, through W and |W| in place of W^+ and W^-, costs three digits by
cancellation (relevance differed by 1e-4 of its maximum on an efficientnetv2_rw_t, against 6e-7), so it is not used.

Sources: Montavon et al. 2017 (z-plus, doi 10.1016/j.patcog.2016.11.008), Bach et al. 2015 (epsilon), and zennit 0.5.1
for the conventions: negative inputs meet negative weights, and a positive bias counts in the denominator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..arithmetic.linear_steps import LinearStep
from ..arithmetic.patches import Patch
from ..arithmetic.scratch import lent
from ..arithmetic.single_pass import by_sign, carry_through_channels, loops_for
from .base import Kept, Rule, Stabilizer

__all__ = ["Epsilon", "LinearRule", "ZPlus"]


class LinearRule(Rule):
    """How relevance passes a step y = W x + b.

    Args:
        module: the convolution or dense layer, for its geometry.
        weight, bias: its parameters, canonised.
        stabilizer: moves denominators away from zero.
        zero_bias: leave the bias out of denominators.
    """

    local = True

    def __init__(
        self,
        module: nn.Module,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stabilizer: Stabilizer = Stabilizer(),
        zero_bias: bool = False,
    ) -> None:
        self.step, self.weight, self.bias = LinearStep(module), weight, bias
        self.stabilizer, self.zero_bias = stabilizer, zero_bias

    @property
    def grows(self) -> bool:
        """Whether relevance spreads to neighbouring places."""
        return self.step.reach != (1, 1)

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """Return the step's output."""
        return self.step.forward(x, self.weight, self.bias)


class ZPlus(LinearRule):
    """Only what raised the output is made responsible, for inputs of either sign.

    R_i = sum_j (x_i^+ w_ij^+ + x_i^- w_ij^-) / (sum_i' (x_i'^+ w_i'j^+ + x_i'^- w_i'j^-) + b_j^+) R_j
    """

    keeps_denominators = False  # one that does other things with them keeps them always

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        (x,) = inputs
        if self._finds_denominators_again(x):
            return Kept(inputs)
        nonnegative = _is_nonnegative(x)
        offset = self.weight.new_full(self.weight.shape[:1], 2 * self.stabilizer.shift)
        if self.bias is not None:  # the output has all of the bias; wanted is its positive part, or none of it
            offset += -self.bias if self.zero_bias else self.bias.abs()
        size = x if nonnegative else torch.abs(x, out=lent("inputs", x.shape, x))
        weight = torch.abs(self.weight, out=lent("weights", self.weight.shape, self.weight))
        raised = self.step.mean_with(output, size, weight, offset)
        return Kept(inputs, self.stabilizer.nonnegative_(raised), {"nonnegative": nonnegative})

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return self.propagate_each([(patch, kept)])[0]

    def propagate_each(self, arrivals: Sequence[tuple[Patch, Kept]]) -> list[Sequence[Patch | None]]:
        found: list[Sequence[Patch | None]] = [()] * len(arrivals)
        for row, (patch, kept) in enumerate(arrivals):
            if kept.output is None:
                found[row] = (self._through_channels(patch, kept.inputs[0]),)
        for nonnegative in (False, True):  # splitting weights by sign costs about a tenth of a pass: once for all
            rows = [row for row, (_, kept) in enumerate(arrivals) if kept.cache.get("nonnegative") is nonnegative]
            if not rows:
                continue
            weights = self.weight.clamp(min=0) if nonnegative else _both_signs(self.weight)
            uppers = [self._shares(*arrivals[row]) for row in rows]
            inputs = [arrivals[row][1].inputs[0] for row in rows]
            for row, upper, x, parts in zip(rows, uppers, inputs, self.step.transposed_each(uppers, weights, inputs)):
                found[row] = (self._lowered(upper, x, parts),)
        return found

    def _finds_denominators_again(self, x: torch.Tensor) -> bool:
        """Return whether denominators are made on the way back: of single channels they cost less than to be kept."""
        plain = self.step.is_depthwise and self.stabilizer.other is None and not self.keeps_denominators
        return plain and loops_for(self.weight, x) is not None

    def _through_channels(self, patch: Patch, x: torch.Tensor) -> Patch:
        """Return the inputs' relevance of a convolution of single channels, of which no denominators are kept."""
        if patch.corners is not None and len(patch.values) > 1:  # parts of several seeds may end up of several sizes
            parts = [self._through_channels(part, x).whole(x.shape[2:]) for part in patch.split(1)]
            return Patch(torch.cat(parts), patch.images)
        raised_by_bias = self.weight.new_full(self.weight.shape[:1], self.stabilizer.shift)
        if self.bias is not None and not self.zero_bias:
            raised_by_bias += self.bias.clamp(min=0)
        lower = self.step.reached(patch, x)
        for values, image, out in zip(patch.values, patch.images.of_seed, lower.values):
            there = x[image], self.step.padding(x)
            carry_through_channels(
                (values, patch.corner), there, (self.weight[:, 0], raised_by_bias), (out, lower.corner)
            )
        return lower

    def _shares(self, patch: Patch, kept: Kept) -> Patch:
        """Return the relevance of each output, divided by what raised it."""
        assert kept.output is not None
        return patch.put(patch.values / patch.read(kept.output, fill=1.0))

    def _lowered(self, upper: Patch, x: torch.Tensor, parts: Sequence[torch.Tensor]) -> Patch:
        """Return the inputs' relevance, of what came down through the positive and through the negative weights."""
        patches = [self.step.below(upper, values, x) for values in parts]
        here = patches[0].read(x)
        if len(patches) == 1:
            return patches[0].put(patches[0].values * here)
        return patches[0].put(by_sign(patches[0].values, patches[1].values, here))


class Epsilon(LinearRule):
    """Every input is responsible for its share of the output: R_i = sum_j x_i w_ij / (y_j + eps sign(y_j)) R_j."""

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        if self.zero_bias and self.bias is not None:
            output = self.step.forward(inputs[0], self.weight, None)
        return Kept(inputs, self.stabilizer(output))

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        (x,) = kept.inputs
        assert kept.output is not None
        upper = patch.put(patch.values / patch.read(kept.output, fill=1.0))
        (values,) = self.step.transposed(upper, self.weight, x)
        lower = self.step.below(upper, values, x)
        return (lower.put(lower.values * lower.read(x)),)


def _both_signs(weight: torch.Tensor) -> torch.Tensor:
    """Return the positive and the negative part of a weight (D, C, ...), joined to (D, 2 C, ...), in lent memory."""
    width = weight.shape[1]
    joined = lent("weights", (len(weight), 2 * width, *weight.shape[2:]), weight)
    torch.clamp(weight, min=0, out=joined[:, :width])
    torch.clamp(weight, max=0, out=joined[:, width:])
    return joined


def _is_nonnegative(x: torch.Tensor) -> bool:
    """Return whether no value is below zero; of most maps a first look at one channel shows that some are."""
    return bool(x[:, 0].amin() >= 0) and bool(x.amin() >= 0)
