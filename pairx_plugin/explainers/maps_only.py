"""Evidence of explainers that have a map of each picture and no matches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..chips import Chip
from ..evidence import Doubt, LayerEvidence, Matches

if TYPE_CHECKING:
    import torch

__all__ = ["Clock", "cosine", "map_doubts", "map_layer", "same_picture"]

_SIDES = ("query", "candidate")


def map_layer(
    layer_key: str, maps: tuple[NDArray[np.float32], NDArray[np.float32]], size: tuple[int, int]
) -> LayerEvidence:
    """Return a layer's evidence that holds the query's and the candidate's map, (h, w) each, and no matches.

    Args:
        size: (height, width) of the network's input.
    """
    none = np.zeros((0, 2), np.int32)
    return LayerEvidence(
        layer_key=layer_key,
        relevance_0=maps[0],
        relevance_1=maps[1],
        matches=Matches(
            cells_0=none, cells_1=none, distance=np.zeros(0, np.float32), relevance=np.zeros(0, np.float64)
        ),
        pixels_0=np.zeros((0, *size), np.float32),
        pixels_1=np.zeros((0, *size), np.float32),
        k_lines=0,
    )


def map_doubts(layers: Sequence[LayerEvidence]) -> list[Doubt]:
    """Return a doubt for each map that is zero all over: nothing to see is not the same as nothing there."""
    doubts = []
    for layer in layers:
        for side, relevance in enumerate((layer.relevance_0, layer.relevance_1)):
            if not relevance.any():
                message = f"the map of the {_SIDES[side]} at layer '{layer.layer_key}' is zero all over"
                doubts.append(Doubt(code=f"MAP_ZERO_{side}", message=message, values={"layer": layer.layer_key}))
    return doubts


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the cosine of two embeddings (D,) at length one."""
    return float(a.cpu().double() @ b.cpu().double())  # not every accelerator knows float64


def same_picture(query: Chip, candidate: Chip) -> list[Doubt]:
    """Return a doubt where query and candidate are one picture."""
    if query.sha256 != candidate.sha256:
        return []
    return [Doubt(code="SAME_PICTURE", message="query and candidate are the same picture, so everything matches")]


class Clock:
    """Seconds spent by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside towards the stage `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    def shared(self, n: int) -> dict[str, float]:
        """Return each of `n` candidates' share."""
        return {name: spent / n for name, spent in self.seconds.items()}
