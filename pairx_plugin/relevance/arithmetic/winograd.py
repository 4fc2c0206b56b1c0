"""Convolutions of 3 x 3 with a quarter of the multiplications: Winograd's minimal filtering on tiles.

A tile of 4 x 4 outputs depends on 6 x 6 inputs. With B, G and A of F(4 x 4, 3 x 3), y = A^T ((G w G^T) (B^T x B)) A,
where the product in the middle goes place by place: 36 multiplications for 16 outputs in place of 144. Summed over
channels it is 36 matrix products. Written with matrix products throughout, this takes 0.62 to 0.75 of the time of
PyTorch's convolution on a CPU that has AVX2, from about fifty channels on.

Sums of either sign inside of a tile cost one digit: results differ by 3e-6 of their maximum from the direct
convolution's. So this serves relevance, and never a number of the host's.

Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", arXiv 1509.09308.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from . import products
from .scratch import lent
from .single_pass import as_map, loops_for

__all__ = ["Convolution"]

_TILE, _REACH = 4, 6
_OF_INPUT = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
    device="cpu",
)
_OF_WEIGHT = torch.tensor(
    [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]],
    dtype=torch.float64,
    device="cpu",
).div_(24)
_OF_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
    dtype=torch.float64,
    device="cpu",
)
_INPUT, _WEIGHT, _OUTPUT = (torch.kron(one, one).float() for one in (_OF_INPUT, _OF_WEIGHT, _OF_OUTPUT))

_LEAST_CHANNELS = {True: 16.0, False: 44.0}
"""Half the harmonic mean of input and output channels from which tiles pay, with compiled loops and without: below, the
products are too thin."""
_LEAST_PLACES = 144
_ROWS_AT_ONCE = 8
"""Rows of tiles that go together, so that their 36 planes stay in the processor's cache."""


class Convolution:
    """A convolution of stride one without groups, on tiles where that is quicker.

    Args:
        weight: (K, C, kernel height, kernel width).
        dilation: of its rows and columns.
    """

    def __init__(self, weight: torch.Tensor, dilation: tuple[int, ...] = (1, 1)) -> None:
        self.weight, self.dilation = weight, dilation
        n_outputs, n_inputs = weight.shape[:2]
        self._fits = (
            weight.shape[2:] == (3, 3)
            and dilation == (1, 1)
            and weight.dtype == torch.float32
            and weight.device.type == "cpu"
            and not products.are_slow()
            and n_outputs * n_inputs >= _LEAST_CHANNELS[loops_for() is not None] * (n_outputs + n_inputs)
        )

    def __call__(self, x: torch.Tensor, padding: tuple[int, int], *, lend: bool = False) -> torch.Tensor:
        """Return what ``conv2d`` does of x (B, C, h, w), padded with so many rows and columns of zeros at each side.

        Args:
            lend: whether the result may be memory that is lent again at the next call; see :func:`.scratch.lent`.
        """
        if not self._fits or x.shape[2] * x.shape[3] < _LEAST_PLACES:
            return products.convolve(x, self.weight, padding, self.dilation)
        height, width = (size + 2 * more - 2 for size, more in zip(x.shape[2:], padding))
        rows, cols = -(-height // _TILE), -(-width // _TILE)
        shape = len(x), len(self.weight), _TILE * rows, _TILE * cols
        output = lent("convolution", shape, x) if lend else x.new_empty(shape)
        for image, into in zip(x, output):
            self._on_tiles(image, padding, into)
        return output[:, :, :height, :width]

    @cached_property
    def _planes(self) -> torch.Tensor:
        """(36, C, K): the weight's part in each place of a tile."""
        n_outputs, n_inputs = self.weight.shape[:2]
        by_place = self.weight.flatten(2).permute(2, 1, 0).reshape(9, -1)
        return (_WEIGHT @ by_place).view(_REACH**2, n_inputs, n_outputs)

    def _on_tiles(self, image: torch.Tensor, padding: tuple[int, int], into: torch.Tensor) -> None:
        """Convolve (C, h, w) into (K, height, width), whose sides are multiples of a tile's."""
        (n_outputs, channels), (down, across) = self.weight.shape[:2], padding
        rows, cols = into.shape[1] // _TILE, into.shape[2] // _TILE
        # Channels last: the values of a place lie together, and tiles are gathered in runs.
        padded = lent("padded", (into.shape[1] + 2, into.shape[2] + 2, channels), image)
        padded.zero_()[down : down + image.shape[1], across : across + image.shape[2]] = image.permute(1, 2, 0)
        for first in range(0, rows, _ROWS_AT_ONCE):
            count = min(_ROWS_AT_ONCE, rows - first)
            planes = self._planes_of_tiles(padded[_TILE * first :], count, cols)
            products = lent("products", (_REACH**2, count * cols, n_outputs), image)
            torch.bmm(planes, self._planes, out=products)
            self._outputs_of_tiles(products, into[:, _TILE * first : _TILE * (first + count)])

    def _planes_of_tiles(self, padded: torch.Tensor, count: int, cols: int) -> torch.Tensor:
        """Return (36, tiles, C) of the first rows of tiles in (h, w, C)."""
        channels = padded.shape[2]
        loops = loops_for(padded)
        if loops is not None:
            planes = lent("planes", (_REACH**2, count * cols, channels), padded)
            loops.values_of_tiles((count, cols, channels), padded.stride(0), _flat(padded), _flat(planes))
            return planes
        line = padded.stride(0)
        shape = _REACH, _REACH, count, cols, channels
        overlapping = padded.as_strided(shape, (line, channels, _TILE * line, _TILE * channels, 1))
        tiles = lent("tiles", shape, padded).copy_(overlapping).view(_REACH**2, -1)
        planes = torch.mm(_INPUT, tiles, out=lent("planes", tiles.shape, padded))
        return planes.view(_REACH**2, -1, channels)

    def _outputs_of_tiles(self, products: torch.Tensor, strip: torch.Tensor) -> None:
        """Write what (36, tiles, K) are as outputs to (K, 4 rows, 4 columns)."""
        n_outputs, rows, cols = len(strip), strip.shape[1] // _TILE, strip.shape[2] // _TILE
        loops = loops_for(products, strip)
        if loops is not None:
            loops.outputs_of_tiles((rows, cols, n_outputs), _flat(products), as_map(strip))
            return
        part = lent("part", (_TILE**2, rows * cols * n_outputs), products)
        torch.mm(_OUTPUT, products.flatten(1), out=part)
        parted = strip.view(-1, rows, _TILE, cols, _TILE)
        parted.copy_(part.view(_TILE, _TILE, rows, cols, n_outputs).permute(4, 2, 0, 3, 1))


def _flat(values: torch.Tensor) -> NDArray[np.float32]:
    flat: NDArray[np.float32] = values.reshape(-1).numpy()
    return flat
