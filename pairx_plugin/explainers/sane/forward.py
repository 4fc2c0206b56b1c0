"""Forward passes of a twin: masked pictures in batches that fit the memory, and the feature map of a layer."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from ...errors import ModelError, is_out_of_memory
from ...models.checks import check_embeddings
from ...models.layers import get_layer
from ...relevance.network.shadow import make_twin
from ..base import Stop

__all__ = ["Forward", "Stopped"]

_LIVE_LAYERS = 80  # activations alive in one forward pass, in sizes of the input: an upper bound for EfficientNetV2
_CPU_BYTES = 512 * 2**20
_MOST = 256


class Stopped(Exception):
    """The work was broken off because :class:`..base.Stop` said so."""


class Forward:
    """Runs a network's twin, so that the host's own is neither changed nor hooked.

    Args:
        network: the host's network.
        layer: key of a layer whose feature maps are wanted beside the embedding; empty for none.
        batch: pictures in one pass; 0 for what fits into the memory.

    Attributes:
        n_pictures: how many pictures have gone through so far.
    """

    def __init__(self, network: nn.Module, layer: str = "", batch: int = 0) -> None:
        self._twin = make_twin(network)
        self._batch, self._fits = batch, _MOST
        self._seen = threading.local()
        self.n_pictures = 0
        if layer:
            get_layer(self._twin, layer).register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: object, output: object) -> None:
        self._seen.map = output

    def run(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return embeddings (N, D) of (N, 3, H, W), of length one; gradients flow where they are enabled."""
        self.n_pictures += len(tensor)
        embedding = check_embeddings(self._twin(tensor), len(tensor))
        return functional.normalize(embedding.float(), dim=1)

    def with_features(self, tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (N, D) and the layer's feature maps (N, C, h, w).

        Raises:
            ModelError: the layer gave something else than a feature map.
        """
        self._seen.map = None
        embedding = self.run(tensor)
        features = self._seen.map
        self._seen.map = None
        if not isinstance(features, torch.Tensor) or features.ndim != 4 or len(features) != len(tensor):
            shape = tuple(features.shape) if isinstance(features, torch.Tensor) else type(features).__name__
            raise ModelError(f"attributes need a layer that returns a feature map (N, C, h, w), this one gave {shape}")
        return embedding, features

    def embed_all(
        self, batches: Callable[[int, int], torch.Tensor], n: int, like: torch.Tensor, stop: Stop
    ) -> torch.Tensor:
        """Embed `n` pictures that are made as they are needed: (n, D), of length one.

        Args:
            batches: gives pictures `start` to `end` as (k, 3, H, W).
            like: one picture, (1, 3, H, W), by whose size batches are cut.
            stop: asked before every batch.

        Raises:
            Stopped: `stop` said so.
        """
        parts: list[torch.Tensor] = []
        done = 0
        with torch.no_grad():
            while done < n:
                if stop.reached():
                    raise Stopped
                end = min(n, done + self._size(like))
                try:
                    parts.append(self.run(batches(done, end)))
                except RuntimeError as error:
                    if not is_out_of_memory(error) or end - done == 1:
                        raise
                    self._fits = (end - done) // 2
                    continue
                done = end
        return torch.cat(parts)

    def _size(self, like: torch.Tensor) -> int:
        if self._batch:
            return min(self._batch, self._fits)
        if like.device.type == "cuda":
            free = torch.cuda.mem_get_info(like.device)[0] // 2
        else:
            free = _CPU_BYTES
        return max(1, min(self._fits, free // (like.numel() * like.element_size() * _LIVE_LAYERS)))
