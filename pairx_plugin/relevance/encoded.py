"""Images after their forward pass, ready to be asked about relevance, alone or several together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import fx

from ..errors import PropagationError
from .arithmetic.lanes import count_lanes, side_by_side
from .arithmetic.patches import Images, Patch
from .network.shadow import usable
from .program.canonization import Canonization
from .program.steps import Program, Tape
from .program.walk import Ledger, Leg, carry

__all__ = ["CellAnswer", "CellQuestion", "Encoded", "LayerQuestion", "at_layers_together", "at_pixels_together"]

_CELLS_AT_ONCE = 16
"""How many cells go to the pixels together, which bounds their memory. On a GPU they are one batch; on a CPU each has a
part of the map that fits it, which saves more than a batch does (20 % of the time of five cells)."""


class Encoded:
    """Images after one forward pass.

    Args:
        program: what ran.
        tape: what it left behind.
        images: (B, 3, H, W), that ran through it.
        weights: signature of the host's weights before it, see :func:`.network.shadow.weights_signature`.

    Attributes:
        embedding: (B, D), the host's numbers.
        feature_maps: by layer key, (B, C, h, w), the host's numbers.
    """

    def __init__(self, program: Program, tape: Tape, images: torch.Tensor, weights: tuple[Any, ...] = ()) -> None:
        self.program, self._tape, self.weights = program, tape, weights
        self._empty = images.new_zeros((0, *images.shape[1:]))
        self._forgot = False
        self.embedding = tape.embedding
        self.feature_maps = tape.feature_maps

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return int(self._empty.shape[2]), int(self._empty.shape[3])

    @property
    def canonization(self) -> Canonization:
        """What was found on the network, and how it is treated."""
        return self.program.canonization

    def at_layers(
        self, seeds: torch.Tensor, images: Sequence[int], layer_keys: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Carry relevance of the embedding down to layers.

        Args:
            seeds: (K, D) relevance of the embedding's components, in any precision.
            images: for each seed, the row of its image.
            layer_keys: layers to stop at, see :attr:`feature_maps`.

        Returns:
            By layer key, (K, C, h, w) relevance of the layer's output, signs kept.

        Raises:
            PropagationError: the question was said to be the last, or relevance became infinite.
        """
        return at_layers_together([LayerQuestion(self, seeds, images)], layer_keys)[0]

    def at_pixels(
        self,
        layer_key: str,
        cells: Sequence[tuple[int, int]],
        images: Sequence[int],
        *,
        tolerance: float = 0.0,
        seeds: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Carry the activation of single cells down to the pixels, or other relevance that they have.

        Args:
            layer_key: a layer of :attr:`feature_maps`.
            cells: (row, col) for each seed; the seed is the feature map at that cell and zero elsewhere.
            images: for each seed, the row of its image.
            tolerance: share of a seed's relevance that may be cut off at the rim of what it reaches, to save time.
            seeds: (K, C) relevance of each cell in place of its activation.

        Returns:
            (K, 3, H, W) relevance of the network's input, signs kept; and (K,) a bound on the share that was cut off.

        Raises:
            PropagationError: nothing was kept for it, or relevance became infinite.
        """
        (answer,) = at_pixels_together([CellQuestion(self, cells, images, seeds)], layer_key, tolerance=tolerance)
        return answer.maps(), answer.cut_off

    def give_up(self) -> dict[Any, Any]:
        """Return all that was kept, by node, and answer no more."""
        self._forgot, kept = True, self._tape.kept
        self._tape.kept, self._tape.outputs = {}, {}
        return kept

    def leg_from_embedding(self, question: LayerQuestion) -> Leg:
        """Return the relevance of embeddings, ready to be carried; see :meth:`at_layers`."""
        if self._forgot:
            raise PropagationError("what lies above the layers was let go; run the images forward once more")
        self._forgot = question.is_last
        relevance = Patch(
            usable(question.seeds).to(self._empty.dtype), Images(tuple(question.images), self._tape.n_images)
        )
        return Leg(self._tape, relevance, is_last=question.is_last)

    @property
    def no_maps(self) -> torch.Tensor:
        """(0, 3, H, W), like the images that ran."""
        return self._empty

    def legs_from_cells(self, question: CellQuestion, layer_key: str, tolerance: float) -> list[Leg]:
        """Return the relevance of cells, ready to be carried: on a CPU cell by cell; see :meth:`at_pixels`."""
        if not self._tape.kept:
            raise PropagationError(
                "nothing is kept of this forward pass: it was asked for without pixels, or was given up; run the "
                "images forward once more"
            )
        if not question.cells:
            return []
        outputs, values, cells = self._tape.outputs[layer_key], question.seeds, tuple(question.cells)
        if values is None:
            values = torch.stack([outputs[index, :, row, col] for (row, col), index in zip(cells, question.images)])
        patch = Patch(usable(values)[:, :, None, None], Images(tuple(question.images), self._tape.n_images), cells)
        if not self.program.is_local(self.program.layer_node(layer_key)):
            patch = Patch(patch.whole(outputs.shape[2:]), patch.images)
        parts = patch.split(_CELLS_AT_ONCE if outputs.is_cuda or patch.corners is None else 1)
        return [Leg(self._tape, part, Ledger(tolerance, len(part.values))) for part in parts]


@dataclass(frozen=True, eq=False)
class LayerQuestion:
    """What :meth:`Encoded.at_layers` is asked.

    Attributes:
        is_last: whether it will not be asked again; memory that only such questions need is let go on the way.
    """

    encoded: Encoded
    seeds: torch.Tensor
    images: Sequence[int]
    is_last: bool = False


@dataclass(frozen=True, eq=False)
class CellQuestion:
    """What :meth:`Encoded.at_pixels` is asked."""

    encoded: Encoded
    cells: Sequence[tuple[int, int]]
    images: Sequence[int]
    seeds: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class CellAnswer:
    """What :func:`at_pixels_together` says to a question.

    Attributes:
        encoded: what was asked.
        patches: relevance of parts of the images, together one seed for each cell, in order.
        cut_off: (K,) a bound on the share that was cut off.
    """

    encoded: Encoded
    patches: Sequence[Patch]
    cut_off: torch.Tensor

    def maps(self) -> torch.Tensor:
        """Return (K, 3, H, W), zero where a cell does not reach, signs kept."""
        return torch.cat([self.encoded.no_maps, *(patch.whole(self.encoded.size) for patch in self.patches)])

    def summed(self) -> torch.Tensor:
        """Return (K, H, W), the sum of the colours of :meth:`maps`."""
        size = self.encoded.size
        return torch.cat([self.encoded.no_maps[:, 0], *(_summed(patch).whole(size)[:, 0] for patch in self.patches)])

    def parts(self) -> Iterator[tuple[torch.Tensor, tuple[int, int]]]:
        """Yield for each cell the part of :meth:`summed` that it reaches, (h, w), and its first (row, col)."""
        for one in (one for patch in self.patches for one in _summed(patch).split(1)):
            there = one.trimmed(self.encoded.size)
            ((row, col),) = there.corners or ((0, 0),)
            is_beyond = row < 0 or col < 0  # it reaches nothing of the image
            yield (there.values[0, 0, :0, :0], (0, 0)) if is_beyond else (there.values[0, 0], (row, col))


def at_layers_together(questions: Sequence[LayerQuestion], layer_keys: Sequence[str]) -> list[dict[str, torch.Tensor]]:
    """Ask several results :meth:`Encoded.at_layers` at once: step by step together, and sharing what they can."""
    if _differ(questions):
        return [at_layers_together([question], layer_keys)[0] for question in questions]
    program = questions[0].encoded.program
    targets = {program.layer_node(key): key for key in layer_keys}
    legs = [question.encoded.leg_from_embedding(question) for question in questions]
    arrived = _carry_side_by_side(program, legs, program.output, tuple(targets))
    return [{targets[node]: _checked(patch.values) for node, patch in there.items()} for there in arrived]


def at_pixels_together(
    questions: Sequence[CellQuestion], layer_key: str, *, tolerance: float = 0.0
) -> list[CellAnswer]:
    """Ask several results :meth:`Encoded.at_pixels` at once: side by side, and sharing what they can."""
    if _differ(questions):
        return [at_pixels_together([question], layer_key, tolerance=tolerance)[0] for question in questions]
    program = questions[0].encoded.program
    legs = [question.encoded.legs_from_cells(question, layer_key, tolerance) for question in questions]
    found: list[Patch] = []
    for together in _rounds([leg for part in legs for leg in part]):
        arrived = _carry_side_by_side(program, together, program.layer_node(layer_key), (program.image,))
        found.extend(there[program.image] for there in arrived)
    rest = iter(found)
    return [_answer(question, part, [next(rest) for _ in part]) for question, part in zip(questions, legs)]


def _answer(question: CellQuestion, legs: Sequence[Leg], patches: Sequence[Patch]) -> CellAnswer:
    """Return patches of the image as the answer to their question."""
    shares = [torch.from_numpy(leg.ledger.cut_off).float() for leg in legs if leg.ledger is not None]
    for patch in patches:
        _checked(patch.values)
    return CellAnswer(question.encoded, patches, torch.cat(shares) if shares else torch.zeros(0, device="cpu"))


def _summed(patch: Patch) -> Patch:
    return patch.put(patch.values.sum(1, keepdim=True))


def _carry_side_by_side(
    program: Program, legs: Sequence[Leg], start: fx.Node, targets: Sequence[fx.Node]
) -> list[dict[fx.Node, Patch]]:
    """Carry legs, on a CPU divided among its lanes."""
    lanes = 1 if any(leg.relevance.values.is_cuda for leg in legs) else count_lanes()
    parts = [legs[lane::lanes] for lane in range(min(lanes, len(legs)))]
    carried = side_by_side([partial(carry, program, part, start, targets) for part in parts])
    found: list[dict[fx.Node, Patch]] = [{} for _ in legs]
    for lane, there in enumerate(carried):
        found[lane::lanes] = there
    return found


def _rounds(legs: Sequence[Leg]) -> Iterator[list[Leg]]:
    """Split legs so that at most :data:`_CELLS_AT_ONCE` cells are on their way together."""
    together: list[Leg] = []
    n_cells = 0
    for leg in legs:
        n = len(leg.relevance.values)
        if together and n_cells + n > _CELLS_AT_ONCE:
            yield together
            together, n_cells = [], 0
        together.append(leg)
        n_cells += n
    if together:
        yield together


def _differ(questions: Sequence[CellQuestion] | Sequence[LayerQuestion]) -> bool:
    """Return whether the results are of different programs, as after an update of the host's weights between them."""
    return len({id(question.encoded.program) for question in questions}) > 1


def _checked(relevance: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(relevance).all():
        raise PropagationError("relevance became infinite on its way; the network's activations are not finite")
    return relevance
