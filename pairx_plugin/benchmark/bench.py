"""What all rows of the table share: the network, its copies, the pictures of a turn, the turns themselves."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.embedding import EmbeddingModel
from .clock import Clock
from .exactness import Found
from .networks import load_model
from .pictures import Pictures
from .plan import Plan
from .reference import PublicCode

__all__ = ["Bench", "Progress", "Run", "Side", "Turns", "take_turns"]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
Side = Callable[[int], "Run"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One turn of one implementation.

    Attributes:
        seconds: what is compared.
        stages: seconds by stage, pictures included.
        found: evidence by pair, for comparing.
    """

    seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)
    found: Sequence[Found] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Turns:
    """All turns of all implementations.

    Attributes:
        runs: by implementation, in order; fewer where one failed.
        failures: why an implementation could not go on, by its name.
    """

    runs: Mapping[str, Sequence[Run]]
    failures: Mapping[str, str]


class Bench:
    """A loaded network and where it is measured.

    Args:
        plan: what is measured.
        reference: the public code, where it is there.
        copies: whether :meth:`fresh_model` copies; not where the memory of one network is measured.
    """

    def __init__(self, plan: Plan, reference: PublicCode | None = None, *, copies: bool = True) -> None:
        self.plan, self.reference, self._copies = plan, reference, copies
        self.model, self.layer = load_model(
            plan.model, input_size=plan.input_size, layer=plan.layer, seed=plan.seed, device=plan.device
        )
        self.size = self.model.input_size
        self.device = self.model.device

    @property
    def has_wanted_sizes(self) -> bool:
        """Whether pictures and ranking are as large as those that something was wanted for."""
        return not self.plan.quick and self.size == (440, 440) and self.plan.n_candidates == Plan().n_candidates

    def clock(self) -> Clock:
        """Return a new clock for the network's device."""
        return Clock(self.device)

    def fresh_model(self, input_size: tuple[int, int] | None = None) -> EmbeddingModel:
        """Return the model around a copy of the network, so that nothing that was kept for a network is of use.

        Args:
            input_size: (height, width) to resize to instead of the model's own.
        """
        if not self._copies:
            return self.model
        inner = self.model.preprocessing
        return EmbeddingModel(
            copy.deepcopy(self.model.network),
            input_size=input_size or inner.input_size,
            mean=inner.mean,
            std=inner.std,
            preprocess=inner.custom,
            channel_order=inner.channel_order,
            default_layer=self.model.default_layer,
            model_id=self.model.model_id,
        )

    def pictures(self, row: str, turn: int) -> Pictures:
        """Return the pictures of a turn: others than those of every other turn and row."""
        state = np.random.SeedSequence((self.plan.seed, turn, *row.encode())).generate_state(1)
        return Pictures(int(state[0]), self.size)

    def tensors(
        self, queries: Sequence[NDArray[np.uint8]], candidates: Sequence[NDArray[np.uint8]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both sides preprocessed, (B, 3, H, W) each."""
        return self.model.tensor(queries), self.model.tensor(candidates)


def take_turns(sides: Mapping[str, Side], turns: int, told: Callable[[int, int], None]) -> Turns:
    """Let implementations take turns, each beginning every other turn; one that fails is not asked again.

    Args:
        sides: by name, what runs one turn, given its number from 0.
        turns: how many each has.
        told: called with how many runs are done, of how many.
    """
    runs: dict[str, list[Run]] = {name: [] for name in sides}
    failures: dict[str, str] = {}
    total, done = turns * len(sides), 0
    told(0, total)
    for turn in range(turns):
        order = list(sides) if turn % 2 == 0 else list(sides)[::-1]
        for name in order:
            if name not in failures:
                try:
                    runs[name].append(sides[name](turn))
                except Exception as error:  # foreign code and networks raise anything; the other side goes on
                    logger.info("%s could not be measured", name, exc_info=True)
                    failures[name] = f"{type(error).__name__}: {str(error).strip() or 'no message'}"
            done += 1
            told(done, total)
    return Turns(runs=runs, failures=failures)
