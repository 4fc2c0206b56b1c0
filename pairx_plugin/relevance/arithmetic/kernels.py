"""Inner loops of the engine, compiled by numba; :mod:`.single_pass` says when they serve, and what does without them.

Each does in one pass over memory what takes PyTorch four to nine. Maps of many channels do not fit a processor's cache,
so that such steps cost their passes, not their operations.

A map (C, h, w), which may be a part of a larger one, is given as its values from the first to the last, and the
distances between its channels and between its rows. Types are given too: each loop is compiled once, as this module is
imported, and is found on disk from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, int64, njit, types, void
from numpy.typing import NDArray

__all__ = ["add_magnitudes", "by_sign", "depthwise", "outputs_of_tiles", "values_of_tiles"]

Values = NDArray[np.float32]
Map = tuple[Values, int, int]
Size = tuple[int, int, int]
Place = tuple[int, int]

_VALUES = float32[::1]
_MAP = types.Tuple((_VALUES, int64, int64))
_SIZE, _PLACE = types.UniTuple(int64, 3), types.UniTuple(int64, 2)

_ZERO, _TWO, _FOUR, _FIVE, _EIGHT = (np.float32(n) for n in (0, 2, 4, 5, 8))


def _compiled(*arguments: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that compiles a loop for these arguments; it lets go of Python's lock while it runs."""

    def compiled(loop: Callable[..., None]) -> Callable[..., None]:
        options: dict[str, Any] = {"nogil": True, "fastmath": {"contract", "reassoc"}}
        try:
            fast: Callable[..., None] = njit(void(*arguments), cache=True, **options)(loop)
        except RuntimeError:  # there is no folder to keep it in
            fast = njit(void(*arguments), **options)(loop)
        return fast

    return compiled


@_compiled(_SIZE, _MAP, _MAP, _MAP, _MAP)
def by_sign(size: Size, up: Map, down: Map, x: Map, out: Map) -> None:
    """Write ``out = x^+ up + x^- down``."""
    channels, height, width = size
    for c in range(channels):
        for i in range(height):
            raised, lowered = up[0][c * up[1] + i * up[2] :][:width], down[0][c * down[1] + i * down[2] :][:width]
            here, into = x[0][c * x[1] + i * x[2] :][:width], out[0][c * out[1] + i * out[2] :][:width]
            for j in range(width):
                into[j] = raised[j] * max(here[j], _ZERO) + lowered[j] * min(here[j], _ZERO)


@_compiled(_SIZE, _MAP, _VALUES, _VALUES)
def add_magnitudes(size: Size, values: Map, by_row: Values, by_column: Values) -> None:
    """Add the magnitudes of a map to one number for each of its rows and one for each of its columns."""
    channels, height, width = size
    for c in range(channels):
        for i in range(height):
            here = values[0][c * values[1] + i * values[2] :][:width]
            total = _ZERO
            for j in range(width):
                total += abs(here[j])
                by_column[j] += abs(here[j])
            by_row[i] += total


@_compiled(int64, _VALUES, _VALUES, int64, _VALUES, _VALUES)
def _add_row_of_taps(width: int, taps: Values, line: Values, size: int, raised: Values, lowered: Values) -> None:
    """Add the products of one row of a kernel, three taps at a time: of positive taps to one sum, of others to another.

    Args:
        width: how many taps there are, filled up with zeros to a multiple of three.
        line: rows of the map one after another, from the first tap's on.
    """
    for first in range(0, width, 3):
        a, b, c = taps[first], taps[first + 1], taps[first + 2]
        a_up, b_up, c_up = max(a, _ZERO), max(b, _ZERO), max(c, _ZERO)
        a_down, b_down, c_down = min(a, _ZERO), min(b, _ZERO), min(c, _ZERO)
        left, middle, right = line[first:][:size], line[first + 1 :][:size], line[first + 2 :][:size]
        for place in range(size):
            x, y, z = left[place], middle[place], right[place]
            raised[place] += a_up * x + b_up * y + c_up * z
            lowered[place] += a_down * x + b_down * y + c_down * z


