"""A network as explanations see it: weights, preprocessing and a default layer, none of them changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from ..errors import ModelError, SettingsError
from .checks import check_embeddings, check_evaluation_mode, unwrapped
from .fingerprint import NetworkFingerprint, named_tensors
from .preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocess, Preprocessing

logger = logging.getLogger(__name__)


class EmbeddingModel:
    """An embedding network together with its preprocessing.

    The network stays its owner's: this class never calls ``.eval()``, ``.to()`` or ``requires_grad_()`` on
    it, and reads device and dtype each time they are asked for, so the owner may move it. A DataParallel,
    DistributedDataParallel or torch.compile wrapper is taken off: `network` is what was inside (shared, not
    copied), `notes` says so, and layer keys go without ``module.``.

    Args:
        network: (N, 3, H, W) to (N, D).
        input_size: (height, width) that chips are resized to, in pixels.
        mean: subtracted from the 0..1 image, by channel of the tensor.
        std: divides afterwards, by channel of the tensor.
        preprocess: replaces resizing and normalisation: (H, W, 3) uint8 RGB to a floating (3, h, w) tensor.
        channel_order: "rgb", or "bgr" for a network that reads blue first (mean and std keep their places).
        default_layer: key of the layer to explain when a request names none.
        model_id: the name under which records mention the model.
        notes: what was decided while the model was loaded, for people.

    Raises:
        ModelError: `network` is no torch.nn.Module.
        SettingsError: a size, mean, std or order is unusable.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        input_size: tuple[int, int] = (440, 440),
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        preprocess: Preprocess | None = None,
        channel_order: str = "rgb",
        default_layer: str | None = None,
        model_id: str = "",
        notes: Sequence[str] = (),
    ) -> None:
        if not isinstance(network, nn.Module):
            raise ModelError(
                "a model must be a torch.nn.Module from (N, 3, H, W) to (N, D), got "
                f"{type(network).__name__}; wrap it in one, or load it by its id from the model catalogue"
            )
        self.network = unwrapped(network)
        self.notes: tuple[str, ...] = tuple(notes)
        if self.network is not network:
            outer, inner = type(network).__name__, type(self.network).__name__
            self.notes += (f"The {outer} wrapper was taken off; the {inner} inside it is used.",)
            logger.info(self.notes[-1])
        self.preprocessing = Preprocessing(
            input_size=input_size,
            mean=cast("tuple[float, ...]", mean),  # which it becomes there, or is refused by name
            std=cast("tuple[float, ...]", std),
            channel_order=channel_order,
            custom=preprocess,
        )
        self.default_layer = default_layer
        self.model_id = model_id
        self._fingerprint = NetworkFingerprint()

    def __repr__(self) -> str:
        height, width = self.input_size
        return f"<EmbeddingModel {self.model_id or type(self.network).__name__!r} {height}x{width}>"

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the tensor that the default preprocessing makes, in pixels."""
        return self.preprocessing.input_size

    @property
    def input_range(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Lowest and highest value of the network's input, by channel: a black and a white pixel.

        None where a `preprocess` of the caller's own makes the input.
        """
        return self.preprocessing.value_range()

    @property
    def device(self) -> torch.device:
        """Where the network's parameters and buffers are; the CPU for a network without any.

        Raises:
            ModelError: they are on several devices, or on none yet (meta).
        """
        devices = {tensor.device: name for name, tensor in named_tensors(self.network)}
        if len(devices) > 1:
            spread = ", ".join(f"{device} ({name})" for device, name in sorted(devices.items(), key=str))
            raise ModelError(
                f"the network is spread over several devices: {spread}; move it to one with .to(device)"
            )
        device = next(iter(devices), torch.device("cpu"))
        if device.type == "meta":
            raise ModelError("the network has no values (device meta); load its weights first")
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Floating dtype of the network's first parameter, which is its input's; float32 without any."""
        tensors = (tensor for _, tensor in named_tensors(self.network))
        return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)

    def tensor(self, pixels: Sequence[np.ndarray]) -> torch.Tensor:
        """Preprocess chips, (H, W, 3) uint8 RGB, into one (N, 3, H, W) of the model's dtype and device.

        Raises:
            ChipError: a chip is not (H, W, 3) uint8.
            ModelError: `preprocess` returned no image tensor, NaN, or several sizes.
        """
        return self.preprocessing.batch(pixels).to(self.device, self.dtype)

    def input_pictures(self, tensor: torch.Tensor) -> np.ndarray:
        """Turn a tensor of :meth:`tensor` back into what the network saw: (N, H, W, 3) uint8 RGB."""
        return self.preprocessing.pictures(tensor)

    def embed(self, pixels: Sequence[np.ndarray], batch_size: int = 16) -> np.ndarray:
        """Embed chips without gradients: (N, D) float32, not normalised; (0, 0) when there are none.

        Raises:
            ModelError: the network is in training mode, or returns something else than (N, D) finite floats.
            ChipError: a chip is not (H, W, 3) uint8.
        """
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise SettingsError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
        check_evaluation_mode(self.network)
        parts = [np.zeros((0, 0), dtype=np.float32)]
        # no_grad, not inference_mode: what a network caches inside must stay usable in the owner's training.
        with torch.no_grad():
            for start in range(0, len(pixels), batch_size):
                batch = self.tensor(pixels[start:start + batch_size])
                embeddings = check_embeddings(self.network(batch), len(batch))
                parts.append(embeddings.to("cpu", torch.float32).numpy())
        return np.concatenate(parts[1:]) if len(parts) > 1 else parts[0]

    def fingerprint(self) -> str:
        """Return ``"sha256:..."`` over weights, buffers, module settings and preprocessing.

        Two models of equal fingerprint give equal embeddings; unchanged weights are not hashed twice. A
        custom `preprocess` enters by its name only.
        """
        return self._fingerprint.digest(self.network, self.preprocessing.describe())


def as_embedding_model(obj: Any, **kwargs: Any) -> EmbeddingModel:
    """Return an EmbeddingModel as it is, or wrap a torch.nn.Module with `kwargs` of :class:`EmbeddingModel`.

    Raises:
        ModelError: `obj` is neither, or `kwargs` are given for a model that has its settings already.
    """
    if not isinstance(obj, EmbeddingModel):
        return EmbeddingModel(obj, **kwargs)
    if kwargs:
        raise ModelError(
            f"{obj!r} has its preprocessing already, so {', '.join(sorted(kwargs))} cannot be set again; "
            f"pass model.network with the new settings"
        )
    return obj
