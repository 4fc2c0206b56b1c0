"""Walk the steps of a network downwards with relevance in hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx

from ..errors import ModelError
from .linear_rules import LinearRule
from .patches import Patch
from .program import Program, Step, Tape

__all__ = ["Ledger", "Leg", "carry"]


class Ledger:
    """How much may be cut off on the way, and how much was.

    Args:
        tolerance: share of a seed's relevance that may be cut off on the whole way; 0 for nothing.
        n_seeds: K.

    Attributes:
        cut_off: (K,) sum of the shares that were cut off at the steps: a bound, since each share is of what was left.
    """

    def __init__(self, tolerance: float = 0.0, n_seeds: int = 0) -> None:
        self.tolerance = tolerance
        self.cut_off = torch.zeros(n_seeds)

    def crop(self, patch: Patch, n_steps: int) -> Patch:
        """Cut off the rim of a patch, as far as one of `n_steps` steps may."""
        cropped, cut = patch.cropped(self.tolerance / max(1, n_steps))
        self.cut_off = self.cut_off.to(cut) + cut
        return cropped


@dataclass(frozen=True, eq=False)
class Leg:
    """One of several loads of relevance that go down together, each through its own images.

    Attributes:
        tape: what the forward pass of its images left.
        relevance: of K seeds.
        ledger: how much may be cut off; nothing where it is None.
    """

    tape: Tape
    relevance: Patch
    ledger: Ledger | None = None


def carry(
    program: Program, legs: Sequence[Leg], start: fx.Node, targets: Sequence[fx.Node]
) -> list[dict[fx.Node, Patch]]:
    """Carry relevance from the output of one node down until every target has received all of its own.

    All legs pass a step before any passes the next, so that what its rule makes of the weights is made once.

    Args:
        legs: what is carried.
        start: the node whose output has the relevance.
        targets: nodes to stop at.

    Returns:
        For each leg, what arrived at each target.

    Raises:
        ModelError: a target does not lie below `start`.
    """
    arrived: list[dict[fx.Node, Patch]] = [{start: leg.relevance} for leg in legs]
    found: list[dict[fx.Node, Patch]] = [{} for _ in legs]
    missing = set(targets)
    n_growing = _count_growing(program, start)
    with torch.inference_mode(False), torch.no_grad():  # a host may be in inference mode
        for step in reversed(program.steps):
            if step.node not in arrived[0]:
                continue
            patches = [here.pop(step.node) for here in arrived]
            if step.node in missing:
                missing.discard(step.node)
                for into, patch in zip(found, patches):
                    into[step.node] = patch
                if not missing:
                    return found
            if step.rule is None:
                continue
            passed = step.rule.propagate_each([(patch, leg.tape.kept[step.node]) for patch, leg in zip(patches, legs)])
            del patches
            for here, leg, parts in zip(arrived, legs, passed):
                _spread(step, here, parts, leg.ledger, n_growing)
    for into, here in zip(found, arrived):
        into.update({node: here[node] for node in missing if node in here})
    if any(len(into) < len(targets) for into in found):
        raise ModelError("no relevance can reach a layer that does not lie between the image and the embedding")
    return found


def _spread(
    step: Step, arrived: dict[fx.Node, Patch], parts: Sequence[Patch | None], ledger: Ledger | None, n_growing: int
) -> None:
    """Add what a step passed on to what has arrived at its sources."""
    for source, part in zip(step.sources, parts):
        if part is None:
            continue
        if ledger is not None and ledger.tolerance > 0 and _grows(step):
            part = ledger.crop(part, n_growing)
        arrived[source] = arrived[source].plus(part) if source in arrived else part


def _count_growing(program: Program, start: fx.Node) -> int:
    """Return how many steps at or below `start` spread relevance."""
    count = 0
    for step in program.steps:
        count += _grows(step)
        if step.node is start:
            break
    return count


def _grows(step: Step) -> bool:
    """Return whether a step spreads relevance to neighbouring places."""
    return isinstance(step.rule, LinearRule) and step.rule.grows
