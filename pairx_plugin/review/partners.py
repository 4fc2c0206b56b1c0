"""Partners of places: what every pair of cells adds to the similarity, for explainers that can say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..chips import Chip
from ..errors import SettingsError
from ..rendering.colour_maps import robust_maximum

__all__ = ["PairingSession", "Partners", "partners_of"]

Grid = tuple[int, int]


@runtime_checkable
class PairingSession(Protocol):
    """A session that knows what each pair of cells adds; that of the explainer ``point_to_point`` is one."""

    def contributions(self, candidate: Chip) -> Any:
        """Return an object with `table` (n_0, n_1), signed, and `grids`, (rows, cols) of both sides."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Partners:
    """What every pair of cells adds to the similarity, or takes from it.

    Attributes:
        table: (n_0, n_1) float32; cells row by row.
        grids: (rows, cols) of the query's and of the candidate's cells.
    """

    table: NDArray[np.float32]
    grids: tuple[Grid, Grid]

    @property
    def n_bytes(self) -> int:
        """How much memory they take."""
        return int(self.table.nbytes)

    def row(self, side: int, row: int, col: int) -> NDArray[np.float32]:
        """Return the (h, w) map of the other side for one cell of `side`, signed.

        Raises:
            SettingsError: there is no such cell.
        """
        rows, cols = self.grids[side]
        if not (0 <= row < rows and 0 <= col < cols):
            raise SettingsError(f"there is no cell ({row}, {col}) in a grid of {rows} x {cols}")
        table = self.table if side == 0 else self.table.T
        return table[row * cols + col].reshape(self.grids[1 - side])

    def peak(self, side: int, row: int, col: int) -> tuple[int, int] | None:
        """Return the (row, col) of the other side that adds most together with a cell; None where none adds."""
        values = self.row(side, row, col)
        best = int(values.argmax())
        found = divmod(best, values.shape[1])
        return (found[0], found[1]) if values.flat[best] > 0 else None

    def scale(self) -> float:
        """Return the magnitude that full colour stands for: one for all cells, so that they can be compared."""
        return robust_maximum(self.table)


def partners_of(session: object, candidate: Chip) -> Partners | None:
    """Return the partners that a session knows of a candidate that it has explained; None where it knows none."""
    if not isinstance(session, PairingSession):
        return None
    found = session.contributions(candidate)
    grids: Sequence[Grid] = found.grids
    return Partners(
        table=np.ascontiguousarray(found.table, np.float32),
        grids=((int(grids[0][0]), int(grids[0][1])), (int(grids[1][0]), int(grids[1][1]))),
    )
