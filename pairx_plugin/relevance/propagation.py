"""Carry relevance from an embedding to layers, and from cells of a layer to pixels.

:class:`RelevanceModel` is what explainers use: a network that was prepared once, and the two questions PAIR-X asks of
it. The host's network is read only; see :mod:`.shadow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..errors import ModelError, PropagationError
from .canonization import canonize, find_backbone
from .composites import default_composite
from .patches import Images, Patch
from .program import Program, Tape, build_program
from .shadow import make_twin, weights_signature
from .walk import Ledger, carry

__all__ = ["RelevanceModel", "cosine_seeds"]

_CELLS_AT_ONCE = 16
"""How many cells go to the pixels together on a GPU, which bounds their memory. On a CPU they go one by one: each then
has a part of the map that fits it, which saves more than a batch does (20 % of the time of five cells)."""

_KEPT_PROGRAMS = 4  # batch sizes for which a network that asks for shapes stays prepared


class RelevanceModel:
    """A network prepared for relevance propagation.

    Args:
        network: the host's network, (B, 3, H, W) to (B, D). Its weights are shared, itself is never changed. When the
            host updates or swaps a weight, the next :meth:`forward` notices and prepares the network again.
        mode: rules for batch norms, sums and gates, see :func:`.canonization.canonize`.
        composite: a zennit composite; PAIR-X's EpsilonPlus where none is given.

    Raises:
        UnsupportedArchitecture: no rules are known for the network.
    """

    def __init__(self, network: nn.Module, *, mode: str = "reference", composite: Any = None) -> None:
        find_backbone(network)
        self.network = network
        self.mode = mode
        self._composite = default_composite() if composite is None else composite
        self._prepared: tuple[tuple[Any, ...], dict[tuple[int, ...] | None, Program]] = (), {}

    def program(self, shape: Sequence[int]) -> Program:
        """Return the network's steps for (B, 3, H, W) images, prepared anew where the host's weights have changed.

        Raises:
            ModelError: the network returns something other than one tensor.
            UnsupportedArchitecture: no rules are known for the network, or it has no fixed steps.
        """
        signature = weights_signature(self.network)
        known_signature, known = self._prepared
        programs = known if signature == known_signature else {}
        program = programs.get(None) or programs.get(tuple(shape))
        if program is None:
            twin = make_twin(self.network)
            with torch.no_grad():
                program = build_program(twin, canonize(twin, self.mode), self._composite, shape)
            kept = dict(list(programs.items())[-_KEPT_PROGRAMS:])
            self._prepared = signature, {**kept, program.shape: program}  # at once: other threads see both or neither
        return program

    def forward(self, images: torch.Tensor, layer_keys: Sequence[str], *, pixels: bool = True) -> Encoded:
        """Run the network once on (B, 3, H, W) images and keep what relevance will need.

        Args:
            images: preprocessed, on the network's device.
            layer_keys: layers that will be asked about.
            pixels: whether :meth:`Encoded.at_pixels` will be asked; if not, memory is saved.

        Raises:
            LayerNotFound: no such layer takes part in the forward pass.
            ModelError, UnsupportedArchitecture: see :meth:`program`.
        """
        program = self.program(images.shape)
        return Encoded(program, program.forward(images, layer_keys, pixels=pixels), images.shape)


class Encoded:
    """Images after one forward pass, ready to be asked about relevance.

    Attributes:
        embedding: (B, D).
        feature_maps: by layer key, (B, C, h, w).
    """

    def __init__(self, program: Program, tape: Tape, shape: torch.Size) -> None:
        self._program, self._tape = program, tape
        self._n_channels, self._size = int(shape[1]), (int(shape[2]), int(shape[3]))
        self._forgot = False
        self.embedding = tape.embedding
        self.feature_maps = tape.feature_maps

    def at_layers(
        self, seeds: torch.Tensor, images: Sequence[int], layer_keys: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        """Carry relevance of the embedding down to layers.

        Args:
            seeds: (K, D) relevance of the embedding's components.
            images: for each seed, the row of its image.
            layer_keys: layers to stop at, see :attr:`feature_maps`.

        Returns:
            By layer key, (K, C, h, w) relevance of the layer's output, signs kept.

        Raises:
            PropagationError: :meth:`forget_above` was called, or relevance became infinite.
        """
        if self._forgot:
            raise PropagationError("what lies above the layers was forgotten; run the images forward once more")
        targets = {self._program.layer_node(key): key for key in layer_keys}
        start = Patch(seeds, Images(tuple(images), self._tape.n_images))
        found = carry(self._program, self._tape, self._program.output, start, tuple(targets))
        return {targets[node]: _checked(patch.values) for node, patch in found.items()}

    def forget_above(self, layer_keys: Sequence[str]) -> None:
        """Free what :meth:`at_layers` needs and :meth:`at_pixels` does not; the former cannot be asked again."""
        layers = {self._program.layer_node(key) for key in layer_keys}
        self._forgot = True
        above = set()
        for step in reversed(self._program.steps):
            if step.node in layers:
                break
            above.add(step.node)
        self._tape.kept = {node: kept for node, kept in self._tape.kept.items() if node not in above}

    def at_pixels(
        self, layer_key: str, cells: Sequence[tuple[int, int]], images: Sequence[int], *, tolerance: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Carry the activation of single cells down to the pixels.

        Args:
            layer_key: a layer of :attr:`feature_maps`.
            cells: (row, col) for each seed; the seed is the feature map at that cell and zero elsewhere.
            images: for each seed, the row of its image.
            tolerance: share of a seed's relevance that may be cut off at the rim of what it reaches, to save time.

        Returns:
            (K, 3, H, W) relevance of the network's input, signs kept; and (K,) a bound on the share that was cut off.
        """
        outputs = self._tape.outputs[layer_key]
        relevance = outputs.new_zeros((len(cells), self._n_channels, *self._size))
        cut_off = torch.zeros(len(cells))
        at_once = _CELLS_AT_ONCE if outputs.is_cuda else 1
        for start in range(0, len(cells), at_once):
            part = slice(start, start + at_once)
            ledger = Ledger(tolerance, len(cells[part]))
            relevance[part] = self._cells_at_pixels(layer_key, cells[part], images[part], ledger)
            cut_off[part] = ledger.cut_off
        return _checked(relevance), cut_off

    def _cells_at_pixels(
        self, layer_key: str, cells: Sequence[tuple[int, int]], images: Sequence[int], ledger: Ledger
    ) -> torch.Tensor:
        outputs = self._tape.outputs[layer_key]
        node, image = self._program.layer_node(layer_key), self._program.image
        values = torch.stack([outputs[index, :, row, col] for (row, col), index in zip(cells, images)])
        patch = Patch(values[:, :, None, None], Images(tuple(images), self._tape.n_images), tuple(cells))
        if not self._program.is_local(node):
            patch = Patch(patch.whole(outputs.shape[2:]), patch.images)
        return carry(self._program, self._tape, node, patch, (image,), ledger)[image].whole(self._size)


