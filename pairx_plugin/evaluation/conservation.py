"""Whether relevance is conserved on its way down the network.

Source: Bach et al., PLoS ONE 2015, for the principle; section 4.4 of the evaluation protocol for the two figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["conservation_error", "inflation"]


def conservation_error(relevance: ArrayLike, similarity: float) -> float | None:
    """Return ``|sum R - cos| / |cos|`` of signed relevance; None where the cosine is 0.

    >>> round(conservation_error([[0.5, -0.1], [0.2, 0.0]], 0.5), 12)
    0.2
    """
    if similarity == 0.0:
        return None
    return float(abs(np.asarray(relevance, np.float64).sum() - similarity) / abs(similarity))


def inflation(relevance: ArrayLike, top: ArrayLike) -> float | None:
    """Return ``sum|R| / sum|R_top|``: by how much magnitudes grew below the top layer; None where the top is all zero.

    >>> inflation([[2.0, -2.0]], [[0.5, 0.5]])
    4.0
    """
    above = float(np.abs(np.asarray(top, np.float64)).sum())
    return float(np.abs(np.asarray(relevance, np.float64)).sum()) / above if above > 0.0 else None
