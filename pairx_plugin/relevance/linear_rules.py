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

from .linear_steps import LinearStep
from .patches import Patch
from .rules import Kept, Rule, Stabilizer

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

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        (x,) = inputs
        nonnegative = _is_nonnegative(x)
        offset = None
        if self.bias is not None:  # the output has all of the bias; wanted is its positive part, or none of it
            offset = (-self.bias if self.zero_bias else self.bias.abs()) / 2
        raised = self.step.forward(x if nonnegative else x.abs(), self.weight.abs().div_(2), offset)
        raised.add_(output, alpha=0.5)
        return Kept(inputs, self.stabilizer.nonnegative_(raised), {"nonnegative": nonnegative})

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return self.propagate_each([(patch, kept)])[0]

    def propagate_each(self, arrivals: Sequence[tuple[Patch, Kept]]) -> list[Sequence[Patch | None]]:
        weights: dict[bool, torch.Tensor] = {}  # splitting them by sign costs about a tenth of a pass
        found: list[Sequence[Patch | None]] = []
        for patch, kept in arrivals:
            nonnegative = kept.cache["nonnegative"]
            if nonnegative not in weights:
                weights[nonnegative] = self.weight.clamp(min=0) if nonnegative else _both_signs(self.weight)
            found.append((self._lowered(patch, kept, weights[nonnegative]),))
        return found

    def _lowered(self, patch: Patch, kept: Kept, weights: torch.Tensor) -> Patch:
        (x,) = kept.inputs
        assert kept.output is not None
        upper = patch.put(patch.values / patch.read(kept.output, fill=1.0))
        parts = [self.step.below(upper, values, x) for values in self.step.transposed(upper, weights, x)]
        here = parts[0].read(x)
        if len(parts) == 1:
            return parts[0].put(parts[0].values * here)
        raised = parts[0].values.mul_(here.clamp(min=0))  # nobody else has them
        return parts[0].put(raised.addcmul_(parts[1].values, here.clamp(max=0)))


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
    """Return the positive and the negative part of a weight (D, C, ...), joined to (D, 2 C, ...)."""
    width = weight.shape[1]
    joined = weight.new_empty((len(weight), 2 * width, *weight.shape[2:]))
    torch.clamp(weight, min=0, out=joined[:, :width])
    torch.clamp(weight, max=0, out=joined[:, width:])
    return joined


def _is_nonnegative(x: torch.Tensor) -> bool:
    """Return whether no value is below zero; of most maps a first look at one row of pixels shows that some are."""
    return bool(x[..., 0].amin() >= 0) and bool(x.amin() >= 0)
