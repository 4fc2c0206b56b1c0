"""The part of a ranking that a candidate's rivals come from."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pairx_hooks import Annotation, Candidate, RankedQuery

from ..chips import Chip
from ..errors import PairXError

__all__ = ["rivals_first"]

logger = logging.getLogger(__name__)

_RIVALS = 2  # other individuals that any explainer compares with at most


def rivals_first(ranked: RankedQuery, candidate: Candidate, chip_of: Callable[[Annotation], Chip]) -> list[Chip]:
    """Return the chips of a ranking in order, from the first down to the second individual that is not the candidate's.

    No more are cut: a ranking may have thousands, and a rival is among the first. A chip that cannot be had is left
    out, as it is elsewhere.

    Args:
        chip_of: cuts a chip and gives it the name that the host knows.
    """
    chips: list[Chip] = []
    others: set[str] = set()
    for item in sorted(ranked.candidates, key=lambda one: one.rank):
        try:
            chips.append(chip_of(item.annotation))
        except (PairXError, OSError) as error:
            logger.debug("candidate %d is no rival: %s", item.rank, error)
            continue
        name = item.annotation.name
        others |= {name} if name is not None and name != candidate.annotation.name else set()
        if len(others) >= _RIVALS:
            break
    return chips
