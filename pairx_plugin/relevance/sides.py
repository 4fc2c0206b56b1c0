"""One side of a comparison: images after their forward pass, and the pixel relevances found on them so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..models.checks import check_embeddings
from ..resident_memory import zero_pages
from .encoded import CellQuestion, Encoded, at_pixels_together
from .propagation import RelevanceModel

__all__ = ["Cells", "Side", "pixels_of"]

Cell = tuple[int, int, int]


class Side:
    """Images of one side.

    Args:
        relevance_model: the prepared network.
        tensor: (B, 3, H, W), preprocessed, on the network's device.
        layers: keys of the layers that will be asked about.
        pixels: whether :meth:`pixels` will be asked; if not, memory is saved.
        instead_of: a side that is not needed any more; its memory is taken over.

    Attributes:
        size: (height, width) of the images.
        encoded: the network's result.

    Raises:
        ModelError: the embeddings cannot be compared; see :func:`..models.checks.check_embeddings`.
    """

    def __init__(
        self,
        relevance_model: RelevanceModel,
        tensor: torch.Tensor,
        layers: Sequence[str],
        *,
        pixels: bool = True,
        instead_of: Side | None = None,
    ) -> None:
        self.size = (int(tensor.shape[2]), int(tensor.shape[3]))
        spare = instead_of.encoded if instead_of is not None else None
        self.encoded: Encoded = relevance_model.forward(tensor, layers, pixels=pixels, instead_of=spare)
        check_embeddings(self.encoded.embedding, len(tensor))
        self._pixels: dict[str, dict[Cell, _Part]] = {}

    def known(self, layer: str) -> dict[Cell, _Part]:
        """Return the pixel relevance of cells of a layer that were asked for."""
        return self._pixels.setdefault(layer, {})


@dataclass(frozen=True, eq=False)
class _Part:
    """The part of a pixel map (H, W) that a cell reaches, a quarter of it.

    Attributes:
        values: (h, w) of it.
        corner: (row, col) of its first value.
        cut_off: the share of the relevance that was cut off.
    """

    values: NDArray[np.float32]
    corner: tuple[int, int]
    cut_off: float

    def put_into(self, pixels: NDArray[np.float32]) -> None:
        (row, col), (height, width) = self.corner, self.values.shape
        pixels[row : row + height, col : col + width] = self.values


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells of one side.

    Attributes:
        side: the images.
        places: (image, row, col) of each cell.
        seeds: (k, C) relevance of the cells as one pair has it. Their maps keep its signs then, and add up to it;
            without, where the cells' activation comes from is asked, and the maps are >= 0.
    """

    side: Side
    places: Sequence[Cell]
    seeds: torch.Tensor | None = None


def pixels_of(
    layer: str, asked: Sequence[Cells], tolerance: float
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return for each group of cells (k, H, W) pixel relevance and (k,) the share of it that was cut off.

    Where a cell's activation comes from depends on the image, the layer and the cell only, so a cell that was asked for
    before is not computed again.
    """
    questions, missing = [], []
    for cells in asked:
        places = list(dict.fromkeys(cells.places)) if cells.seeds is None else list(cells.places)
        if cells.seeds is None:
            places = [place for place in places if place not in cells.side.known(layer)]
        missing.append(places)
        at = [place[1:] for place in places]
        questions.append(CellQuestion(cells.side.encoded, at, [place[0] for place in places], cells.seeds))
    answers = at_pixels_together(questions, layer, tolerance=tolerance)
    found = []
    for cells, places, answer in zip(asked, missing, answers):
        if cells.seeds is not None:
            found.append((answer.summed().float().cpu().numpy(), answer.cut_off.float().numpy()))
            continue
        known = cells.side.known(layer)
        for place, (values, corner), cut_off in zip(places, answer.parts(), answer.cut_off.tolist()):
            known[place] = _Part(values.abs().float().cpu().numpy(), corner, cut_off)
        maps = zero_pages((len(cells.places), *cells.side.size))
        for pixels, place in zip(maps, cells.places):
            known[place].put_into(pixels)
        found.append((maps, np.array([known[place].cut_off for place in cells.places], np.float32)))
    return found
