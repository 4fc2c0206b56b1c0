"""The learned mask: what has to be hidden, as little as possible of it, for the similarity to go.

Fong and Vedaldi 2017 (arXiv 1704.03296), as SANE uses it: Adam on a coarse mask, with a price on its area and on its
unevenness. Gradients are taken with respect to the mask alone. Both prices are shares of the similarity that there is
to lose, since cosines of networks differ in range: an area costs its share of the picture, so that only what counts for
more than its size is worth hiding. The public code's prices are absolute (0.01 and 0.2).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ..base import Stop
from .forward import Forward, Stopped

__all__ = ["learn_masks"]

_RATE = 0.1
_AREA = 1.0
_UNEVENNESS, _EXPONENT = 0.2, 3.0
_NOISE = 0.2
_LEAST_LOSS = 0.02  # of similarity: below, prices would be nothing, and the mask noise


def learn_masks(
    forward: Forward,
    tensors: torch.Tensor,
    fills: torch.Tensor,
    embeddings: torch.Tensor,
    *,
    paired: bool,
    cells: int,
    steps: int,
    seed: int,
    stop: Stop,
) -> NDArray[np.float32]:
    """Learn what to hide in either picture of a pair.

    Args:
        tensors: (2, 3, H, W), query and candidate.
        fills: (2, 3, H, W), what shows where they are hidden.
        embeddings: (2, D), of the unmasked pictures, of length one.
        paired: learn both masks together, against each other; else each against the other picture as it is.
        cells: of a mask on each axis.
        steps: of the descent.
        seed: of the noise on the masks, which keeps them from finding a picture that fools the network.
        stop: asked before every step.

    Returns:
        (2, cells, cells) float32 in [0, 1]: how far a place had to be hidden.

    Raises:
        Stopped: `stop` said so.
    """
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones((2, 1, cells, cells), device=tensors.device, requires_grad=True)
    with torch.inference_mode(False), torch.enable_grad():
        optimiser = torch.optim.Adam([mask], lr=_RATE)
        price = _price(forward, fills, embeddings)
        for _ in range(steps):
            if stop.reached():
                raise Stopped
            noise = torch.randn((2, 1, cells, cells), generator=generator).to(mask.device) * _NOISE
            shown = functional.interpolate((mask + noise).clamp(0, 1), tensors.shape[2:], mode="bilinear")
            masked = forward.run((fills + (tensors - fills) * shown).to(tensors.dtype))
            loss = _similarity(masked, embeddings, paired) + price * _regularity(mask)
            (mask.grad,) = torch.autograd.grad(loss, mask)
            optimiser.step()
            with torch.no_grad():
                mask.clamp_(0, 1)
    hidden: NDArray[np.float32] = (1 - mask.detach())[:, 0].float().cpu().numpy()
    return hidden


def _price(forward: Forward, fills: torch.Tensor, embeddings: torch.Tensor) -> float:
    """Return the similarity that hiding everything takes away, on average over the sides."""
    with torch.no_grad():
        hidden = forward.run(fills)
        lost = embeddings[0] @ embeddings[1] - (hidden * embeddings.flip(0)).sum(1).mean()
    return max(float(lost), _LEAST_LOSS)


def _similarity(masked: torch.Tensor, embeddings: torch.Tensor, paired: bool) -> torch.Tensor:
    """Return the cosines to be brought down, summed over the sides."""
    others = masked.flip(0) if paired else embeddings.flip(0)
    return (masked * others).sum()


def _regularity(mask: torch.Tensor) -> torch.Tensor:
    """Return the area and the unevenness of what is hidden, summed over the sides."""
    area = (1 - mask).mean((1, 2, 3)).sum()
    steps = [mask.diff(dim=axis).abs().pow(_EXPONENT).mean((1, 2, 3)).sum() for axis in (2, 3)]
    return _AREA * area + _UNEVENNESS * (steps[0] + steps[1])
