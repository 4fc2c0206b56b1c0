"""Drop-in replacements for WildMeOrg/pairx: change ``from pairx import explain`` to ``from pairx_plugin.compat …``.

Names, arguments, defaults, return types and shapes are those of WildMeOrg/pairx at 124f2bf, numbers included. What
differs: the network and the caller's tensors are left as they came, no gradients pile up, the network needs no
``device`` attribute, and constant relevance maps give a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .errors import ModelError
from .evidence import Matches, cell_points
from .matching import match_cells, reduce_channels
from .models.checks import check_embeddings
from .models.embedding import as_embedding_model
from .relevance.encoded import CellQuestion, Encoded, LayerQuestion, at_layers_together, at_pixels_together
from .relevance.propagation import RelevanceModel, cosine_seeds
from .rendering.canvas import key_point
from .rendering.reference_look import reference_composite
from .settings import Settings

__all__ = ["explain", "pairx"]

_TOLERANCE = Settings().pixel_tolerance


def explain(
    imgs_0: torch.Tensor,
    imgs_1: torch.Tensor,
    imgs_np_0: Sequence[NDArray[np.uint8]],
    imgs_np_1: Sequence[NDArray[np.uint8]],
    model: nn.Module,
    layer_keys: Sequence[str],
    k_lines: int = 20,
    k_colors: int = 10,
    background_opacity: float = 0.2,
) -> list[Any]:
    """Draw PAIR-X pictures for pairs of images.

    Args:
        imgs_0, imgs_1: (B, 3, H, W) preprocessed images.
        imgs_np_0, imgs_np_1: B images (H, W, 3) uint8 RGB, resized and not otherwise changed.
        model: the network.
        layer_keys: layers to match.
        k_lines: how many matches are drawn as lines.
        k_colors: how many matches are carried back to pixels.
        background_opacity: how strongly the photograph shows behind the colours, 0 to 1.

    Returns:
        For one layer a list with one (2H, 2W, 3) uint8 picture per pair; for several layers a list per pair with one
        picture per layer.

    Raises:
        ModelError: the numbers of images differ, or an argument is of another kind.
        LayerNotFound, UnsupportedArchitecture: the network cannot be explained at that layer.
    """
    layer_keys = _checked(imgs_0, imgs_1, layer_keys)
    if not len(imgs_0) == len(imgs_1) == len(imgs_np_0) == len(imgs_np_1):
        raise ModelError(
            f"as many images are needed on each side, as tensors and as pictures: {len(imgs_0)} and {len(imgs_1)} "
            f"tensors, {len(imgs_np_0)} and {len(imgs_np_1)} pictures"
        )
    found = pairx(None, imgs_0, imgs_1, model, layer_keys, k_lines, k_colors)
    pictures = [
        [
            _composite(found[layer], index, picture_0, picture_1, k_lines, background_opacity)
            for layer in layer_keys
        ]
        for index, (picture_0, picture_1) in enumerate(zip(imgs_np_0, imgs_np_1))
    ]
    return [layers[0] for layers in pictures] if len(layer_keys) == 1 else pictures


def pairx(
    device: Any,
    imgs_0: torch.Tensor,
    imgs_1: torch.Tensor,
    model: nn.Module,
    layer_keys: Sequence[str],
    k_lines: int,
    k_colors: int,
) -> dict[str, dict[str, Any]]:
    """Compute PAIR-X for pairs of images.

    Args:
        device: not needed; the network's own device is used.
        imgs_0, imgs_1: (B, 3, H, W) preprocessed images.
        model, layer_keys, k_lines, k_colors: see :func:`explain`.

    Returns:
        By layer key a dict: ``intermediate_relevances``, two (B, h, w) arrays; ``matches``, for each pair the `k_lines`
        most relevant as dicts of ``coord0``, ``coord1`` (column, row), ``keypoint0``, ``keypoint1`` (cv2.KeyPoint),
        ``distance``, ``relevance``; ``pixel_relevances``, for each side a list with one (B, H, W) array per colour, as
        many as the pair with the fewest matches has.
    """
    layer_keys = _checked(imgs_0, imgs_1, layer_keys)
    relevance_model = RelevanceModel(as_embedding_model(model).network)
    sides = [
        relevance_model.forward(images.detach(), layer_keys, pixels=k_colors > 0) for images in (imgs_0, imgs_1)
    ]
    for side in sides:
        check_embeddings(side.embedding, len(imgs_0))
    cosine, seeds_0 = cosine_seeds(sides[0].embedding, sides[1].embedding)
    _, seeds_1 = cosine_seeds(sides[1].embedding, sides[0].embedding)
    rows = range(len(imgs_0))
    scaled = (seeds * cosine[:, None] for seeds in (seeds_0, seeds_1))
    questions = [LayerQuestion(side, seeds, rows, is_last=True) for side, seeds in zip(sides, scaled)]
    relevances = at_layers_together(questions, layer_keys)
    return {
        layer: _layer(layer, sides, [side[layer] for side in relevances], imgs_0, imgs_1, k_lines, k_colors)
        for layer in layer_keys
    }


def _checked(imgs_0: object, imgs_1: object, layer_keys: Sequence[str]) -> list[str]:
    """Return the layer keys as a list, or say which of the arguments is none of what is needed."""
    for name, images in (("imgs_0", imgs_0), ("imgs_1", imgs_1)):
        if not isinstance(images, torch.Tensor):
            raise ModelError(
                f"{name} must be a torch.Tensor (B, 3, H, W), preprocessed for the network, not a "
                f"{type(images).__name__}"
            )
        if images.ndim != 4 or not len(images) or not images.is_floating_point():
            raise ModelError(
                f"{name} must be (B, 3, H, W) floats with an image in it, not {images.dtype} {tuple(images.shape)}; "
                f"a single image becomes a batch by images[None]"
            )
    if isinstance(layer_keys, str):
        raise ModelError(f"layer_keys must be a list of keys, not a text; give [{layer_keys!r}]")
    return list(layer_keys)


def _layer(
    layer: str,
    sides: Sequence[Encoded],
    relevances: Sequence[torch.Tensor],
    imgs_0: torch.Tensor,
    imgs_1: torch.Tensor,
    k_lines: int,
    k_colors: int,
) -> dict[str, Any]:
    reduced = [reduce_channels(relevance, "sum_abs").float().cpu().numpy() for relevance in relevances]
    maps = [side.feature_maps[layer] for side in sides]
    matches = [
        match_cells(map_0, map_1, relevance_0, relevance_1)
        for map_0, map_1, relevance_0, relevance_1 in zip(*maps, *reduced)
    ]
    n_colors = min([k_colors, *(len(found) for found in matches)])
    sizes = [(int(images.shape[-2]), int(images.shape[-1])) for images in (imgs_0, imgs_1)]
    grids = [(int(relevance.shape[1]), int(relevance.shape[2])) for relevance in reduced]
    colours = [_pixels(sides, layer, matches, color) for color in range(n_colors)]
    return {
        "intermediate_relevances": tuple(reduced),
        "matches": [_as_dicts(found.leading(k_lines), grids, sizes) for found in matches],
        "pixel_relevances": tuple([both[number] for both in colours] for number in range(len(sides))),
    }


def _pixels(sides: Sequence[Encoded], layer: str, matches: Sequence[Matches], index: int) -> list[NDArray[np.float32]]:
    """Return for each side (B, H, W): one cell of each of its images, carried back to the pixels."""
    questions = []
    for number, side in enumerate(sides):
        cells = [(found.cells_0, found.cells_1)[number][index] for found in matches]
        places = [(int(row), int(col)) for row, col in cells]
        questions.append(CellQuestion(side, places, range(len(places))))
    answers = at_pixels_together(questions, layer, tolerance=_TOLERANCE)
    return [answer.summed().abs().float().cpu().numpy() for answer in answers]


def _as_dicts(
    matches: Matches, grids: Sequence[tuple[int, int]], sizes: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    points_0 = cell_points(matches.cells_0, grids[0], sizes[0])
    points_1 = cell_points(matches.cells_1, grids[1], sizes[1])
    return [
        {
            "coord0": (int(matches.cells_0[index, 1]), int(matches.cells_0[index, 0])),
            "coord1": (int(matches.cells_1[index, 1]), int(matches.cells_1[index, 0])),
            "keypoint0": key_point(*points_0[index]),
            "keypoint1": key_point(*points_1[index]),
            "distance": float(matches.distance[index]),
            "relevance": np.float32(matches.relevance[index]),
        }
        for index in range(len(matches))
    ]


def _composite(
    found: dict[str, Any],
    index: int,
    picture_0: NDArray[np.uint8],
    picture_1: NDArray[np.uint8],
    k_lines: int,
    background_opacity: float,
) -> NDArray[np.uint8]:
    def cells(side: int) -> NDArray[np.int64]:
        coords = [match[f"coord{side}"] for match in found["matches"][index]]
        return np.array(coords, np.int64).reshape(-1, 2)[:, ::-1]

    relevance_0, relevance_1 = (relevance[index] for relevance in found["intermediate_relevances"])
    pixels_0, pixels_1 = ([maps[index] for maps in side] for side in found["pixel_relevances"])
    return reference_composite(
        picture_0,
        picture_1,
        relevance_0=relevance_0,
        relevance_1=relevance_1,
        cells_0=cells(0),
        cells_1=cells(1),
        pixels_0=pixels_0,
        pixels_1=pixels_1,
        k_lines=k_lines,
        background_opacity=background_opacity,
    )
