"""Geometry of convolutions and dense layers: forward with other weights, and back, for whole maps and for parts."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from ..errors import UnsupportedArchitecture
from .patches import Patch

__all__ = ["LinearStep"]

Sides = tuple[int, int, int, int]


class LinearStep:
    """A step y = W x + b without its weights: what it computes with any, and its transposed map.

    Args:
        module: the convolution or dense layer.

    Attributes:
        reach: how many rows and columns a part of the map grows by in one step; (1, 1) for pointwise steps.

    Raises:
        UnsupportedArchitecture: a convolution whose padding is not zeros.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.reach = (1, 1)
        if isinstance(module, nn.Conv2d):
            if module.padding_mode != "zeros":
                raise UnsupportedArchitecture(
                    f"a convolution with padding mode '{module.padding_mode}' is not supported; 'zeros' is"
                )
            kernel, dilation = module.kernel_size, module.dilation
            self.reach = (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1

    def forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Return the step's output for these weights: x (B, C, H, W) or (B, ..., C)."""
        module = self.module
        if not isinstance(module, nn.Conv2d):
            return F.linear(x, weight, bias)
        left, right, top, bottom = self._padding(x.shape)
        if (left, top) != (right, bottom):
            x, left, top = F.pad(x, (left, right, top, bottom)), 0, 0
        return F.conv2d(x, weight, bias, module.stride, (top, left), module.dilation, module.groups)

    def below(self, upper: Patch, values: torch.Tensor, x: torch.Tensor) -> Patch:
        """Return `values`, which :meth:`transposed` made of `upper`, at their place on the input x."""
        module = self.module
        if not isinstance(module, nn.Conv2d) or upper.corners is None:
            return Patch(values, upper.images)
        left, _, top, _ = self._padding(x.shape)
        down, across = module.stride
        corners = tuple((row * down - top, col * across - left) for row, col in upper.corners)
        return Patch(values, upper.images, corners).trimmed((int(x.shape[2]), int(x.shape[3])))

    def transposed(self, upper: Patch, weights: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        """Return W^T upper for each of n weights, (K, C, h, w) or (K, ..., C).

        Parts grow by the reach; whole maps have the size of the input x. Where the geometry allows it, a transposed
        convolution runs as a forward one with turned weights, which processors are better at, and all weights in one
        call: more output channels fill the processor better.

        Args:
            upper: what comes down.
            weights: n weights of the step, joined along their second dimension.
            x: the step's input, for its size.
        """
        module = self.module
        if not isinstance(module, nn.Conv2d):
            return list((upper.values @ weights).split(x.shape[-1], dim=-1))
        padding = self._turned_padding(upper, x)
        if padding is None or module.groups > 1:
            parts = weights.split(x.shape[1] // module.groups, dim=1)
            if padding is None:
                return [self._transposed(upper, part, x) for part in parts]
            return [
                F.conv2d(upper.values, part.flip(2, 3), None, 1, padding, module.dilation, module.groups)
                for part in parts
            ]
        if self.reach == (1, 1):
            found = torch.matmul(weights.flatten(1).t(), upper.values.flatten(2)).unflatten(2, upper.values.shape[2:])
        else:
            turned = weights.flip(2, 3).transpose(0, 1).contiguous()
            found = F.conv2d(upper.values, turned, None, 1, padding, module.dilation)
        return list(found.split(x.shape[1], dim=1))

    def _turned_padding(self, upper: Patch, x: torch.Tensor) -> tuple[int, int] | None:
        """Return the padding with which a forward convolution computes the transposed one; None where none does."""
        module = self.module
        assert isinstance(module, nn.Conv2d)
        depthwise = module.groups == module.in_channels == module.out_channels
        if module.stride != (1, 1) or not (module.groups == 1 or depthwise):
            return None
        left, right, top, bottom = self._padding(x.shape) if upper.corners is None else (0, 0, 0, 0)
        padding = self.reach[0] - 1 - top, self.reach[1] - 1 - left
        return padding if (left, top) == (right, bottom) and min(padding) >= 0 else None

    def _transposed(self, upper: Patch, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        module = self.module
        assert isinstance(module, nn.Conv2d)
        count, channels, height, width = len(upper.values), x.shape[1], int(x.shape[2]), int(x.shape[3])
        left = right = top = bottom = 0
        if upper.corners is None:
            left, right, top, bottom = self._padding(x.shape)
            size = height + top + bottom, width + left + right
        else:
            rows, cols = upper.values.shape[2:]
            size = (rows - 1) * module.stride[0] + self.reach[0], (cols - 1) * module.stride[1] + self.reach[1]
        if upper.corners is None and (left, top) == (right, bottom):
            whole = (count, channels, height, width)
            return conv2d_input(
                whole, weight, upper.values, module.stride, (top, left), module.dilation, module.groups
            )
        lower = conv2d_input(
            (count, channels, *size), weight, upper.values, module.stride, 0, module.dilation, module.groups
        )
        if upper.corners is not None:
            return lower
        return lower[:, :, top : top + height, left : left + width].contiguous()

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
