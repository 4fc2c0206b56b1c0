"""Takes an embedding apart into what each cell of the last feature map gives to it.

Where the cells are averaged and what follows is affine, the part of a cell is exact: the embedding that the network
would give to a map which shows this cell everywhere. The mean of all parts is the embedding. Generalised-mean pooling
with exponent p is linearised about the picture's own activations: a cell's channel x counts as x^p / g^(p - 1), where g
is the pooled value; by Euler's theorem these have the mean g too.

Nothing is believed of an architecture: a way of pooling counts as known when the parts found with it really have the
embedding as their mean, which a head that is not affine, or another pooling, does not pass.

Source: Zhu, Yang and Chen, "Visual Explanation for Deep Metric Learning", IEEE TIP 2021, arXiv 1909.12977.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from ..errors import ModelError, UnsupportedArchitecture
from ..relevance.heads import Head

__all__ = ["CellParts", "Pooling", "find_pooling", "take_apart"]

TOLERANCE = 1e-3
"""Of the embedding's length, that the mean of the parts may be off. Right poolings are off by rounding, wrong ones by
tens of percent."""


@dataclass(frozen=True, kw_only=True)
class Pooling:
    """How a network makes one vector of a map.

    Attributes:
        kind: ``average``, ``rectified average`` or ``generalised mean``.
        power: (1,) or (C,) exponent of a generalised mean, None for an average.
        end: key of the module whose output is the embedding but for its length; None where nothing scales it.
    """

    kind: str
    power: torch.Tensor | None = None
    end: str | None = None

    @property
    def exact(self) -> bool:
        """Whether the parts hold for any picture, not only about the one they were found on."""
        return self.power is None

    def cells(self, feature_map: torch.Tensor) -> torch.Tensor:
        """Return (n, C) vectors whose mean is the pooled vector of a map (C, h, w)."""
        cells = feature_map.flatten(1).T
        if self.power is None:
            return cells.clamp(min=0) if self.kind == "rectified average" else cells
        positive = cells.clamp(min=1e-6).double()
        power = self.power.to(positive.device, positive.dtype)
        pooled = positive.pow(power).mean(0).pow(1.0 / power)
        return ((positive / pooled).pow(power) * pooled).to(cells.dtype)


@dataclass(frozen=True, kw_only=True, eq=False)
class CellParts:
    """One picture's embedding in parts.

    Attributes:
        parts: (n, D) float64 on the CPU, by cell, row by row; their mean is the embedding, but for rounding.
        embedding: (D,) float64 on the CPU; of another length than the network's where the network scales its own.
        grid: (rows, cols).
        error: how far the parts' mean is off, as a share of the embedding's length.
    """

    parts: torch.Tensor
    embedding: torch.Tensor
    grid: tuple[int, int]
    error: float


def find_pooling(head: Head, key: str, feature_map: torch.Tensor, embedding: torch.Tensor) -> Pooling:
    """Find out how the network goes on behind a layer, by trying on a picture of its own.

    Args:
        feature_map: (C, h, w) of the layer.
        embedding: (D,) that the network made of it.

    Raises:
        UnsupportedArchitecture: the parts do not add up with any known pooling.
    """
    errors: list[str] = []
    for pooling in _candidates(head, key, feature_map, embedding):
        try:
            error = take_apart(head, key, pooling, feature_map, embedding).error
        except ModelError as refused:
            errors.append(str(refused))
            continue
        if error <= TOLERANCE:
            return pooling
        errors.append(f"as {pooling.kind} they miss the embedding by {error:.2%} of its length")
    raise UnsupportedArchitecture(
        f"the embedding cannot be taken apart into cells of layer '{key}': {'; '.join(dict.fromkeys(errors))}. This "
        f"needs average or generalised-mean pooling of that layer and nothing but linear layers and batch norms "
        f"behind it; use another explainer, such as pairx"
    )


def take_apart(
    head: Head, key: str, pooling: Pooling, feature_map: torch.Tensor, embedding: torch.Tensor
) -> CellParts:
    """Return the parts of an embedding (D,) by the cells of its feature map (C, h, w).

    Raises:
        ModelError: what follows the layer does not run on maps of one cell.
    """
    cells = pooling.cells(feature_map.float().cpu()).to(feature_map)
    parts = head.above(key, cells[:, :, None, None], pooling.end).cpu().double()
    whole = embedding.detach().cpu().double()
    if parts.shape[1] != len(whole):
        raise ModelError(f"module '{pooling.end}' gives {parts.shape[1]} numbers for an embedding of {len(whole)}")
    if pooling.end is not None:  # of another length than the embedding, and of its direction
        whole = whole * (parts.mean(0).norm() / whole.norm().clamp(min=1e-12))
    error = float((parts.mean(0) - whole).norm() / whole.norm().clamp(min=1e-12))
    return CellParts(
        parts=parts, embedding=whole, grid=(int(feature_map.shape[1]), int(feature_map.shape[2])), error=error
    )


def _candidates(
    head: Head, key: str, feature_map: torch.Tensor, embedding: torch.Tensor
) -> Iterator[Pooling]:
    ends: list[str | None] = [None, *_unscaled_ends(head, embedding)]
    for end in ends:
        yield Pooling(kind="average", end=end)
        if bool((feature_map < 0).any()):
            yield Pooling(kind="rectified average", end=end)
        for power in _powers(head, int(feature_map.shape[0])):
            yield Pooling(kind="generalised mean", power=power, end=end)


def _unscaled_ends(head: Head, embedding: torch.Tensor) -> list[str]:
    """Return modules, last first, that may give the embedding before a network brings it to length one itself."""
    if abs(float(embedding.detach().norm()) - 1.0) > TOLERANCE:
        return []
    names = [name for name, module in head.modules_above() if not any(True for _ in module.children())]
    return names[::-1][:4]


def _powers(head: Head, channels: int) -> list[torch.Tensor]:
    """Return the exponents that modules of the network bring, as generalised means call theirs: ``p``."""
    found = []
    for _, module in head.modules_above():
        power = getattr(module, "p", None)
        named = "gem" in type(module).__name__.lower() or "generali" in type(module).__name__.lower()
        if isinstance(power, (int, float)) and named and not isinstance(power, bool):
            power = torch.tensor([float(power)])
        if isinstance(module, nn.ParameterDict) and "p" in module:
            power = module["p"]
        if isinstance(power, torch.Tensor) and power.numel() in (1, channels) and bool((power.abs() > 1e-3).all()):
            found.append(power.detach().reshape(-1).clone())
    return found
