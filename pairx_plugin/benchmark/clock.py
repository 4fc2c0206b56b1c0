"""Time by stage, with the device's work finished before a stage ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch

from .statistics import Spread

__all__ = ["Clock", "median_stages", "wait_for"]

T = TypeVar("T")


def wait_for(device: torch.device) -> None:
    """Wait until the device has done what it was asked to; a CPU is always done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


class Clock:
    """Seconds by stage.

    Attributes:
        seconds: what was spent in each stage, summed over its turns.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block as a part of a stage."""
        wait_for(self._device)
        started = time.perf_counter()
        try:
            yield
        finally:
            wait_for(self._device)
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def time(self, work: Callable[[], T]) -> tuple[float, T]:
        """Return how many seconds `work` took, and what it returned."""
        wait_for(self._device)
        started = time.perf_counter()
        result = work()
        wait_for(self._device)
        return time.perf_counter() - started, result


def median_stages(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median seconds of each stage over several runs, in the order of the first."""
    found: dict[str, float] = {}
    for name in dict.fromkeys(name for run in runs for name in run):
        spread = Spread.of(run.get(name, 0.0) for run in runs)
        assert spread is not None
        found[name] = spread.median
    return found
