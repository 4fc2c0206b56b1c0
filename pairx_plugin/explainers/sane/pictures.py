"""One chip on its way through SANE: its tensor, its embedding and features, and its masked versions' embeddings."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ...chips import Chip
from ...models.embedding import EmbeddingModel
from ..base import Stop
from .fills import filled
from .forward import Forward
from .options import SaneOptions
from .perturbations import Perturbation, Rise, SlidingWindow, SuperpixelModel

__all__ = ["Picture"]


class Picture:
    """A chip, run once as it is; its masked versions are run when they are first asked for, and kept.

    A masked version does not depend on the picture that it is compared with, so what is kept serves all candidates.

    Args:
        model: the host's network with its preprocessing.
        forward: runs its twin.
        chip: the chip.
        options: with every default filled in.
        seed: of the random masks.
        features: whether to keep the feature map of `forward`'s layer.

    Attributes:
        tensor: (1, 3, H, W).
        fill: (1, 3, H, W), what shows where it is hidden.
        embedding: (1, D), of length one.
        features: (C, h, w) float32, None unless asked for.
    """

    def __init__(
        self, model: EmbeddingModel, forward: Forward, chip: Chip, options: SaneOptions, seed: int, features: bool
    ) -> None:
        self._forward, self._options = forward, options
        self.tensor = model.tensor([chip.pixels])
        self.fill = filled(self.tensor, options.fill)
        self.features: torch.Tensor | None = None
        with torch.no_grad():
            if features:
                self.embedding, maps = forward.with_features(self.tensor)
                self.features = maps[0].float()
            else:
                self.embedding = forward.run(self.tensor)
        self._perturbation = None if options.saliency == "mask" else _perturbation(model, self.tensor, options, seed)
        self._masked: torch.Tensor | None = None

    def masked(self, stop: Stop) -> torch.Tensor:
        """Return the embeddings (n, D) of the masked versions, of length one.

        Raises:
            Stopped: `stop` said so before they were all there.
        """
        if self._masked is None:
            assert self._perturbation is not None  # the learned mask has no fixed set of them
            self._masked = self._forward.embed_all(self._batch, self._perturbation.n, self.tensor, stop)
        return self._masked

    def saliency(self, reference: torch.Tensor, stop: Stop) -> NDArray[np.float32]:
        """Return the (h, w) map of the mean similarity to references (K, D): above 0 speaks for the similarity.

        Raises:
            Stopped: as :meth:`masked`.
        """
        assert self._perturbation is not None
        # moved to the CPU first: not every accelerator knows float64
        towards = reference.cpu().double().mean(0)
        similarity = (self.masked(stop).cpu().double() @ towards).numpy()
        return self._perturbation.estimate(similarity, float(self.embedding[0].cpu().double() @ towards))

    def _batch(self, start: int, end: int) -> torch.Tensor:
        assert self._perturbation is not None
        height, width = self.tensor.shape[2:]
        masks = self._perturbation.masks(start, end, (height, width)).to(self.tensor.device, self.tensor.dtype)
        return self.fill + (self.tensor - self.fill) * masks


def _perturbation(model: EmbeddingModel, tensor: torch.Tensor, options: SaneOptions, seed: int) -> Perturbation:
    if options.saliency == "slide":
        return SlidingWindow(options.cells, options.window)
    if options.saliency == "rise":
        return Rise(options.masks, options.cells, seed)
    return SuperpixelModel(model.input_pictures(tensor)[0], options.masks, options.cells, seed)
