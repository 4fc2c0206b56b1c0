"""Further rules of convolutions and dense layers: gamma, alpha-beta, flat, w-square, the box and the plain gradient.

For a step y = W x + b each rule divides the relevance by denominators, which are made during the forward pass, and
takes it down through weights made of W. Write x = x^+ + x^- and W = W^+ + W^-. What raised y is
u = W^+ x^+ + W^- x^- + b^+, what lowered it l = W^- x^+ + W^+ x^- + b^-. With a = |W| |x| + |b|, u = (y + a) / 2 and
l = (y - a) / 2, so that one further convolution gives both. Gamma reads u only where y > 0 and l only where y < 0,
where nothing cancels. Alpha-beta reads both everywhere: so computed, relevance at ``blocks.3`` of a
tf_efficientnetv2_b0 was off by 1.3e-2 of its maximum in float32, against 1.3e-4 with a convolution for each part,
which is what it does.

Rules whose relevance does not vanish with the input (flat, w-square, the gradient) would leave some beyond the border
of the map, where zeros were padded; it is taken away there.

Sources: Bach et al. 2015 (alpha-beta, doi 10.1371/journal.pone.0130140), Montavon et al. 2017 (w-square and box, doi
10.1016/j.patcog.2016.11.008), Montavon et al. 2019 (gamma, doi 10.1007/978-3-030-28954-6_10), Andeol et al. 2021 (gamma
for inputs of both signs, arXiv 2106.04923), Lapuschkin et al. 2019 (flat, doi
10.1038/s41467-019-08987-4); zennit 0.5.1 for the conventions of biases and stabilizers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ..arithmetic.patches import Patch
from .base import Kept, Stabilizer
from .linear import LinearRule

__all__ = ["AlphaBeta", "Flat", "Gamma", "LinearGradient", "WSquare", "ZBox"]

Bound = Callable[[torch.Tensor], torch.Tensor]


class BySign(LinearRule):
    """Relevance in two parts, one for what raised the output and one for what lowered it.

    Both parts pass through the same two weights: `raising` is met by positive inputs in the first part and by negative
    ones in the second, `lowering` the other way round.
    """

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return self.propagate_each([(patch, kept)])[0]

    def propagate_each(self, arrivals: Sequence[tuple[Patch, Kept]]) -> list[Sequence[Patch | None]]:
        made: dict[bool, tuple[torch.Tensor, torch.Tensor]] = {}
        found: list[Sequence[Patch | None]] = []
        for patch, kept in arrivals:
            nonnegative = kept.cache["nonnegative"]
            if nonnegative not in made:
                raising, lowering = self._weights()
                made[nonnegative] = (
                    (raising, lowering)
                    if nonnegative
                    else (torch.cat((raising, lowering), 1), torch.cat((lowering, raising), 1))
                )
            found.append((self._lowered(patch, kept, made[nonnegative]),))
        return found

    def _lowered(self, patch: Patch, kept: Kept, weights: tuple[torch.Tensor, torch.Tensor]) -> Patch:
        (x,) = kept.inputs
        of_raised, of_lowered = (
            self.step.transposed(upper, joined, x) for upper, joined in zip(self._uppers(patch, kept), weights)
        )
        parts = [self.step.below(patch, one + other, x) for one, other in zip(of_raised, of_lowered)]
        here = parts[0].read(x)
        values = parts[0].values if len(parts) == 1 else torch.where(here > 0, parts[0].values, parts[1].values)
        return parts[0].put(values * here)

    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weights called raising and lowering."""
        raise NotImplementedError

    def _uppers(self, patch: Patch, kept: Kept) -> tuple[Patch, Patch]:
        """Return what goes down for what raised the output, and for what lowered it."""
        raise NotImplementedError


