"""How many sums of two branches lie between a layer and the embedding: what relevance doubles at where sums copy it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import fx

from ..rules.conserving import is_sum
from ..rules.plain import Copy
from .steps import Program

__all__ = ["Skips", "skips_above"]


@dataclass(frozen=True, kw_only=True)
class Skips:
    """Sums above one layer.

    Attributes:
        n_sums: of two parts of the image's way, each of which may lie in a block of its own.
        n_copied: those of them at which both branches receive the whole relevance, so that it about doubles.
    """

    n_sums: int
    n_copied: int


def skips_above(program: Program, layer_keys: Iterable[str]) -> dict[str, Skips]:
    """Return the sums above each layer; layers that are no step of their own in the program are left out."""
    carrying = {program.image, *(step.node for step in program.steps if step.rule is not None)}
    sums = [
        step
        for step in program.steps
        if step.rule is not None and is_sum(step.node) and sum(source in carrying for source in step.sources) > 1
    ]
    found = {}
    for key in layer_keys:
        nodes = program.layers.get(key) or []
        if len(nodes) != 1 or nodes[0] is None:
            continue
        above = _above(program, nodes[0])
        here = [step for step in sums if step.node in above]
        found[key] = Skips(n_sums=len(here), n_copied=sum(isinstance(step.rule, Copy) for step in here))
    return found


def _above(program: Program, node: fx.Node) -> set[fx.Node]:
    """Return the nodes that depend on one; steps stand in the order in which they run."""
    reached = {node}
    for step in program.steps:
        if any(source in reached for source in step.sources):
            reached.add(step.node)
    return reached - {node}
