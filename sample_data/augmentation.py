"""Training batches: stored chips cropped, turned, recoloured and partly erased, all at once on tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from .network import MEAN, STD


@dataclass(frozen=True)
class Strength:
    """How strongly batches are altered.

    Attributes:
        shift, zoom, stretch, turn: crop jitter: shares of the chip, and radians.
        light: range of brightness and contrast.
        tint: range of the colour cast.
        grey: probability that an image loses its colour.
        erase: probability that a rectangle is erased.
    """

    shift: float = 0.07
    zoom: float = 0.12
    stretch: float = 0.10
    turn: float = 0.10
    light: float = 0.30
    tint: float = 0.12
    grey: float = 0.15
    erase: float = 0.20


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Images in 0..1, [N, 3, H, W], to the network's scale."""
    mean = torch.tensor(MEAN).view(1, 3, 1, 1)
    std = torch.tensor(STD).view(1, 3, 1, 1)
    return (images - mean) / std


def training_batch(
    chips: np.ndarray,
    flipped: np.ndarray,
    side: int,
    margin: float,
    strength: Strength,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Turn stored chips into a batch.

    Args:
        chips: RGB uint8 [N, S, S, 3].
        flipped: bool [N]; mirror these left to right (the caller gives them a label of their own, because
            the mirror image of a flank is another animal).
        side: height and width of the batch's images.
        margin: margin of the stored chips, see `ChipStore`.
        strength: how much to alter.
        rng: source of all randomness.

    Returns:
        float32 [N, 3, side, side], normalised.
    """
    n = len(chips)
    scale = np.exp(rng.uniform(-strength.zoom, strength.zoom, n)) / (1 + 2 * margin)
    stretch = np.exp(rng.uniform(-strength.stretch, strength.stretch, n))
    angle = rng.uniform(-strength.turn, strength.turn, n)
    shift = rng.uniform(-strength.shift, strength.shift, (n, 2))
    sign = np.where(flipped, -1.0, 1.0)
    sx, sy = scale * stretch, scale / stretch
    rows = np.stack(
        [
            np.stack([sign * sx * np.cos(angle), -sy * np.sin(angle), shift[:, 0]], -1),
            np.stack([sign * sx * np.sin(angle), sy * np.cos(angle), shift[:, 1]], -1),
        ],
        1,
    )
    source = torch.from_numpy(np.ascontiguousarray(chips)).permute(0, 3, 1, 2).float().div_(255)
    if chips.shape[1] >= 2 * side and rng.random() < 0.7:
        source = functional.avg_pool2d(source, 2)
    grid = functional.affine_grid(torch.from_numpy(rows).float(), [n, 3, side, side], align_corners=False)
    images = functional.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain = torch.from_numpy(np.exp(rng.uniform(-strength.light, strength.light, (n, 1, 1, 1)))).float()
    cast = torch.from_numpy(1 + rng.uniform(-strength.tint, strength.tint, (n, 3, 1, 1))).float()
    contrast = torch.from_numpy(np.exp(rng.uniform(-strength.light, strength.light, (n, 1, 1, 1)))).float()
    middle = images.mean((1, 2, 3), keepdim=True)
    images = ((images - middle) * contrast + middle) * gain * cast
    grey = torch.from_numpy(rng.random(n) < strength.grey)
    images[grey] = images[grey].mean(1, keepdim=True)
    images = normalise(images.clamp_(0, 1))
    for i in np.nonzero(rng.random(n) < strength.erase)[0]:
        height, width = (rng.uniform(0.10, 0.38, 2) * side).astype(int)
        y, x = (rng.uniform(0, 1, 2) * (side - height, side - width)).astype(int)
        images[i, :, y : y + height, x : x + width] = torch.from_numpy(rng.normal(0, 0.8, (3, 1, 1))).float()
    return images
