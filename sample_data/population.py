"""Who exists: individuals by seed, and the plan of how often and how well each is photographed.

The sets draw from disjoint ranges of seeds, so nobody that is shipped, measured or held out was seen in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from .coats import PATTERNS, Coat, paint_coat
from .photographs import Photograph, take

SPECIES: Tuple[str, ...] = tuple(PATTERNS)
SEED_RANGES = {
    "shipped": range(50_000, 51_000),
    "measured": range(30_000, 34_000),
    "held_out": range(40_000, 44_000),
    "training": range(100_000, 120_000),
}
"""Seeds of the individuals of each set."""

SHIPPED_HARDNESS = (0.10, 0.35, 0.60, 0.90)
"""How hard the photographs of one shipped individual are, 0..1."""


@dataclass(frozen=True)
class Individual:
    """One animal.

    Attributes:
        species: one of `SPECIES`.
        seed: its coat's seed.
        number: its number within the set, from 1.
        right: its right side is the known one, so photographs show it mirrored; flukes have no side.
    """

    species: str
    seed: int
    number: int
    right: bool

    @property
    def name(self) -> str:
        """Name as in `annotations.csv`, unique within a set."""
        return f"{self.species}_{self.number:03d}"

    def coat(self, width: int) -> Coat:
        """The individual's coat at `width` pixels."""
        return paint_coat(self.species, self.seed, width)

    def photograph(
        self, coat: Coat, shot: int, longer_side: int, hardness: float, seed: int = 0
    ) -> Photograph:
        """Photograph number `shot` of this individual; another `seed` gives other photographs."""
        return take(coat, (seed, self.seed, shot), longer_side, hardness, self.right)


def individuals(which: str, count: int, seed: int = 0) -> List[Individual]:
    """The first `count` individuals of a set, the species taking turns.

    Args:
        which: `shipped`, `measured`, `held_out` or `training`.
        count: how many.
        seed: shifts the choice within the set's range of seeds; 0 is what is shipped and trained on.

    Raises:
        ValueError: unknown set, or more individuals than its range holds.
    """
    if which not in SEED_RANGES:
        raise ValueError(f"unknown set {which!r}; the sets are {', '.join(SEED_RANGES)}")
    seeds = SEED_RANGES[which]
    if not 0 <= count <= len(seeds):
        raise ValueError(f"{count} individuals asked for; the set {which!r} holds 0 to {len(seeds)}")
    out = []
    for i in range(count):
        species = SPECIES[i % len(SPECIES)]
        own = seeds[(i + seed * count) % len(seeds)]
        right = bool(np.random.default_rng((own, 13)).random() < 0.4) and species != "ridge_whale"
        out.append(Individual(species=species, seed=own, number=i // len(SPECIES) + 1, right=right))
    return out
