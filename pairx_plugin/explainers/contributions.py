"""What every pair of cells adds to a cosine, as arrays: maps, partners of a point, leading pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingsError
from ..evidence import Matches

__all__ = ["Contributions", "PAIRS"]

PAIRS = ("once", "mutual", "all")

_MOST = 500  # of pairs that repeat cells: there are as many as both grids multiplied

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contributions:
    """What every pair of cells adds to the cosine.

    Attributes:
        parts: (n, D) of both sides: what each cell gives to the embedding, row by row; see :mod:`.cell_parts`.
        lengths: of both embeddings.
        grids: (rows, cols) of both sides.
        similarity: the cosine of the embeddings, as the network gives them.
    """

    parts: tuple[Floats, Floats]
    lengths: tuple[float, float]
    grids: tuple[tuple[int, int], tuple[int, int]]
    similarity: float

    @property
    def table(self) -> Floats:
        """(n_0, n_1): each pair's contribution, <z_0, z_1> / (n_0 n_1 |e_0| |e_1|)."""
        scale = self.lengths[0] * self.lengths[1] * len(self.parts[0]) * len(self.parts[1])
        products: Floats = self.parts[0] @ self.parts[1].T
        return products / scale if scale > 0 else np.zeros_like(products)

    @property
    def residual(self) -> float:
        """What the cosine has beyond the sum of all contributions."""
        return self.similarity - float(self.table.sum())

    def overall(self, side: int) -> NDArray[np.float32]:
        """Return the (h, w) map of a side, signed: what each of its cells adds to the cosine with all of the other."""
        return self.table.sum(1 - side).reshape(self.grids[side]).astype(np.float32)

    def partner(self, point: tuple[float, float], side: int) -> NDArray[np.float32]:
        """Return the (h, w) map of the other side for a point (x, y) in shares of the chip of `side`, signed.

        Raises:
            SettingsError: the point lies outside of the chip, or the side is neither 0 nor 1.
        """
        x, y = (float(share) for share in point)
        if side not in (0, 1) or not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            raise SettingsError(
                f"the point is {point} on side {side}; give (x, y) as shares of the chip, each from 0 to 1, and side "
                f"0 for the query or 1 for the candidate"
            )
        rows, cols = self.grids[side]
        cell = min(int(y * rows), rows - 1) * cols + min(int(x * cols), cols - 1)
        table = self.table if side == 0 else self.table.T
        return table[cell].reshape(self.grids[1 - side]).astype(np.float32)

    def matches(self, rule: str) -> Matches:
        """Return the leading pairs of cells, those that add most first, and none that takes away.

        Their relevance is the contribution, in units of the cosine; their distance that of the two cells' parts.

        Args:
            rule: ``once``: the strongest pair, then the strongest of the cells that are left; ``mutual``: cells that
                are each other's strongest; ``all``: whatever is strongest, cells again and again, up to 500.
        """
        table = self.table
        cells_0, cells_1 = _PICK[rule](table)
        kept = table[cells_0, cells_1] > 0
        cells_0, cells_1 = cells_0[kept], cells_1[kept]
        apart = np.linalg.norm(self.parts[0][cells_0] - self.parts[1][cells_1], axis=1)
        return Matches(
            cells_0=_row_col(cells_0, self.grids[0]),
            cells_1=_row_col(cells_1, self.grids[1]),
            distance=apart.astype(np.float32),
            relevance=table[cells_0, cells_1],
        )


Cells = tuple[NDArray[np.intp], NDArray[np.intp]]


def _strongest(table: Floats) -> Cells:
    order = np.argsort(-table, axis=None, kind="stable")[:_MOST]
    cells_0, cells_1 = np.unravel_index(order, table.shape)
    return cells_0, cells_1


def _mutual(table: Floats) -> Cells:
    cells_0, cells_1 = np.arange(len(table)), table.argmax(1)
    kept = table.argmax(0)[cells_1] == cells_0
    cells_0, cells_1 = cells_0[kept], cells_1[kept]
    order = np.argsort(-table[cells_0, cells_1], kind="stable")
    return cells_0[order], cells_1[order]


def _each_once(table: Floats) -> Cells:
    left, chosen = table.copy(), []
    for _ in range(min(table.shape)):
        row, col = np.unravel_index(int(left.argmax()), left.shape)
        chosen.append((row, col))
        left[row], left[:, col] = -np.inf, -np.inf
    pairs = np.array(chosen, np.intp).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


_PICK = {"once": _each_once, "mutual": _mutual, "all": _strongest}


def _row_col(cells: NDArray[np.intp], grid: tuple[int, int]) -> NDArray[np.int32]:
    return np.stack(np.divmod(cells, grid[1]), axis=1).astype(np.int32)
