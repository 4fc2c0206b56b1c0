"""Where an animal is in its photograph, as text: run lengths in COCO's packed form, exact to the pixel.

Runs go down the columns, one after the other, beside the animal first. Every run is written in groups of five bits,
the lowest first, from the fourth on as the change from the run before the last.

Source: the COCO data format (cocodataset.org/#format-data) and its packed run lengths (cocoapi:common/maskApi.c).
"""

from __future__ import annotations

import json
from typing import List, Sequence

import numpy as np

__all__ = ["outline_text", "packed", "run_lengths"]

_BASE, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10


def outline_text(mask: np.ndarray) -> str:
    """A mask as JSON text for a cell of a CSV file: `{"size": [height, width], "counts": "..."}`.

    Args:
        mask: bool [H, W].
    """
    height, width = mask.shape
    return json.dumps({"size": [height, width], "counts": packed(run_lengths(mask))}, separators=(",", ":"))


def run_lengths(mask: np.ndarray) -> List[int]:
    """So many pixels beside the animal, so many on it, and so on in turn, down the columns; the first may be 0.

    >>> run_lengths(np.array([[0, 1], [0, 1]], bool)), run_lengths(np.array([[1, 0]], bool))
    ([2, 2], [0, 1, 1])
    """
    flat = np.asarray(mask, bool).T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def packed(runs: Sequence[int]) -> str:
    """Run lengths as COCO's text.

    >>> packed([6, 1, 40, 4, 5, 4, 5, 4, 21])
    '61X13mN000`0'
    """
    text = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        more = True
        while more:
            bits = value & (_MORE - 1)
            value >>= _BITS
            more = value != (-1 if bits & _SIGN else 0)
            text.append(chr(_BASE + (bits | _MORE if more else bits)))
    return "".join(text)
