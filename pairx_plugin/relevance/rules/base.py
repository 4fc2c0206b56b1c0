"""What a rule is: how relevance passes one step of a network, from its output to its inputs.

Every rule is linear in the relevance that comes in, so that many seeds travel together, each on its own part of a map;
see :mod:`..arithmetic.patches`.

Source: zennit 0.5.1 for the convention that PAIR-X's public code inherits: a denominator d is stabilised to
d + epsilon * sign(d).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..arithmetic.patches import Patch

__all__ = ["Kept", "Rule", "Stabilizer"]


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