@_compiled(int64, _VALUES, _VALUES, _VALUES, int64, _VALUES)
def _add_raising_row(width: int, taps: Values, above: Values, below: Values, size: int, raised: Values) -> None:
    """Add what one row of a kernel raises outputs by, of inputs `above` and `below` zero, which are zero elsewhere."""
    for first in range(0, width, 3):
        a, b, c = taps[first], taps[first + 1], taps[first + 2]
        left = (above if a > 0 else below)[first:][:size]
        middle = (above if b > 0 else below)[first + 1 :][:size]
        right = (above if c > 0 else below)[first + 2 :][:size]
        for place in range(size):
            raised[place] += a * left[place] + b * middle[place] + c * right[place]


@_compiled(_SIZE, _PLACE, _MAP, _SIZE, _PLACE, _MAP, float32[:, :, ::1], _VALUES, _SIZE, _PLACE, _MAP)
def depthwise(
    upper: Size,
    upper_corner: Place,
    relevance: Map,
    whole: Size,
    padding: Place,
    x: Map,
    weight: NDArray[np.float32],
    raised_by_bias: Values,
    lower: Size,
    lower_corner: Place,
    out: Map,
) -> None:
    """Carry relevance through a convolution of single channels by z-plus, denominators included.

    Args:
        upper, upper_corner, relevance: what comes down: (C, h, w), where it lies on the map of outputs, and its values.
        whole, padding, x: (C, H, W) of the whole input, zeros above and left of it, and its values.
        weight: (C, k, l).
        raised_by_bias: (C,) what is added to each denominator, above zero.
        lower, lower_corner, out: what is wanted: (C, h, w), where it lies on the map of inputs, and where it goes.
    """
    channels, n_rows, n_cols = upper
    rows, cols = weight.shape[1], weight.shape[2]
    filled = -(-cols // 3) * 3
    taps = np.zeros(filled, np.float32)
    # Of the inputs, the window that the outputs see; of the shares, with as many zeros around as a kernel reaches.
    line, wide = n_cols + cols - 1, n_cols + 2 * (cols - 1)
    above = np.zeros((n_rows + rows - 1) * line + filled, np.float32)
    below, shares = np.zeros_like(above), np.zeros((n_rows + 2 * (rows - 1)) * wide + filled, np.float32)
    top, left = upper_corner[0] - padding[0], upper_corner[1] - padding[1]
    first_row, last_row = max(0, -top), min(n_rows + rows - 1, whole[1] - top)
    first_col, last_col = max(0, -left), min(line, whole[2] - left)
    n_seen = (n_rows - 1) * line + n_cols
    denominator = np.empty(n_seen, np.float32)
    height, width = lower[1], lower[2]
    from_row, from_col = lower_corner[0] - top, lower_corner[1] - left
    n_wanted = (height - 1) * wide + width
    raised, lowered = np.empty(n_wanted, np.float32), np.empty(n_wanted, np.float32)
    for c in range(channels):
        for i in range(first_row, last_row):
            here = x[0][c * x[1] + (top + i) * x[2] + left + first_col :][: last_col - first_col]
            over, under = above[i * line + first_col :][: len(here)], below[i * line + first_col :][: len(here)]
            for j in range(len(here)):
                over[j], under[j] = max(here[j], _ZERO), min(here[j], _ZERO)
        denominator[:] = raised_by_bias[c]
        for row in range(rows):
            taps[:cols] = weight[c, row]
            _add_raising_row(filled, taps, above[row * line :], below[row * line :], n_seen, denominator)
        for i in range(n_rows):
            into = shares[(i + rows - 1) * wide + cols - 1 :][:n_cols]
            some, all_ = relevance[0][c * relevance[1] + i * relevance[2] :][:n_cols], denominator[i * line :][:n_cols]
            for j in range(n_cols):
                into[j] = some[j] / all_[j]
        raised[:] = _ZERO
        lowered[:] = _ZERO
        for row in range(rows):
            taps[:cols] = weight[c, rows - 1 - row, ::-1]
            _add_row_of_taps(filled, taps, shares[(from_row + row) * wide + from_col :], n_wanted, raised, lowered)
        for i in range(height):
            some, rest = raised[i * wide :][:width], lowered[i * wide :][:width]
            into, place = out[0][c * out[1] + i * out[2] :], (from_row + i) * line + from_col
            over, under = above[place:][:width], below[place:][:width]
            for j in range(width):
                into[j] = some[j] * over[j] + rest[j] * under[j]


@_compiled(_VALUES, int64, int64, _VALUES, int64, int64, int64)
def _change_inputs(values: Values, first: int, step: int, out: Values, into: int, apart: int, channels: int) -> None:
    """Write B^T x of F(4 x 4, 3 x 3) for six values of each channel, `step` apart, to places `apart`."""
    x_0, x_1, x_2 = values[first:][:channels], values[first + step :][:channels], values[first + 2 * step :][:channels]
    x_3, x_4 = values[first + 3 * step :][:channels], values[first + 4 * step :][:channels]
    x_5 = values[first + 5 * step :][:channels]
    y_0, y_1, y_2 = out[into:][:channels], out[into + apart :][:channels], out[into + 2 * apart :][:channels]
    y_3, y_4 = out[into + 3 * apart :][:channels], out[into + 4 * apart :][:channels]
    y_5 = out[into + 5 * apart :][:channels]
    for c in range(channels):
        a, b, d, e, f, g = x_0[c], x_1[c], x_2[c], x_3[c], x_4[c], x_5[c]
        even, odd, slow, steep = f - _FOUR * d, e - _FOUR * b, f - d, _TWO * (e - b)
        y_0[c] = _FOUR * a - _FIVE * d + f
        y_1[c] = even + odd
        y_2[c] = even - odd
        y_3[c] = slow + steep
        y_4[c] = slow - steep
        y_5[c] = _FOUR * b - _FIVE * e + g


@_compiled(_SIZE, int64, _VALUES, _VALUES)
def values_of_tiles(size: Size, line: int, image: Values, planes: Values) -> None:
    """Write the values of overlapping 6 x 6 tiles in the basis where a convolution of 3 x 3 is a product.

    Args:
        size: (rows of tiles, columns of tiles, C).
        line: distance between rows of the image.
        image: (4 rows + 2, 4 columns + 2, C).
        planes: (36, tiles, C), written.
    """
    rows, cols, channels = size
    plane = rows * cols * channels
    halfway = np.empty(36 * channels, np.float32)
    for row in range(rows):
        for col in range(cols):
            corner = 4 * row * line + 4 * col * channels
            for j in range(6):
                _change_inputs(image, corner + j * channels, line, halfway, j * channels, 6 * channels, channels)
            tile = (row * cols + col) * channels
            for i in range(6):
                _change_inputs(halfway, 6 * i * channels, channels, planes, 6 * i * plane + tile, plane, channels)


@_compiled(_SIZE, _VALUES, _MAP)
def outputs_of_tiles(size: Size, products: Values, out: Map) -> None:
    """Write the 4 x 4 outputs of each tile, A^T y A of F(4 x 4, 3 x 3).

    Args:
        size: (rows of tiles, columns of tiles, K).
        products: (36, tiles, K).
        out: (K, 4 rows, 4 columns), written.
    """
    rows, cols, channels = size
    plane = rows * cols * channels
    halfway = np.empty((4, 6, channels), np.float32)
    for row in range(rows):
        for col in range(cols):
            tile = (row * cols + col) * channels
            for j in range(6):
                here, apart = j * plane + tile, 6 * plane
                y_0, y_1 = products[here:][:channels], products[here + apart :][:channels]
                y_2, y_3 = products[here + 2 * apart :][:channels], products[here + 3 * apart :][:channels]
                y_4, y_5 = products[here + 4 * apart :][:channels], products[here + 5 * apart :][:channels]
                for c in range(channels):
                    even, odd, slow, steep = y_1[c] + y_2[c], y_1[c] - y_2[c], y_3[c] + y_4[c], y_3[c] - y_4[c]
                    halfway[0, j, c] = y_0[c] + even + slow
                    halfway[1, j, c] = odd + _TWO * steep
                    halfway[2, j, c] = even + _FOUR * slow
                    halfway[3, j, c] = odd + _EIGHT * steep + y_5[c]
            for i in range(4):
                into = out[0][(4 * row + i) * out[2] + 4 * col :]
                for c in range(channels):
                    a, b, d, e = halfway[i, 0, c], halfway[i, 1, c], halfway[i, 2, c], halfway[i, 3, c]
                    f, g = halfway[i, 4, c], halfway[i, 5, c]
                    even, odd, slow, steep = b + d, b - d, e + f, e - f
                    place = c * out[1]
                    into[place] = a + even + slow
                    into[place + 1] = odd + _TWO * steep
                    into[place + 2] = even + _FOUR * slow
                    into[place + 3] = odd + _EIGHT * steep + g
