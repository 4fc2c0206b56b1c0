"""Walk the steps of a network downwards with relevance in hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import fx

from ...errors import ModelError
from ..arithmetic.patches import Patch
from ..arithmetic.scratch import scratch
from ..network.precision import unlowered
from ..rules.linear import LinearRule
from .steps import Program, Step, Tape

__all__ = ["Ledger", "Leg", "carry"]

_WORTH_OF_FINER = 6.0
"""How much more may be cut off where a map becomes finer. Of 1, 3, 6, 9 and 12, six took the least work (11 % less than
even parts) at an error that was no larger (efficientnetv2_rw_m, noise and a photograph)."""


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
        self.cut_off = np.zeros(n_seeds)

    def crop(self, patch: Patch, part: float) -> Patch:
        """Cut off the rim of a patch, as far as a part of the tolerance allows."""
        cropped, cut = patch.cropped(self.tolerance * part)
        self.cut_off += cut
        return cropped


@dataclass(frozen=True, eq=False)
class Leg:
    """One of several loads of relevance that go down together, each through its own images.

    Attributes:
        tape: what the forward pass of its images left.
        relevance: of K seeds.
        ledger: how much may be cut off; nothing where it is None.
        is_last: whether nobody will come this way again: what a step above the first target kept is let go as it is
            passed, so that the next steps find memory at hand.
    """

    tape: Tape
    relevance: Patch
    ledger: Ledger | None = None
    is_last: bool = False

    def forget(self, node: fx.Node) -> None:
        """Let go of what a step kept, if nobody will come this way again."""
        if self.is_last:
            self.tape.kept.pop(node, None)


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
    cuts = any(leg.ledger is not None and leg.ledger.tolerance > 0 for leg in legs)
    parts_of_tolerance = _parts_of_tolerance(program, legs[0].tape, start) if cuts else {}
    device_type = legs[0].relevance.values.device.type
    # A host may be in inference mode, or in autocast.
    with scratch(), torch.inference_mode(False), torch.no_grad(), unlowered(device_type):
        for step in reversed(program.steps):
            is_above = len(missing) == len(targets) and step.node not in missing
            if step.node in arrived[0]:
                patches = [here.pop(step.node) for here in arrived]
                if step.node in missing:
                    missing.discard(step.node)
                    for into, patch in zip(found, patches):
                        into[step.node] = patch
                    if not missing:
                        return found
                if step.rule is not None:
                    kept = [leg.tape.kept[step.node] for leg in legs]
                    passed = step.rule.propagate_each(list(zip(patches, kept)))
                    del patches, kept
                    for here, leg, parts in zip(arrived, legs, passed):
                        _spread(step, here, parts, leg.ledger, parts_of_tolerance.get(step.node, 0.0))
            if is_above:
                for leg in legs:
                    leg.forget(step.node)
    for into, here in zip(found, arrived):
        into.update({node: here[node] for node in missing if node in here})
    if any(len(into) < len(targets) for into in found):
        raise ModelError("no relevance can reach a layer that does not lie between the image and the embedding")
    return found


def _spread(
    step: Step,
    arrived: dict[fx.Node, Patch],
    passed: Sequence[Patch | None],
    ledger: Ledger | None,
    part_of_tolerance: float,
) -> None:
    """Add what a step passed on to what has arrived at its sources."""
    for source, patch in zip(step.sources, passed):
        if patch is None:
            continue
        if ledger is not None and part_of_tolerance > 0:
            patch = ledger.crop(patch, part_of_tolerance)
        arrived[source] = arrived[source].plus(patch) if source in arrived else patch


def _parts_of_tolerance(program: Program, tape: Tape, start: fx.Node) -> dict[fx.Node, float]:
    """Return which part of the tolerance each step at or below `start` may use that spreads relevance.

    A row that is cut off saves work at every step below, so parts are as the work that is left there; and more where
    the map becomes finer, since a row of the coarse map was several of the fine one.
    """
    parts: dict[fx.Node, float] = {}
    left = 0.0
    for step in program.steps:
        rule, kept = step.rule, tape.kept.get(step.node)
        if isinstance(rule, LinearRule) and kept is not None:
            if rule.grows:
                parts[step.node] = left * (_WORTH_OF_FINER if rule.step.places_per_output > 1 else 1.0)
            left += rule.weight.numel() * kept.inputs[0][0, 0].numel() / rule.step.places_per_output
        if step.node is start:
            break
    total = sum(parts.values())
    return {node: part / total for node, part in parts.items()} if total else {}
