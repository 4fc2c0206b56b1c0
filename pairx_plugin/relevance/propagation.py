"""Carry relevance from an embedding to layers, and from cells of a layer to pixels.

:class:`RelevanceModel` is what explainers use: a network that was prepared once, and the two questions PAIR-X asks of
it. The host's network is read only; see :mod:`.shadow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from ..errors import ModelError, PropagationError
from .canonization import canonize, find_backbone
from .composites import default_composite
from .program import Program, Tape, build_program
from .rules import Seeds
from .shadow import make_twin, weights_signature

__all__ = ["RelevanceModel", "cosine_seeds"]

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

    def forward(self, images: torch.Tensor, layer_keys: Sequence[str]) -> Encoded:
        """Run the network once on (B, 3, H, W) images and keep what relevance will need.

        Raises:
            LayerNotFound: no such layer takes part in the forward pass.
            ModelError, UnsupportedArchitecture: see :meth:`program`.
        """
        program = self.program(images.shape)
        return Encoded(program, program.forward(images, layer_keys))


class Encoded:
    """Images after one forward pass, ready to be asked about relevance.

    Attributes:
        embedding: (B, D).
        feature_maps: by layer key, (B, C, h, w).
    """

    def __init__(self, program: Program, tape: Tape) -> None:
        self._program, self._tape = program, tape
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
        """
        targets = {self._program.layer_node(key): key for key in layer_keys}
        found = self._carry(self._program.output, seeds, images, tuple(targets))
        return {targets[node]: relevance for node, relevance in found.items()}

    def at_pixels(
        self, layer_key: str, cells: Sequence[tuple[int, int]], images: Sequence[int]
    ) -> torch.Tensor:
        """Carry the activation of single cells down to the pixels.

        Args:
            layer_key: a layer of :attr:`feature_maps`.
            cells: (row, col) for each seed; the seed is the feature map at that cell and zero elsewhere.
            images: for each seed, the row of its image.

        Returns:
            (K, 3, H, W) relevance of the network's input, signs kept.
        """
        feature_map = self._tape.outputs[layer_key]
        seeds = feature_map.new_zeros((len(cells), *feature_map.shape[1:]))
        for seed, (row, col), image in zip(seeds, cells, images):
            seed[:, row, col] = feature_map[image, :, row, col]
        start = self._program.layer_node(layer_key)
        return self._carry(start, seeds, images, (self._program.image,))[self._program.image]

    def _carry(
        self, start: fx.Node, seed: torch.Tensor, images: Sequence[int], targets: tuple[fx.Node, ...]
    ) -> dict[fx.Node, torch.Tensor]:
        """Walk the steps from `start` down until every target has received all of its relevance."""
        seeds = Seeds(torch.as_tensor(list(images), device=seed.device), self._tape.n_images)
        arrived: dict[fx.Node, torch.Tensor] = {start: seed}
        missing, found = set(targets), {}
        with torch.no_grad():
            for step in reversed(self._program.steps):
                if step.node in missing and step.node in arrived:
                    found[step.node] = arrived[step.node]
                    missing.discard(step.node)
                    if not missing:
                        return found
                relevance = arrived.pop(step.node, None)
                if relevance is None or step.rule is None:
                    continue
                lower = step.rule.propagate(relevance, self._tape.kept[step.node], seeds)
                for source, part in zip(step.sources, lower):
                    if part is not None:
                        arrived[source] = arrived[source] + part if source in arrived else part
        found.update({node: arrived[node] for node in missing if node in arrived})
        if len(found) < len(targets):
            raise ModelError("no relevance can reach a layer that does not lie between the image and the embedding")
        for relevance in found.values():
            if not torch.isfinite(relevance).all():
                raise PropagationError("relevance became infinite on its way; the network's activations are not finite")
        return found


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
