"""Matrix products, by convolutions where the library of products is slow.

PyTorch takes products from MKL, and convolutions from oneDNN. MKL before 2021 leaves the vector units of AMD's
processors half idle: the one in PyTorch 1.13.1 (2020.0) does 12 to 17 G multiply-adds a second on a core of an EPYC
where oneDNN does 38 to 43 (the shapes of efficientnetv2_rw_m). With MKL 2024.2 both are at 43 to 47.
"""

from __future__ import annotations

import platform
import re
from functools import lru_cache
from pathlib import Path

import torch
from torch.nn import functional as F

__all__ = ["are_slow", "convolve"]

_FIRST_FAST = (2021, 0)


@lru_cache(maxsize=1)
def are_slow() -> bool:
    """Return whether products on this machine's CPU are better written as convolutions."""
    found = re.search(r"Math Kernel Library Version (\d+)\.(\d+)", torch.__config__.show())
    is_old = found is not None and (int(found[1]), int(found[2])) < _FIRST_FAST
    return is_old and "AuthenticAMD" in _processor() and torch.backends.mkldnn.is_available()


def convolve(
    x: torch.Tensor, weight: torch.Tensor, padding: tuple[int, int] = (0, 0), dilation: tuple[int, ...] = (1, 1)
) -> torch.Tensor:
    """Return what ``conv2d`` does of x (B, C, h, w) and weight (K, C, k, l), by oneDNN where products are slow.

    PyTorch itself turns to products on a single thread, which is what lanes have.
    """
    on_cpu = x.device.type == "cpu" and x.dtype == torch.float32 and x.numel() > 0
    if on_cpu and are_slow():
        found: torch.Tensor = torch.mkldnn_convolution(x, weight, None, padding, (1, 1), dilation, 1)
        return found
    return F.conv2d(x, weight, None, 1, padding, dilation)


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return platform.processor()
