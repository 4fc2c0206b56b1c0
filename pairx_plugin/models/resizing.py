"""Bilinear resizing to the last bit as hosts do it, without needing their OpenCV."""

from __future__ import annotations

import numpy as np

_ONE = 1 << 11  # OpenCV weighs neighbours in steps of 1/2048


def resize_pixels(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize (H, W, 3) uint8 to `size` = (height, width), bilinear, without antialiasing.

    The result is a new array, equal in every bit to ``cv2.resize(pixels, (width, height))``, which MiewID's
    preprocessing calls: the fixed-point steps and their truncations are the same. A float interpolation
        differs by
    one level in one value of eight, which would move embeddings away from the host's.

    Source: OpenCV's uint8 INTER_LINEAR path, compared with releases 4.7 and 5.0.
    """
    if pixels.shape[:2] == tuple(size):
        return np.array(pixels)
    top, bottom, weight_top, weight_bottom = _taps(pixels.shape[0], size[0])
    left, right, weight_left, weight_right = _taps(pixels.shape[1], size[1])
    # OpenCV drops the fraction for columns that reach over the border; rows keep theirs, and read the border
    # twice.
    outside = left == right
    weight_left = np.where(outside, _ONE, weight_left)[None, :, None]
    weight_right = np.where(outside, 0, weight_right)[None, :, None]

    def across(rows: np.ndarray) -> np.ndarray:
        neighbours = (pixels[np.ix_(rows, columns)].astype(np.int32) for columns in (left, right))
        return next(neighbours) * weight_left + next(neighbours) * weight_right

    upper = (weight_top[:, None, None] * (across(top) >> 4)) >> 16
    lower = (weight_bottom[:, None, None] * (across(bottom) >> 4)) >> 16
    return np.clip((upper + lower + 2) >> 2, 0, 255).astype(np.uint8)


def _taps(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each output cell, its two neighbours and their weights in units of 1/2048."""
    centres = ((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5).astype(np.float32)
    first = np.floor(centres).astype(np.int64)
    fraction = (centres - first).astype(np.float32)
    weight_first = np.rint((np.float32(1) - fraction) * np.float32(_ONE)).astype(np.int32)
    weight_second = np.rint(fraction * np.float32(_ONE)).astype(np.int32)
    return np.clip(first, 0, n_in - 1), np.clip(first + 1, 0, n_in - 1), weight_first, weight_second