def _checked(relevance: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(relevance).all():
        raise PropagationError("relevance became infinite on its way; the network's activations are not finite")
    return relevance


def cosine_seeds(embeddings_0: torch.Tensor, embeddings_1: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cosine of each pair and its gradient with respect to the first embedding.

    Args:
        embeddings_0, embeddings_1: (K, D), or (1, D) to broadcast.

    Returns:
        (K,) cosine in [-1, 1], and (K, D) gradient (unit_1 - cosine * unit_0) / |embedding_0|; float64.

    Raises:
        ModelError: an embedding is zero, so that its direction is undefined.
    """
    embeddings_0, embeddings_1 = embeddings_0.double(), embeddings_1.double()
    length_0 = embeddings_0.norm(dim=1, keepdim=True)
    length_1 = embeddings_1.norm(dim=1, keepdim=True)
    if (length_0 == 0).any() or (length_1 == 0).any():
        raise ModelError("an embedding is all zeros, so that its similarity to another is undefined; check the model")
    unit_0, unit_1 = embeddings_0 / length_0, embeddings_1 / length_1
    cosine = (unit_0 * unit_1).sum(dim=1, keepdim=True).clamp(-1.0, 1.0)
    return cosine.squeeze(1), (unit_1 - cosine * unit_0) / length_0
