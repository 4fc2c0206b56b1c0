"""z-plus that passes on everything: outputs that no input raised are shared as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..arithmetic.patches import Patch
from .base import Kept, Stabilizer
from .linear import ZPlus

__all__ = ["WholeZPlus"]

_RAISED = 1e-5
"""Share of all contributions' magnitude from which on an output counts as raised. Below it, what raised the output is
a difference of two nearly equal float32 numbers; narrower types draw the line higher."""


class WholeZPlus(ZPlus):
    """z-plus without biases; where every contribution is negative, contributions share by magnitude.

    R_i = sum_j z_ij^+ / (sum_i' z_i'j^+) R_j over outputs j that an input raised, and
    R_i = sum_j |z_ij| / (sum_i' |z_i'j|) R_j over the others, with z_ij = x_i w_ij; where all inputs are zero, so that
    a bias alone made the output, x_i = 1 stands in for them.

    Plain z-plus drops the relevance of the latter two. Depthwise convolutions before activations such as SiLU, which do
    not cut off what is below zero, have many of them. No denominator is near zero, so none is stabilised.

    Args:
        bias: added on the way forward; it takes no share of the relevance.
    """

    keeps_denominators = True

    def __init__(self, module: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__(module, weight, None, Stabilizer(0.0), zero_bias=True)
        self.added = bias

    def run(self, x: torch.Tensor) -> torch.Tensor:
        return self.step.forward(x, self.weight, self.added)

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        # Taken off the output again, a bias far above the weighted inputs would leave nothing but its rounding.
        linear = output if self.added is None else self.step.forward(inputs[0], self.weight, None)
        kept = super().keep(inputs, linear)
        assert kept.output is not None
        magnitude = kept.output.mul(2).sub_(linear)
        fallen = kept.output <= magnitude * max(_RAISED, 16 * torch.finfo(magnitude.dtype).eps)
        if fallen.any():
            kept.output.masked_fill_(fallen, float("inf"))
            kept.cache["fallen"] = _inverse(magnitude, fallen & (magnitude > 0))
            empty = fallen & (magnitude <= 0)
            if empty.any():
                reach = self.step.forward(torch.ones_like(inputs[0][:1]), self.weight.abs(), None)
                kept.cache["empty"] = _inverse(reach, empty & (reach > 0))
        return kept

    def propagate_each(self, arrivals: Sequence[tuple[Patch, Kept]]) -> list[Sequence[Patch | None]]:
        found = super().propagate_each(arrivals)
        if not any("fallen" in kept.cache for _, kept in arrivals):
            return found
        weight = self.weight.abs()
        return [
            (parts[0].plus(self._shared(patch, kept, weight)),) if "fallen" in kept.cache and parts[0] else parts
            for parts, (patch, kept) in zip(found, arrivals)
        ]

    def _shared(self, patch: Patch, kept: Kept, weight: torch.Tensor) -> Patch:
        """Return what the inputs of outputs that nothing raised receive."""
        (x,) = kept.inputs
        upper = patch.put(patch.values * patch.read(kept.cache["fallen"]))
        (values,) = self.step.transposed(upper, weight, x)
        lower = self.step.below(upper, values, x)
        lower = lower.put(lower.values * lower.read(x).abs())
        if "empty" in kept.cache:
            upper = patch.put(patch.values * patch.read(kept.cache["empty"]))
            (values,) = self.step.transposed(upper, weight, x)
            there = self.step.below(upper, values, x)
            lower = lower.plus(there.put(there.values * there.read(torch.ones_like(x[:1]))))
        return lower


def _inverse(denominator: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return 1 / denominator where it is chosen, zero elsewhere."""
    return torch.where(chosen, 1 / denominator, torch.zeros_like(chosen, dtype=denominator.dtype))
