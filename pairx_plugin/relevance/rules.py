"""Rules by which relevance passes one step of a network, from its output to its inputs.

Every rule is linear in the relevance that comes in, so that many seeds travel together: `relevance` has shape
(K, ...), one row per seed, while what a step kept of the forward pass has shape (B, ...), one row per image;
:class:`Seeds` says which seed belongs to which image.

Sources: Bach et al. 2015 (epsilon rule, doi 10.1371/journal.pone.0130140), Montavon et al. 2017 (z-plus rule,
doi 10.1016/j.patcog.2016.11.008), and zennit 0.5.1 for the conventions that PAIR-X's public code inherits: negative
inputs meet negative weights in z-plus, a positive bias counts in the denominator, and a denominator d is stabilised to
d + epsilon * sign(d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input

from ..errors import UnsupportedArchitecture

__all__ = ["Copy", "Epsilon", "Gradient", "Kept", "Norm", "NormSum", "Pass", "Rule", "Seeds", "ZPlus", "stabilized"]

Stabilizer = Callable[[torch.Tensor], torch.Tensor]


def stabilized(denominator: torch.Tensor, epsilon: float = 1e-6) -> torch.Tensor:
    """Return `denominator` moved away from zero by `epsilon`, zero itself upwards."""
    return denominator + torch.where(denominator < 0, -epsilon, epsilon).to(denominator.dtype)


@dataclass(frozen=True)
class Seeds:
    """Which image each seed belongs to.

    Attributes:
        image: (K,) int64 on the seeds' device, row of the image in the forward batch.
        n_images: B, rows of the forward batch.
    """

    image: torch.Tensor
    n_images: int

    @cached_property
    def _aligned(self) -> bool:
        return len(self.image) == self.n_images and bool(
            (self.image == torch.arange(self.n_images, device=self.image.device)).all()
        )

    def select(self, kept: torch.Tensor) -> torch.Tensor:
        """Return the rows of a (B, ...) tensor that belong to the seeds: (K, ...), or (1, ...) to broadcast."""
        if kept.shape[0] == 1 or self._aligned:
            return kept
        return kept.index_select(0, self.image)

    @cached_property
    def rounds(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Seeds split so that each round has at most one per image: pairs (rows of seeds, rows of images)."""
        turn: dict[int, int] = {}
        groups: list[list[int]] = []
        for row, image in enumerate(self.image.tolist()):
            index = turn.get(image, 0)
            turn[image] = index + 1
            if index == len(groups):
                groups.append([])
            groups[index].append(row)
        rows = [torch.tensor(group, device=self.image.device) for group in groups]
        return [(group, self.image[group]) for group in rows]


@dataclass
class Kept:
    """What a step keeps of the forward pass until relevance has passed it: its inputs in order, and its output."""

    inputs: tuple[Any, ...]
    output: torch.Tensor | None = None
    cache: dict[str, Any] = field(default_factory=dict)


