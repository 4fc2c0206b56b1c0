"""What stands where a picture is hidden."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from ...errors import SettingsError

__all__ = ["BLUR_SHARE", "filled"]

BLUR_SHARE = 1 / 20
"""Standard deviation of the blur, as a share of the picture's longer side: 22 px at 440, where stripes are gone."""


def filled(tensor: torch.Tensor, fill: str) -> torch.Tensor:
    """Return the picture that shows where another is hidden.

    Args:
        tensor: (1, 3, H, W), normalised as the network reads it.
        fill: ``blur`` (Gaussian, edges repeated), ``mean`` (of each channel) or ``zero``, which is what the public code
            fills with, and which a network has seldom seen.

    Returns:
        (1, 3, H, W), of the same dtype and device.
    """
    if fill == "blur":
        return blurred(tensor, max(tensor.shape[2:]) * BLUR_SHARE)
    if fill == "mean":
        return tensor.mean((2, 3), keepdim=True).expand_as(tensor)
    if fill == "zero":
        return torch.zeros_like(tensor)
    raise SettingsError(f"fill {fill!r} is unknown; choose blur, mean or zero")


def blurred(tensor: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return (N, C, H, W) blurred by a Gaussian of `sigma` pixels, cut off at three of them."""
    radius = max(1, math.ceil(3 * sigma))
    places = torch.arange(-radius, radius + 1, dtype=torch.float32, device=tensor.device)
    kernel = torch.exp(-places.square() / (2 * sigma * sigma))
    kernel = (kernel / kernel.sum()).to(tensor.dtype)
    n, channels = tensor.shape[:2]
    flat = tensor.reshape(n * channels, 1, *tensor.shape[2:])
    flat = functional.conv2d(functional.pad(flat, (radius, radius, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    flat = functional.conv2d(functional.pad(flat, (0, 0, radius, radius), mode="replicate"), kernel.view(1, 1, -1, 1))
    return flat.reshape(tensor.shape)
