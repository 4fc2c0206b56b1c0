"""What an explainer found, as NumPy arrays: the border where tensors end.

A *cell* is (row, col) of a layer's feature map. A *point* is (x, y) in pixels of the network's input, origin at the
top left corner, so cell (row, col) sits at ((col + 0.5) * step_x, (row + 0.5) * step_y). Shares of the chip, which
records carry, are points divided by the input's size and hold for the chip at any scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EvidenceError
from .plausibility import Plausibility

__all__ = ["AttributeEvidence", "Doubt", "LayerEvidence", "Matches", "PairEvidence", "cell_points"]

Size = tuple[int, int]


def cell_points(cells: NDArray[Any], grid: Size, size: Size) -> NDArray[np.float32]:
    """Return the centres of feature-map cells as points of the input.

    Args:
        cells: (n, 2) integers, (row, col).
        grid: (rows, cols) of the feature map.
        size: (height, width) in pixels of the picture that the points shall lie in.

    Returns:
        (n, 2) float32, (x, y).

    >>> cell_points(np.array([[0, 1]]), (2, 4), (20, 40)).tolist()
    [[15.0, 5.0]]
    """
    rows, cols = grid
    height, width = size
    points = np.empty((len(cells), 2), np.float32)
    points[:, 0] = (cells[:, 1] + 0.5) * (width / cols)
    points[:, 1] = (cells[:, 0] + 0.5) * (height / rows)
    return points


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """Something to know before believing the evidence: a stable code, a sentence, values for translation."""

    code: str
    message: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "values": dict(self.values)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """Mutual nearest neighbours of two feature maps, most relevant first.

    Attributes:
        cells_0, cells_1: (n, 2) int32, (row, col) in the query's and the candidate's feature map.
        distance: (n,) float32 >= 0, L2 distance of the two descriptors.
        relevance: (n,) float64, product of the two cells' relevances; arbitrary unit, not comparable between pairs.
    """

    cells_0: NDArray[np.int32]
    cells_1: NDArray[np.int32]
    distance: NDArray[np.float32]
    relevance: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.distance)
        if self.cells_0.shape != (n, 2) or self.cells_1.shape != (n, 2) or self.relevance.shape != (n,):
            raise EvidenceError(
                f"matches need arrays of one length: cells_0 {self.cells_0.shape}, cells_1 {self.cells_1.shape}, "
                f"distance {self.distance.shape}, relevance {self.relevance.shape}; want (n, 2), (n, 2), (n,), (n,)"
            )
        if n and not np.isfinite(self.relevance).all():
            raise EvidenceError("a match's relevance is not finite; the network's relevance overflowed at this layer")
        if n > 1 and (np.diff(self.relevance) > 0).any():
            raise EvidenceError("matches must be sorted by relevance, most relevant first")

    def __len__(self) -> int:
        return len(self.distance)

    def leading(self, k: int) -> Matches:
        """Return the `k` most relevant matches, or all where there are fewer."""
        return Matches(
            cells_0=self.cells_0[:k], cells_1=self.cells_1[:k], distance=self.distance[:k], relevance=self.relevance[:k]
        )

    def shares(self) -> NDArray[np.float32]:
        """Return (n,) each match's share of the relevance of all mutual matches; zeros where there is none.

        Meant for all matches of a layer: the shares of :meth:`leading` matches would be shares of those alone.
        """
        total = float(np.abs(self.relevance).sum(dtype=np.float64))
        return (self.relevance / total).astype(np.float32) if total > 0 else np.zeros(len(self), np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerEvidence:
    """One layer's evidence for one pair.

    Attributes:
        layer_key: name of the module in the host's network.
        relevance_0, relevance_1: (h, w) float32, relevance of the similarity at the layer, channels reduced;
            unnormalised; >= 0 unless the explainer keeps signs. Explainers without matches put their map here.
        matches: all mutual matches, most relevant first; empty for explainers that have none.
        pixels_0, pixels_1: (k, H, W) float32 at the network's input size: map i shows the pixels behind one end of
            match i, unnormalised; >= 0 unless the explainer keeps signs. k is at most `k_colors` and never above the
            number of matches.
        cut_off_0, cut_off_1: (k,) float32, a bound on the share of each pixel map's relevance that was left out far
            from its cell to save time; None where nothing was.
        plausibility: figures about the matches, or None where the explainer has no matches.
        k_lines: how many matches were asked for as lines.
    """

    layer_key: str
    relevance_0: NDArray[np.float32]
    relevance_1: NDArray[np.float32]
    matches: Matches
    pixels_0: NDArray[np.float32]
    pixels_1: NDArray[np.float32]
    cut_off_0: NDArray[np.float32] | None = None
    cut_off_1: NDArray[np.float32] | None = None
    plausibility: Plausibility | None = None
    k_lines: int = 20

    def __post_init__(self) -> None:
        for side, relevance in enumerate((self.relevance_0, self.relevance_1)):
            if relevance.ndim != 2 or not np.isfinite(relevance).all():
                raise EvidenceError(
                    f"relevance_{side} of layer '{self.layer_key}' must be a finite (h, w) array, "
                    f"not {relevance.shape} with {int((~np.isfinite(relevance)).sum())} values not finite"
                )
        if len(self.pixels_0) != len(self.pixels_1) or len(self.pixels_0) > len(self.matches):
            raise EvidenceError(
                f"pixel maps must come in pairs, one per leading match: {len(self.pixels_0)} and {len(self.pixels_1)} "
                f"for {len(self.matches)} matches of layer '{self.layer_key}'"
            )

    @property
    def grid_0(self) -> Size:
        """(rows, cols) of the query's feature map."""
        rows, cols = self.relevance_0.shape
        return int(rows), int(cols)

    @property
    def grid_1(self) -> Size:
        """(rows, cols) of the candidate's feature map."""
        rows, cols = self.relevance_1.shape
        return int(rows), int(cols)

    @property
    def lines(self) -> Matches:
        """The matches to draw: the `k_lines` most relevant."""
        return self.matches.leading(self.k_lines)

    def line_points(self, size_0: Size, size_1: Size) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return both ends of :attr:`lines` as (n, 2) points (x, y) in pictures of these (height, width)."""
        lines = self.lines
        return cell_points(lines.cells_0, self.grid_0, size_0), cell_points(lines.cells_1, self.grid_1, size_1)


@dataclass(frozen=True, kw_only=True, eq=False)
class AttributeEvidence:
    """A named attribute that explains why two chips are similar, or why they differ, with all terms of its score.

    Attributes:
        name: what the attribute head calls it, such as ``scar``.
        group: ``pattern``, ``mark``, ``part``, ``viewpoint`` or ``nuisance``.
        kind: ``same`` where both sides show it, ``different`` where one side alone does.
        side: 0 or 1, which side shows it; for ``different`` alone.
        confidence: in [0, 1]; of ``same`` the smaller of both sides' probabilities, of ``different`` the probability
            that `side` shows it times the one that the other does not.
        overlap: in [0, 1], how far the places that show it are the places that count in the similarity (for
            ``different``: that count against it).
        prior: in [0, 1], how far the attribute is known to move this network's similarity, times how much it tells of
            the individual.
        score: the weighted sum of the three, by which attributes are put in order.
        map_0, map_1: (h, w) float32, the attribute's activation over the query and the candidate; None where the side
            has none. The spatial mean is the uncalibrated score of the side.
    """

    name: str
    group: str
    kind: str
    confidence: float
    overlap: float
    prior: float
    score: float
    side: int | None = None
    map_0: NDArray[np.float32] | None = None
    map_1: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("same", "different") or (self.kind == "different") != (self.side in (0, 1)):
            raise EvidenceError(
                f"attribute '{self.name}' is of kind {self.kind!r} with side {self.side!r}; give kind 'same' without a "
                f"side, or kind 'different' with side 0 or 1"
            )
        for term in ("confidence", "overlap", "prior"):
            if not 0.0 <= getattr(self, term) <= 1.0:
                raise EvidenceError(f"{term} of attribute '{self.name}' must lie in [0, 1], not {getattr(self, term)}")
        maps = [values for values in (self.map_0, self.map_1) if values is not None]
        if not np.isfinite(self.score) or any(item.ndim != 2 or not np.isfinite(item).all() for item in maps):
            raise EvidenceError(f"score and maps of attribute '{self.name}' must be finite, the maps of shape (h, w)")

    def peak(self, side: int) -> tuple[float, float] | None:
        """Return where the attribute is strongest on a side, as shares (x, y) of the chip; None without a map."""
        values = (self.map_0, self.map_1)[side]
        if values is None or not values.size:
            return None
        row, col = np.unravel_index(int(values.argmax()), values.shape)
        return (float(col) + 0.5) / values.shape[1], (float(row) + 0.5) / values.shape[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class PairEvidence:
    """Everything an explainer found for one pair.

    Attributes:
        similarity: cosine of the two embeddings, in [-1, 1].
        layers: one entry per layer that was asked for, in that order.
        seconds: time spent by stage (``forward``, ``relevance``, ``matching``, ``pixels``, ...); a stage that served
            several candidates counts here with this pair's share.
        doubts: what a reader should know of before believing the evidence.
        attributes: named attributes that explain the pair, of each kind the best first; empty for explainers that name
            none.
        abstained: whether the explainer looked for an attribute and found none that explains the similarity well
            enough to name it.
        other_chips: digests of further chips that the evidence depends on, such as a rival's; the explanation's id
            holds them.
        missing: what was asked for and is not there (``pixels``), or not yet.
        shortfall: why it will never be there: time or memory ran out, or nobody waits any more. None while it may come.
    """

    similarity: float
    layers: tuple[LayerEvidence, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    attributes: tuple[AttributeEvidence, ...] = ()
    abstained: bool = False
    other_chips: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    shortfall: Doubt | None = None

    @property
    def final(self) -> bool:
        """Whether no more of it will come."""
        return not self.missing or self.shortfall is not None

    def __post_init__(self) -> None:
        if not self.layers:
            raise EvidenceError("evidence needs at least one layer")
        if not np.isfinite(self.similarity):
            raise EvidenceError(f"similarity must be finite, not {self.similarity}")

    def layer(self, layer_key: str | None = None) -> LayerEvidence:
        """Return the evidence of `layer_key`, or of the first layer.

        Raises:
            EvidenceError: no evidence of that layer was made.
        """
        if layer_key is None:
            return self.layers[0]
        for layer in self.layers:
            if layer.layer_key == layer_key:
                return layer
        raise EvidenceError(
            f"no evidence of layer '{layer_key}'; there is: {', '.join(layer.layer_key for layer in self.layers)}"
        )