class Rule:
    """How relevance passes one step, from its output to its inputs."""

    keeps_inputs = True
    keeps_output = False

    def propagate(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> Sequence[torch.Tensor | None]:
        """Return the inputs' relevances.

        Args:
            relevance: (K, ...) relevance of the step's output.
            kept: what the step kept, with tensors of B rows.
            seeds: which of the B images each of the K seeds belongs to.

        Returns:
            One (K, ...) tensor for each input, None where no relevance goes.
        """
        raise TypeError(f"{type(self).__name__} says nothing about how relevance passes")


class Pass(Rule):
    """Relevance passes unchanged to the first input: R_in = R_out."""

    keeps_inputs = False

    def propagate(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> Sequence[torch.Tensor | None]:
        return (relevance,)


class Copy(Rule):
    """Every summand of a plain sum receives the whole relevance, as a gradient would: R_i = R_out.

    The public PAIR-X leaves residual sums of timm's networks so; relevance about doubles at each.
    """

    def propagate(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> Sequence[torch.Tensor | None]:
        shapes = [tuple(value.shape[1:]) for value in kept.inputs]
        if any(shape != relevance.shape[1:] for shape in shapes):
            raise UnsupportedArchitecture(f"a sum of tensors of different shapes {shapes} has no rule")
        return (relevance,) * len(shapes)


class NormSum(Rule):
    """Summands share the relevance by their values: R_i = z_i / (z_1 + z_2) R_out."""

    keeps_output = True

    def __init__(self, stabilizer: Stabilizer = stabilized) -> None:
        self.stabilizer = stabilizer

    def propagate(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> Sequence[torch.Tensor | None]:
        assert kept.output is not None
        share = relevance / self.stabilizer(seeds.select(kept.output))
        return tuple(share * seeds.select(value) for value in kept.inputs)


class Gradient(Rule):
    """Relevance passes as a gradient does: R_in = (d step / d input)^T R_out.

    Args:
        step: computes the output from all inputs.
        carries: which of the inputs depend on the image; the others (weights, sizes) receive nothing.
    """

    def __init__(self, step: Callable[..., torch.Tensor], carries: Sequence[bool] = (True,)) -> None:
        self.step, self.carries = step, tuple(carries)

    def propagate(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> Sequence[torch.Tensor | None]:
        return self._spread(self._pull_back(relevance, kept, seeds))

    def _replay(self, kept: Kept) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run the step once more with gradients, on the images as they were batched, and keep that graph."""
        if "replay" not in kept.cache:
            with torch.enable_grad():
                inputs = [
                    value.detach().requires_grad_() if carries else value
                    for value, carries in zip(kept.inputs, self.carries)
                ]
                output = self.step(*inputs)
            kept.cache["replay"] = [leaf for leaf, carries in zip(inputs, self.carries) if carries], output
        leaves, output = kept.cache["replay"]
        return leaves, output

    def _pull_back(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> list[torch.Tensor]:
        leaves, output = self._replay(kept)
        pulled = [relevance.new_zeros((len(relevance), *leaf.shape[1:])) for leaf in leaves]
        for rows, images in seeds.rounds:
            seed = torch.zeros_like(output)
            seed[images] = relevance[rows].to(output.dtype)
            gradients = torch.autograd.grad(output, leaves, seed, retain_graph=True, allow_unused=True)
            for into, gradient in zip(pulled, gradients):
                if gradient is not None:
                    into[rows] = gradient[images].to(into.dtype)
        return pulled

    def _spread(self, pulled: Sequence[torch.Tensor]) -> list[torch.Tensor | None]:
        found = iter(pulled)
        return [next(found) if carries else None for carries in self.carries]


class Norm(Gradient):
    """Inputs share the relevance by what they add to a step without weights: R_i = z_i / (sum_j z_j) R_out."""

    def __init__(
        self, step: Callable[..., torch.Tensor], stabilizer: Stabilizer = stabilized, carries: Sequence[bool] = (True,)
    ) -> None:
        super().__init__(step, carries)
        self.stabilizer = stabilizer

    def propagate(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> Sequence[torch.Tensor | None]:
        leaves, output = self._replay(kept)
        pulled = self._pull_back(relevance / self.stabilizer(seeds.select(output.detach())), kept, seeds)
        return self._spread([part * seeds.select(leaf.detach()) for leaf, part in zip(leaves, pulled)])


class _Linear(Rule):
    """A step y = W x + b, dense or convolutional, with the transposed map that the rules below need."""

    def __init__(self, module: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.module, self.weight, self.bias = module, weight, bias
        if isinstance(module, nn.Conv2d) and module.padding_mode != "zeros":
            raise UnsupportedArchitecture(
                f"a convolution with padding mode '{module.padding_mode}' is not supported; 'zeros' is"
            )

    def forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Return the step's output for other weights: x (B, C, H, W) or (B, ..., C)."""
        module = self.module
        if not isinstance(module, nn.Conv2d):
            return F.linear(x, weight, bias)
        left, right, top, bottom = self._padding(x.shape)
        if (left, top) != (right, bottom):
            x, left, top = F.pad(x, (left, right, top, bottom)), 0, 0
        return F.conv2d(x, weight, bias, module.stride, (top, left), module.dilation, module.groups)

    def transposed(self, shape: torch.Size, weight: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
        """Return W^T upper for inputs of `shape` (B, ...): (K, ...)."""
        module = self.module
        if not isinstance(module, nn.Conv2d):
            return upper @ weight
        left, right, top, bottom = self._padding(shape)
        size, padding = (len(upper), *shape[1:]), (top, left)
        lopsided = (left, top) != (right, bottom)
        if lopsided:
            size, padding = (len(upper), shape[1], shape[2] + top + bottom, shape[3] + left + right), (0, 0)
        lower = conv2d_input(
            size, weight, upper, stride=module.stride, padding=padding, dilation=module.dilation, groups=module.groups
        )
        return lower[:, :, top : top + shape[2], left : left + shape[3]].contiguous() if lopsided else lower

    def _padding(self, shape: torch.Size) -> tuple[int, int, int, int]:
        """Return (left, right, top, bottom); TensorFlow-style 'same' padding depends on the input's size."""
        module = self.module
        assert isinstance(module, nn.Conv2d)
        if type(module).__name__ == "Conv2dSame" or module.padding == "same":
            sides: list[int] = []
            for size, kernel, stride, dilation in zip(shape[:1:-1], *map(reversed, _geometry(module))):
                total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
                sides += [total // 2, total - total // 2]
            return sides[0], sides[1], sides[2], sides[3]
        if isinstance(module.padding, str):  # "valid"
            return 0, 0, 0, 0
        vertical, horizontal = module.padding
        return int(horizontal), int(horizontal), int(vertical), int(vertical)


def _geometry(module: nn.Conv2d) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return tuple(module.kernel_size), tuple(module.stride), tuple(module.dilation)


class ZPlus(_Linear):
    """Only what raised the output is made responsible, for inputs of either sign.

    R_i = sum_j (x_i^+ w_ij^+ + x_i^- w_ij^-) / (sum_i' (x_i'^+ w_i'j^+ + x_i'^- w_i'j^-) + b_j^+) R_j
    """

    def __init__(
        self,
        module: nn.Module,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stabilizer: Stabilizer = stabilized,
        zero_bias: bool = False,
    ) -> None:
        super().__init__(module, weight, bias)
        self.stabilizer, self.zero_bias = stabilizer, zero_bias

    def propagate(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> Sequence[torch.Tensor | None]:
        x = kept.inputs[0]
        if "denominator" not in kept.cache:
            kept.cache["nonnegative"] = bool((x >= 0).all())
            kept.cache["denominator"] = self._denominator(x, kept.cache["nonnegative"])
        upper = relevance / seeds.select(kept.cache["denominator"])
        chosen = seeds.select(x)
        lower = self.transposed(x.shape, self.weight.clamp(min=0), upper)
        if not kept.cache["nonnegative"]:
            negative = self.transposed(x.shape, self.weight.clamp(max=0), upper)
            lower = torch.where(chosen > 0, lower, negative)
        return (lower.mul_(chosen),)

    def _denominator(self, x: torch.Tensor, nonnegative: bool) -> torch.Tensor:
        bias = None if self.bias is None or self.zero_bias else self.bias.clamp(min=0)
        total = self.forward(x.clamp(min=0), self.weight.clamp(min=0), bias)
        if not nonnegative:
            total = total + self.forward(x.clamp(max=0), self.weight.clamp(max=0), None)
        return self.stabilizer(total)


class Epsilon(_Linear):
    """Every input is responsible for its share of the output: R_i = sum_j x_i w_ij / (y_j + eps sign(y_j)) R_j."""

    def __init__(
        self,
        module: nn.Module,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stabilizer: Stabilizer = stabilized,
        zero_bias: bool = False,
    ) -> None:
        super().__init__(module, weight, bias)
        self.stabilizer, self.zero_bias = stabilizer, zero_bias

    def propagate(self, relevance: torch.Tensor, kept: Kept, seeds: Seeds) -> Sequence[torch.Tensor | None]:
        x = kept.inputs[0]
        if "denominator" not in kept.cache:
            bias = None if self.zero_bias else self.bias
            kept.cache["denominator"] = self.stabilizer(self.forward(x, self.weight, bias))
        upper = relevance / seeds.select(kept.cache["denominator"])
        return (self.transposed(x.shape, self.weight, upper) * seeds.select(x),)
