"""Geometry of convolutions and dense layers: forward with other weights, and back, for whole maps and for parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ...errors import UnsupportedArchitecture
from . import products
from .patches import Patch
from .scratch import lent
from .winograd import Convolution

__all__ = ["LinearStep"]

_PRODUCT_UP_TO = 1024
"""Places of a map up to which a pointwise convolution is quicker as a matrix product (by a quarter at 14 x 14)."""

_TOGETHER_UP_TO = 1024
"""Places of all maps together up to which a pointwise step takes them down in one product."""

Sides = tuple[int, int, int, int]


class LinearStep:
    """A step y = W x + b without its weights: what it computes with any, and its transposed map.

    Args:
        module: the convolution or dense layer.

    Attributes:
        reach: how many rows and columns a part of the map grows by in one step; (1, 1) for pointwise steps.
        places_per_output: how many places of its input's map there are to one of its output's.
        is_pointwise: whether it is a convolution that is one matrix product over all places of the map.
        is_depthwise: whether it is a convolution of each channel by itself, of stride one.

    Raises:
        UnsupportedArchitecture: a convolution whose padding is not zeros.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.reach, self.is_pointwise, self.is_depthwise, self.places_per_output = (1, 1), False, False, 1
        if isinstance(module, nn.Conv2d):
            if module.padding_mode != "zeros":
                raise UnsupportedArchitecture(
                    f"a convolution with padding mode '{module.padding_mode}' is not supported; 'zeros' is"
                )
            kernel, dilation = module.kernel_size, module.dilation
            self.reach = (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1
            self.places_per_output = module.stride[0] * module.stride[1]
            unpadded = not any(self._padding(torch.Size((1, 1, 1, 1))))
            self.is_pointwise = kernel == module.stride == (1, 1) and module.groups == 1 and unpadded
            by_channel = module.groups == module.in_channels == module.out_channels
            self.is_depthwise = by_channel and module.stride == dilation == (1, 1)

    def forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Return the step's output for these weights: x (B, C, H, W) or (B, ..., C)."""
        module = self.module
        if not isinstance(module, nn.Conv2d):
            return F.linear(x, weight, bias)
        left, right, top, bottom = self._padding(x.shape)
        if (left, top) != (right, bottom):
            x, left, top = F.pad(x, (left, right, top, bottom)), 0, 0
        return F.conv2d(x, weight, bias, module.stride, (top, left), module.dilation, module.groups)

    def _forward_quickly(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return :meth:`forward` to six digits, for what is no number of the host's."""
        if isinstance(self.module, nn.Conv2d) and self.module.groups == 1 and self.module.stride == (1, 1):
            left, right, top, bottom = self._padding(x.shape)
            if (left, top) == (right, bottom):
                return Convolution(weight, self.module.dilation)(x, (top, left)).add_(bias[:, None, None])
        return self.forward(x, weight, bias)

    def mean_with(
        self, output: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, offset: torch.Tensor
    ) -> torch.Tensor:
        """Return (output + W x + offset) / 2, with as few passes over the map as there can be.

        Args:
            output: what :meth:`forward` returned for other weights.
            x: an input of :meth:`forward`.
            weight: W.
            offset: one number for each channel of the output.
        """
        if not self.is_pointwise or x[0, 0].numel() > _PRODUCT_UP_TO or products.are_slow():
            return self._forward_quickly(x, weight, offset).lerp_(output, 0.5)
        total = output.flatten(2) + offset[:, None]
        total.baddbmm_(weight.flatten(1).expand(len(x), -1, -1), x.flatten(2), beta=0.5, alpha=0.5)
        return total.unflatten(2, output.shape[2:])

    def below(self, upper: Patch, values: torch.Tensor, x: torch.Tensor) -> Patch:
        """Return `values`, which :meth:`transposed` made of `upper`, at their place on the input x."""
        module = self.module
        if not isinstance(module, nn.Conv2d) or upper.corners is None:
            return Patch(values, upper.images)
        left, _, top, _ = self._padding(x.shape)
        down, across = module.stride
        corners = tuple((row * down - top, col * across - left) for row, col in upper.corners)
        return Patch(values, upper.images, corners).trimmed((int(x.shape[2]), int(x.shape[3])))

    def reached(self, upper: Patch, x: torch.Tensor) -> Patch:
        """Return the place on the input x where a convolution of stride one takes a patch, with memory for it."""
        if upper.corners is None:
            return Patch(x.new_empty((len(upper.values), *x.shape[1:])), upper.images)
        height, width = (n + reach - 1 for n, reach in zip(upper.values.shape[2:], self.reach))
        lower = self.below(upper, x.new_empty(1).expand(len(upper.values), x.shape[1], height, width), x)
        return lower.put(x.new_empty(lower.values.shape))

    def padding(self, x: torch.Tensor) -> tuple[int, int]:
        """Return how many rows of zeros there are above the input x, and columns left of it."""
        left, _, top, _ = self._padding(x.shape)
        return top, left

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
        return next(self.transposed_each([upper], weights, [x], lend=False))

    def transposed_each(
        self, uppers: Sequence[Patch], weights: torch.Tensor, xs: Sequence[torch.Tensor], *, lend: bool = True
    ) -> Iterator[list[torch.Tensor]]:
        """Yield :meth:`transposed` of each; what is made of the weights is made once.

        Small maps of a pointwise step go down side by side, in one product.

        Args:
            lend: whether what is yielded may be overwritten as the next one is asked for.
        """
        module = self.module
        if not isinstance(module, nn.Conv2d):
            yield from (list((upper.values @ weights).split(x.shape[-1], -1)) for upper, x in zip(uppers, xs))
        elif module.groups > 1:
            parts = weights.split(xs[0].shape[1] // module.groups, dim=1)
            yield from ([self._of_groups(upper, part, x) for part in parts] for upper, x in zip(uppers, xs))
        elif self.is_pointwise:
            yield from (list(values.split(xs[0].shape[1], dim=1)) for values in self._products(uppers, weights, lend))
        else:
            turned = Convolution(weights.flip(2, 3).transpose(0, 1).contiguous(), module.dilation)
            for upper, x in zip(uppers, xs):
                padding = self._turned_padding(upper, x)
                if padding is None:
                    values = self._transposed(upper, weights, x)
                else:
                    values = turned(upper.values, padding, lend=lend)
                yield list(values.split(x.shape[1], dim=1))

    def _products(self, uppers: Sequence[Patch], weights: torch.Tensor, lend: bool) -> Iterator[torch.Tensor]:
        """Yield what a pointwise step takes down, (K, n C, h, w) for each."""
        rows = weights.flatten(1).t()
        if uppers[0].values.device.type == "cpu" and products.are_slow():
            yield from (products.convolve(upper.values, rows[:, :, None, None]) for upper in uppers)
            return
        if any(len(upper.values) != 1 for upper in uppers):
            yield from ((rows @ upper.values.flatten(2)).unflatten(2, upper.values.shape[2:]) for upper in uppers)
            return
        for maps in _in_groups([upper.values[0] for upper in uppers]):
            places = [values[0].numel() for values in maps]
            columns = maps[0].flatten(1)
            if len(maps) > 1:
                columns = lent("columns", (len(columns), sum(places)), columns)
                torch.cat([values.flatten(1) for values in maps], 1, out=columns)
            shape = len(rows), sum(places)
            product = torch.mm(rows, columns, out=lent("product", shape, rows) if lend else rows.new_empty(shape))
            for values, part in zip(maps, product.split(places, dim=1)):
                yield part.unflatten(1, values.shape[1:])[None]

    def _of_groups(self, upper: Patch, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return W^T upper of one weight of a convolution with groups."""
        module, padding = self.module, self._turned_padding(upper, x)
        assert isinstance(module, nn.Conv2d)
        if padding is None:
            return self._transposed(upper, weight, x)
        return F.conv2d(upper.values, weight.flip(2, 3), None, 1, padding, module.dilation, module.groups)

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

    def _transposed(self, upper: Patch, weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return W^T upper as a transposed convolution, whose stride spreads what comes down."""
        module = self.module
        assert isinstance(module, nn.Conv2d)
        left = right = top = bottom = 0
        missing: tuple[int, ...] = (0, 0)
        if upper.corners is None:
            left, right, top, bottom = self._padding(x.shape)
            there = int(x.shape[2]) + top + bottom, int(x.shape[3]) + left + right
            made = ((n - 1) * by + reach for n, by, reach in zip(upper.values.shape[2:], module.stride, self.reach))
            missing = tuple(size - part for size, part in zip(there, made))  # rows that the stride passed over
        symmetric = (left, top) == (right, bottom)
        lower = F.conv_transpose2d(
            upper.values,
            weights,
            stride=module.stride,
            padding=(top, left) if symmetric else 0,
            output_padding=missing,
            groups=module.groups,
            dilation=module.dilation,
        )
        return lower if symmetric else lower[:, :, top : top + x.shape[2], left : left + x.shape[3]].contiguous()

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


def _in_groups(maps: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Split maps (D, h, w) so that those of a group have at most :data:`_TOGETHER_UP_TO` places in all."""
    group: list[torch.Tensor] = []
    places = 0
    for values in maps:
        if group and places + values[0].numel() > _TOGETHER_UP_TO:
            yield group
            group, places = [], 0
        group.append(values)
        places += values[0].numel()
    if group:
        yield group