class Gamma(BySign):
    """What agrees with the sign of the output counts gamma times more.

    Where y_j > 0: R_i = sum_j (x_i^+ (w_ij + g w_ij^+) + x_i^- (w_ij + g w_ij^-)) / (z_j + g u_j) R_j, where y_j < 0
    the same with w^+ and w^- exchanged and l_j for u_j; z_j is y_j, or y_j - b_j where the bias is left out.

    Args:
        gamma: g, at least 0; further arguments as in :class:`.linear.LinearRule`.
    """

    def __init__(
        self,
        module: nn.Module,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stabilizer: Stabilizer = Stabilizer(),
        zero_bias: bool = False,
        gamma: float = 0.25,
    ) -> None:
        super().__init__(module, weight, bias, stabilizer, zero_bias)
        self.gamma = gamma

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        (x,) = inputs
        nonnegative = bool(x.amin() >= 0)
        raised, lowered = self._raised_and_lowered(x, output, nonnegative)
        total = raised + lowered
        positive, negative = output > 0, output < 0
        denominators = torch.where(
            positive,
            self.stabilizer(torch.add(total, raised, alpha=self.gamma)),
            self.stabilizer(torch.add(total, lowered, alpha=self.gamma)),
        )
        denominators.masked_fill_(~(positive | negative), float("inf"))  # an output of zero has no relevance to share
        return Kept(inputs, denominators, {"nonnegative": nonnegative, "positive": positive})

    def _raised_and_lowered(
        self, x: torch.Tensor, output: torch.Tensor, nonnegative: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return u and l of the module's docstring, u exact where y > 0 and l where y < 0."""
        offset = None
        if self.bias is not None and self.zero_bias:
            output = self.step.forward(x, self.weight, None)
        elif self.bias is not None:
            offset = self.bias.abs()
        moved = self.step.forward(x if nonnegative else x.abs(), self.weight.abs(), offset)
        return (output + moved).mul_(0.5), (output - moved).mul_(0.5)

    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.add(self.weight, self.weight.clamp(min=0), alpha=self.gamma),
            torch.add(self.weight, self.weight.clamp(max=0), alpha=self.gamma),
        )

    def _uppers(self, patch: Patch, kept: Kept) -> tuple[Patch, Patch]:
        assert kept.output is not None
        shares = patch.values / patch.read(kept.output, fill=1.0)
        of_raised = shares * patch.read(kept.cache["positive"])
        return patch.put(of_raised), patch.put(shares - of_raised)


class AlphaBeta(BySign):
    """What raised the output receives alpha times its relevance, what lowered it loses beta times as much.

    R_i = sum_j (alpha (x_i^+ w_ij^+ + x_i^- w_ij^-) / u_j - beta (x_i^+ w_ij^- + x_i^- w_ij^+) / l_j) R_j

    Args:
        alpha, beta: at least 0, alpha - beta = 1; further arguments as in :class:`.linear.LinearRule`.
    """

    def __init__(
        self,
        module: nn.Module,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stabilizer: Stabilizer = Stabilizer(),
        zero_bias: bool = False,
        alpha: float = 2.0,
        beta: float = 1.0,
    ) -> None:
        super().__init__(module, weight, bias, stabilizer, zero_bias)
        self.alpha, self.beta = alpha, beta

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        (x,) = inputs
        nonnegative = bool(x.amin() >= 0)
        weights, bias = self._weights(), None if self.zero_bias else self.bias
        offsets = (None, None) if bias is None else (bias.clamp(min=0), bias.clamp(max=0))
        positive = x if nonnegative else x.clamp(min=0)
        sums = [self.step.forward(positive, weight, offset) for weight, offset in zip(weights, offsets)]
        if not nonnegative:
            negative = x.clamp(max=0)
            for total, weight in zip(sums, weights[::-1]):
                total += self.step.forward(negative, weight, None)
        denominators = tuple(self.stabilizer(total) for total in sums)
        return Kept(inputs, None, {"nonnegative": nonnegative, "denominators": denominators})

    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.weight.clamp(min=0), self.weight.clamp(max=0)

    def _uppers(self, patch: Patch, kept: Kept) -> tuple[Patch, Patch]:
        raised, lowered = (patch.read(values, fill=1.0) for values in kept.cache["denominators"])
        return patch.put(patch.values * self.alpha / raised), patch.put(patch.values * -self.beta / lowered)


