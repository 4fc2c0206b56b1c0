"""How well a network finds individuals again that training never saw."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from . import load_annotations, path_of
from .augmentation import normalise
from .chip_store import ChipStore, species_of_chips
from .chips import cut_chip
from .photographs import Box
from .retrieval import retrieval_figures


@torch.no_grad()
def embed(
    network: torch.nn.Module, chips: np.ndarray, side: int, batch: int = 32, fast: bool = False
) -> np.ndarray:
    """Embeddings float32 [N, D] of chips uint8 [N, S, S, 3], resized to `side`; `fast` computes in
    bfloat16."""
    network.eval()
    out = []
    for i in range(0, len(chips), batch):
        images = torch.from_numpy(np.array(chips[i : i + batch])).permute(0, 3, 1, 2).float().div_(255)
        if images.shape[-1] != side:
            images = functional.interpolate(images, (side, side), mode="bilinear", antialias=True)
        images = normalise(images).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast):
            out.append(network(images).float().numpy())
    return np.concatenate(out)


def shipped_chips(side: int) -> Tuple[np.ndarray, List[str], List[str]]:
    """Chips [N, side, side, 3], names and species of the shipped photographs."""
    chips, names, species = [], [], []
    for row in load_annotations():
        with Image.open(row.file_path) as picture:
            image = np.asarray(picture.convert("RGB"))
        chips.append(cut_chip(image, Box(x=row.x, y=row.y, w=row.w, h=row.h, theta=row.theta), (side, side)))
        names.append(row.name)
        species.append(row.species)
    return np.stack(chips), names, species


def store_figures(network: torch.nn.Module, store: ChipStore, side: int, fast: bool) -> Dict[str, Any]:
    """Retrieval figures of the chips of a store at an image size."""
    names = [str(label) for label in store.labels]
    return retrieval_figures(embed(network, store.chips, side, fast=fast), names, species_of_chips(store))


def measure(
    network: torch.nn.Module,
    measured: ChipStore,
    side: int,
    fast: bool,
    held_out: Optional[ChipStore] = None,
) -> Dict[str, Any]:
    """Retrieval figures of the sets of individuals that training never saw.

    Args:
        network: the network.
        measured: the set that is watched while training.
        side: image size.
        fast: compute in bfloat16.
        held_out: a set that is looked at when all is done, if it is.

    Returns:
        `image_size`, `measured`, and, where there are such, `held_out` and `shipped`: see
        `retrieval_figures`.
    """
    figures: Dict[str, Any] = {"image_size": [side, side]}
    figures["measured"] = store_figures(network, measured, side, fast)
    if held_out is not None:
        figures["held_out"] = store_figures(network, held_out, side, fast)
    if path_of("annotations").exists():
        chips, names, species = shipped_chips(side)
        figures["shipped"] = retrieval_figures(embed(network, chips, side, fast=fast), names, species)
    return figures
