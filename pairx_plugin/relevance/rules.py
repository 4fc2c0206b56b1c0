"""Rules by which relevance passes one step of a network, from its output to its inputs.

Every rule is linear in the relevance that comes in, so that many seeds travel together, each on its own part of a map;
see :mod:`.patches`. Rules of convolutions and dense layers are in :mod:`.linear_rules`.

Sources: Bach et al. 2015 (doi 10.1371/journal.pone.0130140) and zennit 0.5.1 for the conventions that PAIR-X's public
code inherits: a denominator d is stabilised to d + epsilon * sign(d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import UnsupportedArchitecture
from .patches import Images, Patch
from .shadow import usable

__all__ = ["Copy", "Gradient", "Kept", "MaxPool", "Norm", "NormSum", "Pass", "Rule", "Stabilizer"]


@dataclass(frozen=True)
class Stabilizer:
    """Moves denominators away from zero: d + epsilon sign(d), zero itself upwards.

    Attributes:
        epsilon: how far.
        other: computes something else instead, for zennit's stabilizers that clip or scale.
    """

    epsilon: float = 1e-6
    other: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __call__(self, denominator: torch.Tensor) -> torch.Tensor:
        """Return the denominators, moved."""
        if self.other is not None:
            return self.other(denominator)
        moved = denominator + 0.0  # minus zero becomes zero
        return torch.copysign(moved.new_tensor(self.epsilon), moved).add_(moved)

    @property
    def shift(self) -> float:
        """What is to be added to denominators before :meth:`nonnegative_` is asked."""
        return self.epsilon if self.other is None else 0.0

    def nonnegative_(self, denominator: torch.Tensor) -> torch.Tensor:
        """Return denominators that are negative by rounding only, :attr:`shift` added, moved in place if possible."""
        return denominator.clamp_(min=self.shift) if self.other is None else self.other(denominator.clamp_(min=0))


@dataclass
class Kept:
    """What a step keeps of the forward pass until relevance has passed it.

    Attributes:
        inputs: its inputs in order, tensors with B rows; empty where the rule needs none.
        output: its output, or a denominator made from it, where the rule needs one.
        cache: what the rule computed from them.
    """

    inputs: tuple[Any, ...] = ()
    output: torch.Tensor | None = None
    cache: dict[str, Any] = field(default_factory=dict)


class Rule:
    """How relevance passes one step, from its output to its inputs.

    Attributes:
        local: whether parts of a map may pass; rules that are not local need whole maps.
    """

    local = False

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        """Return what :meth:`propagate` will need of a forward pass."""
        return Kept(inputs)

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        """Return the inputs' relevances.

        Args:
            patch: relevance of the step's output.
            kept: what the step kept.

        Returns:
            One patch for each input, None where no relevance goes.
        """
        raise TypeError(f"{type(self).__name__} says nothing about how relevance passes")

    def propagate_each(self, arrivals: Sequence[tuple[Patch, Kept]]) -> list[Sequence[Patch | None]]:
        """Return what :meth:`propagate` returns for each of several arrivals; what they share is made once."""
        return [self.propagate(patch, kept) for patch, kept in arrivals]


class Pass(Rule):
    """Relevance passes unchanged to the first input: R_in = R_out."""

    local = True

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        shapes = [tuple(getattr(value, "shape", ())) for value in (*inputs[:1], output)]
        if shapes[0] != shapes[-1] and isinstance(output, torch.Tensor):
            raise UnsupportedArchitecture(
                f"relevance cannot pass unchanged through a step that turns {shapes[0]} into {shapes[-1]}; the "
                f"composite must have another rule for it"
            )
        return Kept()

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return (patch,)


class Copy(Rule):
    """Every summand of a plain sum receives the whole relevance, as a gradient would: R_i = R_out.

    The public PAIR-X leaves residual sums of timm's networks so; relevance about doubles at each.
    """

    local = True

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        if any(value.shape != output.shape for value in inputs):
            shapes = [tuple(value.shape) for value in inputs]
            raise UnsupportedArchitecture(f"a sum of tensors of different shapes {shapes} has no rule")
        return Kept()

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return patch, patch


class NormSum(Rule):
    """Summands share the relevance by their values: R_i = z_i / (z_1 + z_2) R_out."""

    local = True

    def __init__(self, stabilizer: Stabilizer = Stabilizer()) -> None:
        self.stabilizer = stabilizer

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        if self.stabilizer.other is None:
            return Kept(inputs, output)
        return Kept(inputs, None, {"denominators": self.stabilizer(output)})  # it may look at more than a part of a map

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        if kept.output is not None:
            share = patch.values / self.stabilizer(patch.read(kept.output))
        else:
            share = patch.values / patch.read(kept.cache["denominators"], fill=1.0)
        return tuple(patch.put(share * patch.read(value)) for value in kept.inputs)


class Gradient(Rule):
    """Relevance passes as a gradient does: R_in = (d step / d input)^T R_out.

    Args:
        step: computes the output from all inputs.
        carries: which of the inputs depend on the image; the others (weights) receive nothing.
    """

    def __init__(self, step: Callable[..., torch.Tensor], carries: Sequence[bool] = (True,)) -> None:
        self.step, self.carries = step, tuple(carries)

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return self._spread(patch, self._pull_back(patch.values, patch.images, kept))

    def _replay(self, kept: Kept) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run the step once more with gradients, on the images as they were batched, and keep that graph."""
        if "replay" not in kept.cache:
            with torch.enable_grad():
                inputs = [
                    value.detach().requires_grad_() if carries else usable(value)
                    for value, carries in zip(kept.inputs, self.carries)
                ]
                output = self.step(*inputs)
            kept.cache["replay"] = [leaf for leaf, carries in zip(inputs, self.carries) if carries], output
        leaves, output = kept.cache["replay"]
        return leaves, output

    def _pull_back(self, relevance: torch.Tensor, images: Images, kept: Kept) -> list[torch.Tensor]:
        leaves, output = self._replay(kept)
        pulled = [relevance.new_zeros((len(relevance), *leaf.shape[1:])) for leaf in leaves]
        for rows, of_images in images.rounds:
            seed = torch.zeros_like(output)
            seed[of_images] = relevance[rows].to(output.dtype)
            gradients = torch.autograd.grad(output, leaves, seed, retain_graph=True, allow_unused=True)
            for into, gradient in zip(pulled, gradients):
                if gradient is not None:
                    into[rows] = gradient[of_images].to(into.dtype)
        return pulled

    def _spread(self, patch: Patch, pulled: Sequence[torch.Tensor]) -> list[Patch | None]:
        found = iter(pulled)
        return [patch.put(next(found)) if carries else None for carries in self.carries]