class WSquare(LinearRule):
    """Inputs share the relevance by their squared weights, whatever they are: R_i = sum_j w_ij^2 / (v_j + b_j^2) R_j.

    v_j is the sum of w_i'j^2 over the inputs that are on the map: padding takes no share.
    """

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        (x,) = inputs
        bias = None if self.bias is None or self.zero_bias else self.bias.square()
        shares = self.step.forward(x.new_ones((1, *x.shape[1:])), self._weights(), bias)
        denominators = self.stabilizer(shares).expand(len(x), *shares.shape[1:])  # the same for every image
        return Kept((_shape_of(x),), denominators)

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        (x,) = kept.inputs
        assert kept.output is not None
        upper = patch.put(patch.values / patch.read(kept.output, fill=1.0))
        (values,) = self.step.transposed(upper, self._weights(), x)
        return (_on_map(self.step.below(upper, values, x), x),)

    def _weights(self) -> torch.Tensor:
        return self.weight.square()


class Flat(WSquare):
    """Inputs share the relevance evenly: w-square with all weights one and no bias."""

    def __init__(
        self,
        module: nn.Module,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stabilizer: Stabilizer = Stabilizer(),
        zero_bias: bool = True,
    ) -> None:
        super().__init__(module, weight, bias, stabilizer, True)

    def _weights(self) -> torch.Tensor:
        return torch.ones_like(self.weight)


class ZBox(LinearRule):
    """Inputs within a box share the relevance by their way from its walls.

    R_i = sum_j (x_i w_ij - low_i w_ij^+ - high_i w_ij^-) / d_j R_j, with d_j the sum of the numerators. Biases fall out
    of d_j: what W x has of them, the walls have too. Padding takes no share.

    Args:
        low, high: from an input (B, ...) to the box's walls, of the same shape; further arguments as in
            :class:`.linear.LinearRule`.
    """

    def __init__(
        self,
        module: nn.Module,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stabilizer: Stabilizer = Stabilizer(),
        zero_bias: bool = False,
        *,
        low: Bound,
        high: Bound,
    ) -> None:
        super().__init__(module, weight, bias, stabilizer, zero_bias)
        self.low, self.high = low, high

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        (x,) = inputs
        above, below = x - self.low(x), x - self.high(x)
        denominators = self.step.forward(above, self.weight.clamp(min=0), None)
        denominators += self.step.forward(below, self.weight.clamp(max=0), None)
        return Kept((above, below), self.stabilizer(denominators))

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        assert kept.output is not None
        x = kept.inputs[0]
        upper = patch.put(patch.values / patch.read(kept.output, fill=1.0))
        weights = torch.cat((self.weight.clamp(min=0), self.weight.clamp(max=0)), 1)
        parts = [self.step.below(upper, values, x) for values in self.step.transposed(upper, weights, x)]
        ways = [part.values * part.read(way) for part, way in zip(parts, kept.inputs)]
        return (parts[0].put(ways[0].add_(ways[1])),)


class LinearGradient(LinearRule):
    """Relevance passes as a gradient does: R_i = sum_j w_ij R_j."""

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        return Kept((_shape_of(inputs[0]),))

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        (x,) = kept.inputs
        (values,) = self.step.transposed(patch, self.weight, x)
        return (_on_map(self.step.below(patch, values, x), x),)


def _shape_of(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor of the shape, type and place of `x` that takes no memory."""
    return x.new_zeros(()).expand(x.shape)


def _on_map(patch: Patch, x: torch.Tensor) -> Patch:
    """Return the patch with zeros beyond the border of the map x; its values, which nobody else has, are changed."""
    if patch.corners is None:
        return patch
    for values, corner in zip(patch.values, patch.corners):
        for axis in (1, 2):
            before = max(0, -corner[axis - 1])
            inside = min(values.shape[axis], int(x.shape[axis + 1]) - corner[axis - 1]) - before
            values.narrow(axis, 0, min(before, values.shape[axis])).zero_()
            rest = min(values.shape[axis], before + max(0, inside))
            values.narrow(axis, rest, values.shape[axis] - rest).zero_()
    return patch
