"""Where the time of a pair goes: the engine's public parts, called one after the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..matching import match_cells, reduce_channels
from ..relevance.encoded import CellQuestion, Encoded, LayerQuestion, at_layers_together, at_pixels_together
from ..relevance.propagation import RelevanceModel, cosine_seeds
from ..rendering.reference_look import reference_composite
from ..settings import Settings
from .clock import Clock

__all__ = ["walk"]

Sides = tuple[torch.Tensor, torch.Tensor]
Maps = Sequence[NDArray[np.float32]]


def walk(
    clock: Clock,
    network: nn.Module,
    layer: str,
    tensors: Sides,
    pictures: tuple[Sequence[NDArray[np.uint8]], Sequence[NDArray[np.uint8]]],
    *,
    k_lines: int,
    k_colors: int,
) -> dict[str, float]:
    """Explain pairs step by step and return the seconds of each stage.

    Args:
        clock: of the network's device, unused so far.
        network: one that was not explained before.
        layer: key of the layer.
        tensors: both sides' (B, 3, H, W) preprocessed images.
        pictures: both sides' B pictures (H, W, 3) uint8 RGB.

    Returns:
        ``preparing`` (what the first forward pass of a network takes beyond a later one of the same images),
        ``forward``, ``relevance``, ``matching``, ``pixels``, ``rendering``.
    """
    sides = _forward(clock, network, layer, tensors, pixels=k_colors > 0)
    with clock.stage("relevance"):
        relevances = _relevances(sides, layer)
    with clock.stage("matching"):
        maps = [side.feature_maps[layer] for side in sides]
        found = [match_cells(*pair) for pair in zip(maps[0], maps[1], relevances[0], relevances[1])]
    with clock.stage("pixels"):
        leading = [matches.leading(k_colors) for matches in found]
        cells = [matches.cells_0 for matches in leading], [matches.cells_1 for matches in leading]
        pixels_0, pixels_1 = _pixels(sides, layer, cells)
    with clock.stage("rendering"):
        for index, matches in enumerate(found):
            reference_composite(
                pictures[0][index],
                pictures[1][index],
                relevance_0=relevances[0][index],
                relevance_1=relevances[1][index],
                cells_0=matches.cells_0,
                cells_1=matches.cells_1,
                pixels_0=pixels_0[index],
                pixels_1=pixels_1[index],
                k_lines=k_lines,
            )
    return clock.seconds


def _forward(
    clock: Clock, network: nn.Module, layer: str, tensors: Sides, *, pixels: bool
) -> tuple[Encoded, Encoded]:
    relevance_model = RelevanceModel(network)
    cold, _ = clock.time(lambda: relevance_model.forward(tensors[0], [layer], pixels=pixels))
    warm, side_0 = clock.time(lambda: relevance_model.forward(tensors[0], [layer], pixels=pixels))
    clock.seconds.update({"preparing": max(0.0, cold - warm), "forward": warm})
    with clock.stage("forward"):
        side_1 = relevance_model.forward(tensors[1], [layer], pixels=pixels)
    return side_0, side_1


def _relevances(sides: tuple[Encoded, Encoded], layer: str) -> list[NDArray[np.float32]]:
    """Return both sides' (B, h, w) relevance of the cosine at the layer."""
    embeddings = [side.embedding for side in sides]
    cosine, seeds_0 = cosine_seeds(embeddings[0], embeddings[1])
    _, seeds_1 = cosine_seeds(embeddings[1], embeddings[0])
    questions = [
        LayerQuestion(side, seeds * cosine[:, None], range(len(seeds)))
        for side, seeds in zip(sides, (seeds_0, seeds_1))
    ]
    found = at_layers_together(questions, [layer])
    return [reduce_channels(relevance[layer], "sum_abs").float().cpu().numpy() for relevance in found]


def _pixels(
    sides: Sequence[Encoded], layer: str, cells_by_side: Sequence[Sequence[NDArray[np.int32]]]
) -> list[list[Maps]]:
    """Return for each side and each of its images the (H, W) maps of its cells."""
    questions = []
    for side, cells_by_image in zip(sides, cells_by_side):
        wanted = [
            (image, (int(row), int(col))) for image, cells in enumerate(cells_by_image) for row, col in cells
        ]
        questions.append(CellQuestion(side, [cell for _, cell in wanted], [image for image, _ in wanted]))
    answers = at_pixels_together(questions, layer, tolerance=Settings().pixel_tolerance)
    found: list[list[Maps]] = []
    for question, answer, cells_by_image in zip(questions, answers, cells_by_side):
        maps: list[list[NDArray[np.float32]]] = [[] for _ in cells_by_image]
        for image, values in zip(question.images, answer.summed().abs().float().cpu().numpy()):
            maps[image].append(values)
        found.append(list(maps))
    return found
