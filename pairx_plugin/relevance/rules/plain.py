"""Rules of steps without weights as zennit leaves them, which the public PAIR-X inherits.

Relevance passes unchanged, is copied, is shared by value, or passes as a gradient does. Rules of convolutions and dense
layers are in :mod:`.linear`, those of steps without weights that pass on all they receive in :mod:`.sharing`.

Sources: Bach et al. 2015 (doi 10.1371/journal.pone.0130140) and zennit 0.5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ...errors import UnsupportedArchitecture
from ..arithmetic.patches import Images, Patch
from ..network.shadow import usable
from .base import Kept, Rule, Stabilizer

__all__ = ["Copy", "Gradient", "MaxPool", "Norm", "NormSum", "Pass"]


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

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        rows = [len(value) for value, carries in zip(inputs, self.carries) if carries]
        if rows != [len(output)] * len(rows):
            raise UnsupportedArchitecture(
                f"a step turns {rows[0]} rows into {len(output)}, so that images change places with something else, "
                f"and has no rule; steps that keep the batch as the first dimension have: use another explainer (list "
                f"them with `pairx-plugin hooks`)"
            )
        return Kept(inputs)

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return self._spread(patch, self._pull_back(patch.values, patch.images, kept))

    def _replay(self, kept: Kept) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Run the step once more with gradients, on the images as they were batched, and keep that graph."""
        if "replay" not in kept.cache:
            with torch.enable_grad():
                inputs = [
                    value.detach().requires_grad_(value.is_floating_point()) if carries else usable(value)
                    for value, carries in zip(kept.inputs, self.carries)
                ]
                output = self.step(*inputs)
            kept.cache["replay"] = [leaf for leaf, carries in zip(inputs, self.carries) if carries], output
        leaves, output = kept.cache["replay"]
        return leaves, output

    def _pull_back(self, relevance: torch.Tensor, images: Images, kept: Kept) -> list[torch.Tensor]:
        leaves, output = self._replay(kept)
        pulled = [relevance.new_zeros((len(relevance), *leaf.shape[1:])) for leaf in leaves]
        if not output.requires_grad:  # comparisons, say, have no gradient
            return pulled
        taking = [(leaf, into) for leaf, into in zip(leaves, pulled) if leaf.requires_grad]
        for rows, of_images in images.rounds:
            seed = torch.zeros_like(output)
            seed[of_images] = relevance[rows].to(output.dtype)
            wanted = [leaf for leaf, _ in taking]
            gradients = torch.autograd.grad(output, wanted, seed, retain_graph=True, allow_unused=True)
            for (_, into), gradient in zip(taking, gradients):
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
