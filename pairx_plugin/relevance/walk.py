"""Walk the steps of a network downwards with relevance in hand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import fx

from ..errors import ModelError
from .linear_rules import LinearRule
from .patches import Patch
from .program import Program, Step, Tape

__all__ = ["Ledger", "carry"]


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


def carry(
    program: Program,
    tape: Tape,
    start: fx.Node,
    relevance: Patch,
    targets: Sequence[fx.Node],
    ledger: Ledger | None = None,
) -> dict[fx.Node, Patch]:
    """Carry relevance from the output of one node down until every target has received all of its own.

    Args:
        start: the node whose output has the relevance.
        relevance: of K seeds.
        targets: nodes to stop at.
        ledger: how much may be cut off.

    Raises:
        ModelError: a target does not lie below `start`.
    """
    arrived: dict[fx.Node, Patch] = {start: relevance}
    missing, found = set(targets), {}
    n_growing = _count_growing(program, start) if ledger is not None else 0
    with torch.no_grad():
        for step in reversed(program.steps):
            if step.node in missing and step.node in arrived:
                found[step.node] = arrived[step.node]
                missing.discard(step.node)
                if not missing:
                    return found
            patch = arrived.pop(step.node, None)
            if patch is None or step.rule is None:
                continue
            for source, part in zip(step.sources, step.rule.propagate(patch, tape.kept[step.node])):
                if part is None:
                    continue
                if ledger is not None and ledger.tolerance > 0 and _grows(step):
                    part = ledger.crop(part, n_growing)
                arrived[source] = arrived[source].plus(part) if source in arrived else part
    found.update({node: arrived[node] for node in missing if node in arrived})
    if len(found) < len(targets):
        raise ModelError("no relevance can reach a layer that does not lie between the image and the embedding")
    return found


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
