"""Learning to read the coat: in training, features must also tell what the animal's coat looks like.

A linear map from the last features to a small picture of the individual's coat, the same for all of its
photographs, teaches a network that starts from nothing what to look at, and what (pose, light, background)
to look past. The map is dropped after training.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from .fields import gaussian_blur
from .network import EmbeddingNetwork
from .population import Individual

ROWS, COLUMNS = 32, 56
GRID = 4
SMOOTH = {"spotted_cat": 1.0, "star_shark": 1.0}
"""Blur, in cells, of pictures whose spots are smaller than a cell: what is read is where spots crowd."""


def coat_pictures(animals: Sequence[Individual]) -> np.ndarray:
    """Small pictures of coats, as the side that is known faces the camera.

    Returns:
        float32 [N, 32, 56]: lightness of the coat, mirrored for animals known from the right, less the mean
        of the species and divided by the species' root mean square deviation.
    """
    pictures = np.empty((len(animals), ROWS, COLUMNS), np.float32)
    for i, animal in enumerate(animals):
        coat = animal.coat(4 * COLUMNS)
        light = np.ascontiguousarray(np.sqrt(coat.albedo.mean(-1)) * coat.alpha)
        small = Image.fromarray(light).resize((COLUMNS, ROWS), Image.Resampling.BOX)
        smooth = gaussian_blur(np.asarray(small), SMOOTH.get(animal.species, 0.0))
        pictures[i] = smooth[:, :: -1 if animal.right else 1]
    for species in {animal.species for animal in animals}:
        for right in (False, True):
            own = [i for i, a in enumerate(animals) if a.species == species and a.right == right]
            if own:
                pictures[own] -= pictures[own].mean(0)
        own = [i for i, animal in enumerate(animals) if animal.species == species]
        pictures[own] /= max(float(np.sqrt((pictures[own] ** 2).mean())), 1e-6)
    return pictures


class CoatReader(nn.Module):
    """Linear map from the backbone's last blocks, on a grid of 4 x 4, to a picture of the coat.

    Args:
        network: whose `backbone.blocks` are read; a hook keeps their output of each forward pass.
        pictures: what `coat_pictures` gave, for the individuals of the training set.
    """

    def __init__(self, network: EmbeddingNetwork, pictures: np.ndarray) -> None:
        super().__init__()
        width = int(network.backbone.conv_head.in_channels)
        self.norm = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width * GRID * GRID, ROWS * COLUMNS)
        nn.init.normal_(self.linear.weight, std=1e-3)
        self.pictures = torch.from_numpy(pictures)
        self._features = torch.zeros(0)
        network.backbone.blocks.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        self._features = output

    def forward(self, animals: np.ndarray, flipped: np.ndarray) -> torch.Tensor:
        """Mean squared error of the batch that the network saw last; 1 is as good as not looking.

        Args:
            animals: number of each photograph's individual, int [N].
            flipped: bool [N]; the photograph was mirrored, so its coat is too.
        """
        wanted = self.pictures[torch.from_numpy(animals)]
        mirrored = torch.from_numpy(flipped)[:, None, None]
        wanted = torch.where(mirrored, wanted.flip(-1), wanted)
        cells = functional.adaptive_avg_pool2d(self.norm(self._features.float()), GRID)
        return (self.linear(cells.flatten(1)) - wanted.flatten(1)).pow(2).mean()
