"""Rules of convolutions and dense layers, for whole maps and for parts of them.

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
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from ..errors import UnsupportedArchitecture
from .patches import Patch
from .rules import Kept, Rule, Stabilizer, stabilized

__all__ = ["Epsilon", "LinearRule", "ZPlus"]

Sides = tuple[int, int, int, int]


class LinearRule(Rule):
    """A step y = W x + b and its transposed map.

    Args:
        module: the convolution or dense layer, for its geometry.
        weight, bias: its parameters, canonised.
        stabilizer: moves denominators away from zero.
        zero_bias: leave the bias out of denominators.

    Attributes:
        reach: how many rows and columns a part of the map grows by in one step; (1, 1) for pointwise steps.
    """

    local = True

    def __init__(
        self,
        module: nn.Module,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stabilizer: Stabilizer = stabilized,
        zero_bias: bool = False,
    ) -> None:
        self.module, self.weight, self.bias = module, weight, bias
        self.stabilizer, self.zero_bias = stabilizer, zero_bias
        self.reach = (1, 1)
        if isinstance(module, nn.Conv2d):
            if module.padding_mode != "zeros":
                raise UnsupportedArchitecture(
                    f"a convolution with padding mode '{module.padding_mode}' is not supported; 'zeros' is"
                )
            kernel, dilation = module.kernel_size, module.dilation
            self.reach = (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1

    def forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Return the step's output for other weights: x (B, C, H, W) or (B, ..., C)."""
        module = self.module
        if not isinstance(module, nn.Conv2d):
            return F.linear(x, weight, bias)
        left, right, top, bottom = self._padding(x.shape)
        if (left, top) != (right, bottom):
            x, left, top = F.pad(x, (left, right, top, bottom)), 0, 0
        return F.conv2d(x, weight, bias, module.stride, (top, left), module.dilation, module.groups)

    def below(self, upper: Patch, x: torch.Tensor) -> Patch:
        """Return where on the input `upper` leads, without values yet."""
        module = self.module
        if not isinstance(module, nn.Conv2d) or upper.corners is None:
            return Patch(upper.values.new_empty((0,)), upper.images)
        left, _, top, _ = self._padding(x.shape)
        (down, across), (height, width) = module.stride, upper.values.shape[2:]
        size = (height - 1) * down + self.reach[0], (width - 1) * across + self.reach[1]
        corners = tuple((row * down - top, col * across - left) for row, col in upper.corners)
        return Patch(upper.values.new_empty((len(upper.values), 0, *size)), upper.images, corners)

    def transposed(self, upper: Patch, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return W^T upper, of the shape of :meth:`below`."""
        module = self.module
        if not isinstance(module, nn.Conv2d):
            return upper.values @ weight
        count, stride, dilation = len(upper.values), module.stride, module.dilation
        if upper.corners is not None:
            size = self.below(upper, x).values.shape[2:]
            return conv2d_input(
                (count, x.shape[1], *size), weight, upper.values, stride, 0, dilation, module.groups
            )
        left, right, top, bottom = self._padding(x.shape)
        if (left, top) == (right, bottom):
            return conv2d_input(
                (count, *x.shape[1:]), weight, upper.values, stride, (top, left), dilation, module.groups
            )
        padded = (count, x.shape[1], x.shape[2] + top + bottom, x.shape[3] + left + right)
        lower = conv2d_input(padded, weight, upper.values, stride, 0, dilation, module.groups)
        return lower[:, :, top : top + x.shape[2], left : left + x.shape[3]].contiguous()

    def _padding(self, shape: torch.Size) -> Sides:
        """Return (left, right, top, bottom); TensorFlow-style 'same' padding depends on the input's size."""
        module = self.module
        assert isinstance(module, nn.Conv2d)
        if type(module).__name__ == "Conv2dSame" or module.padding == "same":
            sides: list[int] = []
            for size, reach, stride in zip(shape[:1:-1], self.reach[::-1], module.stride[::-1]):
                total = max((-(-size // stride) - 1) * stride + reach - size, 0)
                sides += [total // 2, total - total // 2]
            return sides[0], sides[1], sides[2], sides[3]
        if isinstance(module.padding, str):  # "valid"
            return 0, 0, 0, 0
        vertical, horizontal = module.padding
        return int(horizontal), int(horizontal), int(vertical), int(vertical)


class ZPlus(LinearRule):
    """Only what raised the output is made responsible, for inputs of either sign.

    R_i = sum_j (x_i^+ w_ij^+ + x_i^- w_ij^-) / (sum_i' (x_i'^+ w_i'j^+ + x_i'^- w_i'j^-) + b_j^+) R_j
    """

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        (x,) = inputs
        raised = self.forward(x.abs(), self.weight.abs(), None).add_(output)
        if self.bias is not None:
            raised.sub_(self._per_output(self.bias))
        raised.mul_(0.5)
        if self.bias is not None and not self.zero_bias:
            raised.add_(self._per_output(self.bias.clamp(min=0)))
        return Kept(inputs, self.stabilizer(raised), {"nonnegative": bool((x >= 0).all())})

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        (x,) = kept.inputs
        assert kept.output is not None
        upper = patch.put(patch.values / patch.read(kept.output, fill=1.0))
        lower = self.below(upper, x)
        here = lower.read(x)
        values = self.transposed(upper, self.weight.clamp(min=0), x)
        if not kept.cache["nonnegative"]:
            values = torch.where(here > 0, values, self.transposed(upper, self.weight.clamp(max=0), x))
        return (lower.put(values.mul_(here)).trimmed(_size(x)),)

    def _per_output(self, bias: torch.Tensor) -> torch.Tensor:
        return bias.reshape(-1, 1, 1) if isinstance(self.module, nn.Conv2d) else bias


class Epsilon(LinearRule):
    """Every input is responsible for its share of the output: R_i = sum_j x_i w_ij / (y_j + eps sign(y_j)) R_j."""

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        if self.zero_bias and self.bias is not None:
            output = self.forward(inputs[0], self.weight, None)
        return Kept(inputs, self.stabilizer(output))

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        (x,) = kept.inputs
        assert kept.output is not None
        upper = patch.put(patch.values / patch.read(kept.output, fill=1.0))
        lower = self.below(upper, x)
        return (lower.put(self.transposed(upper, self.weight, x) * lower.read(x)).trimmed(_size(x)),)


def _size(x: torch.Tensor) -> tuple[int, int]:
    return (int(x.shape[2]), int(x.shape[3])) if x.ndim == 4 else (0, 0)