class Norm(Gradient):
    """Inputs share the relevance by what they add to a step without weights: R_i = z_i / (sum_j z_j) R_out."""

    def __init__(
        self,
        step: Callable[..., torch.Tensor],
        stabilizer: Stabilizer = Stabilizer(),
        carries: Sequence[bool] = (True,),
    ) -> None:
        super().__init__(step, carries)
        self.stabilizer = stabilizer

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        leaves, output = self._replay(kept)
        pulled = self._pull_back(patch.values / self.stabilizer(patch.read(output.detach())), patch.images, kept)
        return self._spread(patch, [part * patch.read(leaf.detach()) for leaf, part in zip(leaves, pulled)])


class MaxPool(Gradient):
    """Relevance goes to the largest input of each pool, as a gradient does."""

    local = True

    def __init__(self, module: nn.MaxPool2d) -> None:
        super().__init__(module.forward)
        self.kernel, self.stride, self.padding = (
            (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))
            for value in (module.kernel_size, module.stride, module.padding)
        )

    @staticmethod
    def fits(module: nn.Module) -> bool:
        """Return whether a module is a max pooling whose parts can be pooled by themselves."""
        return type(module) is nn.MaxPool2d and module.dilation in (1, (1, 1)) and not module.ceil_mode

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        if patch.corners is None:
            return super().propagate(patch, kept)
        x = kept.inputs[0]
        height, width = (
            (count - 1) * stride + kernel
            for count, stride, kernel in zip(patch.values.shape[2:], self.stride, self.kernel)
        )
        corners = tuple(
            (row * self.stride[0] - self.padding[0], col * self.stride[1] - self.padding[1])
            for row, col in patch.corners
        )
        lower = Patch(x.new_empty((len(patch.values), x.shape[1], height, width)), patch.images, corners)
        with torch.enable_grad():
            leaf = lower.read(x, fill=float("-inf")).requires_grad_()
            pooled = nn.functional.max_pool2d(leaf, self.kernel, self.stride)
        (values,) = torch.autograd.grad(pooled, leaf, patch.values)
        return (lower.put(values).trimmed((x.shape[2], x.shape[3])),)
