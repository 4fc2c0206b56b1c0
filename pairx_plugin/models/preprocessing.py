"""From chips to the tensor a network reads, and back to the picture that the tensor shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import ChipError, ModelError, SettingsError, nearest
from .resizing import resize_pixels

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CHANNEL_ORDERS = ("rgb", "bgr")

Preprocess = Callable[[np.ndarray], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a chip becomes a model input; compared by value.

    Attributes:
        input_size: (height, width) in pixels. The aspect is not kept, as MiewID does not keep it.
        mean: subtracted from the 0..1 image, one value for each channel in the order of `channel_order`.
        std: divides afterwards, in the same order.
        channel_order: "rgb", or "bgr" for networks that read blue first. As in the Wildbook MiewID plugin,
            the mean and std stay where they are: the first value belongs to the first channel of the tensor,
                whichever it is.
        custom: replaces resizing and normalisation: (H, W, 3) uint8 RGB to a floating (3, h, w) tensor.
    """

    input_size: tuple[int, int] = (440, 440)
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    channel_order: str = "rgb"
    custom: Preprocess | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_size", _checked_size(self.input_size))
        object.__setattr__(self, "mean", _three_numbers("mean", self.mean))
        object.__setattr__(self, "std", _three_numbers("std", self.std))
        if min(self.std) <= 0:
            raise SettingsError(
                f"std must be positive in every channel, got {self.std}; ImageNet's is {IMAGENET_STD}"
            )
        if self.channel_order not in CHANNEL_ORDERS:
            raise SettingsError(
                f"channel_order must be one of {CHANNEL_ORDERS}, got {self.channel_order!r}"
                f"{nearest(str(self.channel_order), CHANNEL_ORDERS)}"
            )
        if self.custom is not None and not callable(self.custom):
            raise SettingsError(
                f"preprocess must be a function from an (H, W, 3) uint8 array to a tensor, got "
                f"{type(self.custom).__name__}; leave it out for resizing and normalisation"
            )

    def batch(self, pixels: Sequence[np.ndarray]) -> torch.Tensor:
        """Turn chips, (H, W, 3) uint8 RGB of any sizes, into one floating tensor (N, 3, h, w) on the CPU.

        Raises:
            ChipError: a chip is not (H, W, 3) uint8 with at least one pixel.
            ModelError: the custom function returned something that is not one image tensor.
        """
        chips = [_checked_chip(chip, index) for index, chip in enumerate(pixels)]
        if not chips:
            return torch.zeros((0, 3, *self.input_size), device="cpu")
        if self.custom is not None:
            return _stacked([_checked_output(self.custom(chip), index) for index, chip in enumerate(chips)])
        resized = np.stack([resize_pixels(chip, self.input_size) for chip in chips])
        if self.channel_order == "bgr":
            resized = np.ascontiguousarray(resized[..., ::-1])
        levels = torch.from_numpy(resized).permute(0, 3, 1, 2).to(torch.float32)
        return ((levels / 255 - self._column(self.mean)) / self._column(self.std)).contiguous()

    def pictures(self, tensor: torch.Tensor) -> np.ndarray:
        """Undo the normalisation: (N, 3, h, w) to (N, h, w, 3) uint8 RGB, what the network saw.

        Exact for float32 and float16 tensors of :meth:`batch`. A custom function is undone with `mean` and
        `std` too, so give those that it uses.
        """
        if tensor.ndim != 4 or tensor.shape[1] != 3:
            raise ModelError(
                f"pictures are made from (N, 3, H, W) tensors, got the shape {tuple(tensor.shape)}"
            )
        values = tensor.detach().to("cpu", torch.float32)
        levels = (values * self._column(self.std) + self._column(self.mean)) * 255
        array = levels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return np.ascontiguousarray(array[..., ::-1] if self.channel_order == "bgr" else array)

    def value_range(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Lowest and highest value that a chip can have after :meth:`batch`, by channel of the tensor.

        None with a custom function, of which nothing is known.
        """
        if self.custom is not None:
            return None
        black, white = (tuple((level - m) / s for m, s in zip(self.mean, self.std)) for level in (0.0, 1.0))
        return black, white

    def describe(self) -> dict[str, Any]:
        """JSON-ready settings, the same in every process; a custom function is named, not looked into."""
        return {
            "input_size": list(self.input_size),
            "mean": list(self.mean),
            "std": list(self.std),
            "channel_order": self.channel_order,
            "preprocess": None if self.custom is None else _name_of(self.custom),
        }

    @staticmethod
    def _column(values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float32, device="cpu").view(1, 3, 1, 1)


def _checked_chip(chip: Any, index: int) -> np.ndarray:
    if not isinstance(chip, np.ndarray) or chip.ndim != 3 or chip.shape[2] != 3 or chip.dtype != np.uint8:
        got = f"{chip.dtype} of shape {chip.shape}" if isinstance(chip, np.ndarray) else type(chip).__name__
        raise ChipError(
            f"chip {index} must be a uint8 array of shape (H, W, 3) in RGB, got {got}; pass a list of such "
            "arrays, and convert grey, RGBA, 16-bit or 0..1 images first"
        )
    if chip.shape[0] < 1 or chip.shape[1] < 1:
        raise ChipError(f"chip {index} has no pixels: its shape is {chip.shape}; check its bounding box")
    return chip


def _checked_output(output: Any, index: int) -> torch.Tensor:
    if not isinstance(output, torch.Tensor):
        raise ModelError(
            f"preprocess returned {type(output).__name__} for chip {index}; it must return a floating tensor "
            "(3, h, w)"
        )
    image = output[0] if output.ndim == 4 and output.shape[0] == 1 else output
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ModelError(
            f"preprocess returned the shape {tuple(output.shape)} for chip {index}; it must be (3, h, w)"
            + ("; permute(2, 0, 1) it" if image.ndim == 3 and image.shape[-1] == 3 else "")
        )
    if not image.is_floating_point():
        raise ModelError(
            f"preprocess returned {image.dtype} for chip {index}; divide by 255 and normalise it to floats"
        )
    if not bool(torch.isfinite(image).all()):
        raise ModelError(f"preprocess returned NaN or infinity for chip {index}; check its mean and std")
    return image.detach()


def _stacked(images: list[torch.Tensor]) -> torch.Tensor:
    sizes = {tuple(image.shape[1:]) for image in images}
    if len(sizes) > 1:
        raise ModelError(
            f"preprocess returned images of several sizes, {sorted(sizes)}; resize them to one size"
        )
    return torch.stack([image.to("cpu") for image in images])


def _checked_size(size: Any) -> tuple[int, int]:
    try:
        height, width = (int(value) for value in size)
        whole = all(int(value) == value for value in size)
    except (TypeError, ValueError, OverflowError):
        height, width, whole = 0, 0, False
    if not whole or height < 1 or width < 1:
        raise SettingsError(f"input_size must be (height, width) in whole pixels of at least 1, got {size!r}")
    return height, width


def _three_numbers(name: str, values: Any) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(np.isfinite(numbers)):
        raise SettingsError(f"{name} must be three finite numbers, one for each channel, got {values!r}")
    return numbers


def _name_of(function: Preprocess) -> str:
    name = getattr(function, "__qualname__", None)
    text = f"{getattr(function, '__module__', '')}.{name}" if name else repr(function)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)  # an address would differ in every process
