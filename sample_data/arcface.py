"""Additive angular margin loss (ArcFace), used in training only and never saved with the network.

Two sets of class directions are compared with: learnt ones, as in the paper, and the mean directions of the
other photographs in the batch, which give a network that starts from nothing something to hold on to from
the first step.

Source: Deng et al., ArcFace: Additive Angular Margin Loss for Deep Face Recognition, equation 3.
"""

from __future__ import annotations

import math
from typing import Optional

import torch
from torch import nn
from torch.nn import functional


def angular_margin_loss(
    cosine: torch.Tensor, labels: torch.Tensor, margin: float, scale: float
) -> torch.Tensor:
    """Mean cross-entropy of scaled cosines [N, classes], the angle to the true class enlarged by `margin`
    radians."""
    true = cosine.gather(1, labels[:, None]).clamp(-1 + 1e-6, 1 - 1e-6)
    shifted = true * math.cos(margin) - torch.sqrt(1 - true * true) * math.sin(margin)
    # Beyond pi - margin the cosine would rise again; a straight line keeps the loss monotone there.
    shifted = torch.where(true > math.cos(math.pi - margin), shifted, true - margin * math.sin(margin))
    return functional.cross_entropy(cosine.scatter(1, labels[:, None], shifted) * scale, labels)


class ArcFace(nn.Module):
    """One learnt direction per class.

    Args:
        width: length of an embedding.
        classes: number of classes.
        scale: factor on the cosines.
    """

    def __init__(self, width: int, classes: int, scale: float = 16.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, width) * 0.5)
        self.scale = scale

    def forward(self, embeddings: torch.Tensor, labels: torch.Tensor, margin: float) -> torch.Tensor:
        """Mean loss of a batch: embeddings float32 [N, D], labels int64 [N], margin in radians."""
        cosine = functional.linear(functional.normalize(embeddings), functional.normalize(self.weight))
        return angular_margin_loss(cosine, labels, margin, self.scale)


def mean_directions(embeddings: torch.Tensor, group: int) -> torch.Tensor:
    """Unit mean direction of each run of `group` embeddings: [N, D] -> [N / group, D]."""
    unit = functional.normalize(embeddings)
    return functional.normalize(unit.view(-1, group, unit.shape[1]).sum(1))


def batch_loss(
    embeddings: torch.Tensor,
    group: int,
    margin: float,
    scale: float = 16.0,
    others: Optional[torch.Tensor] = None,
) -> torch.Tensor:
    """Angular margin loss against the mean directions of the batch itself.

    Args:
        embeddings: float32 [N, D]; each run of `group` rows is one individual.
        group: photographs of each individual, at least 2.
        margin, scale: as for `ArcFace`.
        others: mean directions [M, D] of further individuals, as additional wrong answers.
    """
    unit = functional.normalize(embeddings)
    sums = unit.view(-1, group, unit.shape[1]).sum(1)
    labels = torch.arange(len(sums)).repeat_interleave(group)
    cosine = unit @ functional.normalize(sums).T
    without_self = functional.normalize(sums[labels] - unit)
    cosine = cosine.scatter(1, labels[:, None], (unit * without_self).sum(1, keepdim=True))
    if others is not None:
        cosine = torch.cat([cosine, unit @ others.T], 1)
    return angular_margin_loss(cosine, labels, margin, scale)
