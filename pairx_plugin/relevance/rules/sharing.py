"""Rules of steps without weights that pass on all the relevance that they receive.

:mod:`.plain` holds what zennit leaves of such steps, which the public PAIR-X inherits: sums that copy, poolings and
products that pass a gradient. Here each gives its inputs shares that sum to one.

Sources: Bach et al. 2015 (shares in proportion to the terms, doi 10.1371/journal.pone.0130140); Arras et al. 2017
(a gate is a constant, its signal takes all, doi 10.18653/v1/W17-5221); Achtibat et al. 2024 (products split in halves,
layer norms as identity, arXiv 2402.05602).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...errors import UnsupportedArchitecture
from ..arithmetic.patches import Patch
from .base import Kept, Rule
from .plain import Gradient

__all__ = ["PassTo", "SharedMean", "SharedProduct", "SharedSum"]


class PassTo(Rule):
    """Relevance passes unchanged to one of several inputs: R_i = R_out, the others are constants.

    Args:
        taker: which input takes it.
        n_inputs: how many there are.
    """

    local = True

    def __init__(self, taker: int = 0, n_inputs: int = 1) -> None:
        self.taker, self.n_inputs = taker, n_inputs

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        if inputs[self.taker].shape != output.shape:
            found = tuple(inputs[self.taker].shape), tuple(output.shape)
            raise UnsupportedArchitecture(f"a step that turns {found[0]} into {found[1]} is no scaling of its signal")
        return Kept()

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return [patch if index == self.taker else None for index in range(self.n_inputs)]


class SharedSum(Rule):
    """Terms that have the sum's sign share the relevance in proportion: R_i = z_i / (sum_j z_j) R_out, over those.

    Where all terms agree this is the proportional rule. Where they oppose each other, proportional shares are above one
    and below zero and grow without bound as the terms cancel: on a random ConvNeXt V2 they turned a map into noise that
    differed between float32 and float64. z-plus draws the same line at convolutions.

    A term that is no part of the image's way (a position embedding) keeps its share, as a bias does.

    Args:
        coefficients: what each input is multiplied by, -1 where it is subtracted.
        carries: which of the inputs depend on the image.
    """

    local = True

    def __init__(self, coefficients: Sequence[float], carries: Sequence[bool] = (True, True)) -> None:
        self.coefficients, self.carries = tuple(coefficients), tuple(carries)

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        carrying = [value for value, carries in zip(inputs, self.carries) if carries]
        if any(value.shape != output.shape for value in carrying):
            shapes = [tuple(value.shape) for value in inputs]
            raise UnsupportedArchitecture(f"a sum of tensors of different shapes {shapes} has no rule")
        return Kept(tuple(value.expand_as(output) for value in inputs), output)

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        assert kept.output is not None
        upward = patch.read(kept.output) >= 0
        agreeing = []
        for value, factor in zip(kept.inputs, self.coefficients):
            term = patch.read(value) * factor
            agreeing.append(torch.where((term >= 0) == upward, term.abs_(), torch.zeros_like(term)))
        total = sum(agreeing[1:], agreeing[0])
        share = torch.where(total > 0, patch.values / total, torch.zeros_like(patch.values))
        return [
            patch.put(share * term) if carries else None for term, carries in zip(agreeing, self.carries)
        ]


class SharedProduct(Rule):
    """A product of two parts of the image's way.

    Of the shape of the output is the signal; a factor that was spread over places or channels is a gate. The signal
    takes all of the relevance, gates none. Two signals take half each.
    """

    local = True

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        signals = [value.shape == output.shape for value in inputs]
        if not any(signals):
            shapes = [tuple(value.shape) for value in inputs]
            raise UnsupportedArchitecture(f"an outer product of tensors of shapes {shapes} has no rule")
        return Kept(cache={"signals": signals})

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        signals = kept.cache["signals"]
        if sum(signals) == 1:
            return [patch if signal else None for signal in signals]
        half = patch.put(patch.values / 2)
        return [half for _ in signals]


class SharedMean(Gradient):
    """A mean, sum or average pooling: values that have the output's sign share the relevance in proportion.

    R_i = x_i [x_i y >= 0] / (sum_j x_j [x_j y >= 0]) R_out, with y the output. Where no input is negative this is the
    proportional rule; where values of both signs cancel, shares stay in [0, 1] instead of growing without bound.

    Args:
        step: linear, with weights that are not negative.
    """

    def __init__(self, step: Callable[..., torch.Tensor], carries: Sequence[bool] = (True,)) -> None:
        super().__init__(step, carries)

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        if "parts" not in kept.cache:
            index = self.carries.index(True)
            x = kept.inputs[index]
            replaced = [
                self.step(*kept.inputs[:index], part, *kept.inputs[index + 1 :])
                for part in (x.clamp(min=0), x.clamp(max=0))
            ]
            kept.cache["parts"] = x, replaced
        x, (raised, lowered) = kept.cache["parts"]
        upward = patch.read(raised) + patch.read(lowered) >= 0
        total = None
        for part, denominator, chosen in ((x.clamp(min=0), raised, upward), (x.clamp(max=0), lowered, ~upward)):
            there = patch.read(denominator)
            weight = torch.where(chosen & (there != 0), patch.values / there, torch.zeros_like(patch.values))
            (pulled,) = self._pull_back(weight, patch.images, kept)
            shared = pulled * patch.read(part)
            total = shared if total is None else total + shared
        assert total is not None
        return self._spread(patch, [total])
