"""What a similarity loses when the place of an attribute is hidden."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..forward import Forward
from ..pictures import Picture

__all__ = ["REGION", "region_of", "removal_effects"]

REGION = 0.15
"""Share of a picture that counts as the place of an attribute."""


def region_of(attribute_map: NDArray[np.float32], share: float = REGION) -> NDArray[np.bool_]:
    """Return (h, w) True on the cells where an attribute is strongest: `share` of them, at least one."""
    n = max(1, round(attribute_map.size * share))
    order = np.argsort(-attribute_map, axis=None, kind="stable")[:n]
    region = np.zeros(attribute_map.size, bool)
    region[order] = True
    return region.reshape(attribute_map.shape)


def removal_effects(
    forward: Forward, picture: Picture, other: torch.Tensor, regions: list[NDArray[np.bool_]]
) -> NDArray[np.float64]:
    """Return (n,): by how much the cosine with `other` (1, D) drops as each region is hidden by the picture's fill."""
    size = tuple(int(length) for length in picture.tensor.shape[2:])
    masks = torch.stack([torch.from_numpy(region.astype(np.float32)) for region in regions])[:, None]
    masks = functional.interpolate(masks, size, mode="nearest").to(picture.tensor.device, picture.tensor.dtype)
    with torch.no_grad():
        hidden = forward.run(picture.tensor + (picture.fill - picture.tensor) * masks)
    whole = float((picture.embedding * other).sum())
    drops: NDArray[np.float64] = whole - (hidden.cpu().double() @ other[0].cpu().double()).numpy()
    return drops
