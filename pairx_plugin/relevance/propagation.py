"""Carry relevance from an embedding to layers, and from cells of a layer to pixels.

:class:`RelevanceModel` is what explainers use: a network that was prepared once, and the two questions PAIR-X asks of
it. The host's network is read only; see :mod:`.network.shadow`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..errors import ModelError
from ..models.token_grids import to_map, token_layout
from .composites.translation import default_composite
from .encoded import Encoded
from .network.architectures import find_backbone
from .network.precision import is_half, is_lowered, unlowered
from .network.shadow import buffers_apart, make_twin, usable, weights_signature
from .program.building import build_program
from .program.canonization import canonize, check_touched
from .program.steps import Program

__all__ = ["RelevanceModel", "cosine_seeds"]

_KEPT_PROGRAMS = 4  # batch sizes for which a network that asks for shapes stays prepared


class RelevanceModel:
    """A network prepared for relevance propagation.

    Args:
        network: the host's network, (B, 3, H, W) to (B, D). Its weights are shared, itself is never changed. When the
            host updates or swaps a weight, the next :meth:`forward` notices and prepares the network again. Where it
            computes in half precision, relevance runs through a float32 copy; under autocast, without it. Embeddings
            and feature maps stay those of the host's own either way.
        mode: rules for batch norms, sums and gates, see :func:`.program.canonization.canonize`.
        composite: a zennit composite; PAIR-X's EpsilonPlus where none is given.
        allow_uncanonized: explain a network on which nothing was canonised, see
            :func:`.program.canonization.check_touched`, instead of refusing it.

    Raises:
        UnsupportedArchitecture: no rules are known for the network.
    """

    def __init__(
        self, network: nn.Module, *, mode: str = "reference", composite: Any = None, allow_uncanonized: bool = False
    ) -> None:
        find_backbone(network)
        self.network = network
        self.mode = mode
        self.allow_uncanonized = allow_uncanonized
        self._composite = default_composite(mode) if composite is None else composite
        self._prepared: tuple[tuple[Any, ...], dict[tuple[int, ...] | None, Program]] = (), {}

    def program(self, shape: Sequence[int]) -> Program:
        """Return the network's steps for (B, 3, H, W) images, prepared anew where the host's weights have changed.

        Raises:
            ModelError: the network returns something other than one tensor.
            UnsupportedArchitecture: no rules are known for the network, or it has no fixed steps.
        """
        return self._program(shape, weights_signature(self.network))

    def _program(self, shape: Sequence[int], signature: tuple[Any, ...]) -> Program:
        known_signature, known = self._prepared
        programs = known if signature == known_signature else {}
        program = programs.get(None) or programs.get(tuple(shape))
        if program is None:
            device_type = next((tensor.device.type for tensor in self.network.parameters()), "cpu")
            half = is_half(self.network)
            twin = make_twin(self.network, torch.float32 if half else None)
            with torch.inference_mode(False), torch.no_grad(), unlowered(device_type):
                program = build_program(twin, canonize(twin, self.mode), self._composite, shape)
            program = replace(program, lowered=program.lowered or half)
            if not self.allow_uncanonized:
                check_touched(program.canonization)
            kept = dict(list(programs.items())[-_KEPT_PROGRAMS:])
            self._prepared = signature, {**kept, program.shape: program}  # at once: other threads see both or neither
        return program

    def forward(
        self,
        images: torch.Tensor,
        layer_keys: Sequence[str],
        *,
        pixels: bool = True,
        instead_of: Encoded | None = None,
    ) -> Encoded:
        """Run the network once on (B, 3, H, W) images and keep what relevance will need.

        Args:
            images: preprocessed, on the network's device.
            layer_keys: layers that will be asked about.
            pixels: whether :meth:`Encoded.at_pixels` will be asked; if not, memory is saved.
            instead_of: an earlier result that nobody will ask any more. Its memory is freed step by step while the
                new one's is taken, so that the process hands nothing back to the system only to ask for it again,
                which takes a third of the pass on a CPU.

        Raises:
            LayerNotFound: no such layer takes part in the forward pass.
            ModelError, UnsupportedArchitecture: see :meth:`program`.
        """
        weights = weights_signature(self.network)
        program = self._program(images.shape, weights)
        spare = instead_of.give_up() if instead_of is not None else {}
        full = usable(images)
        if program.lowered and is_half(self.network):
            full = full.float()
        tape = program.forward(full, layer_keys, pixels=pixels, spare=spare)
        encoded = Encoded(program, tape, full, weights)
        if program.lowered or is_lowered(images.device.type):
            encoded.embedding, encoded.feature_maps = _host_s_numbers(self.network, images, layer_keys)
        return encoded


def _host_s_numbers(
    network: nn.Module, images: torch.Tensor, layer_keys: Sequence[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the embedding and the feature maps as the host's network has them, in its own precision."""
    twin = make_twin(network, in_place=True)  # of this call alone, so that hooks on it meet nobody
    found: dict[str, torch.Tensor] = {}
    for key in layer_keys:  # copies, over which no later step writes
        twin.get_submodule(key).register_forward_hook(lambda _, __, out, key=key: found.update({key: out.clone()}))
    with torch.no_grad(), buffers_apart(twin):
        embedding = twin(images)
    layout, size = token_layout(network), (int(images.shape[2]), int(images.shape[3]))
    for key, output in found.items():
        grid = None if layout is None else layout.grid(tuple(output.shape), size)
        found[key] = output if grid is None else to_map(output, grid)
    return embedding, found


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
