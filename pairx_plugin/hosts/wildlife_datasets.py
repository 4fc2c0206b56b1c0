"""Datasets of wildlife-tools: photographs as they load and crop them, and the chips that their transforms leave.

Source: WildlifeDatasets/wildlife-tools:wildlife_tools/data/dataset.py, for what its datasets have.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pairx_hooks import Annotation

from ..chips import MAX_SIDE, Chip
from ..errors import ChipError, HostError
from .input_tensors import InputTensors

__all__ = ["DatasetChips", "PhotographDataset", "as_tensor", "normalisation_of"]

_INSIDE = ("transforms", "transform", "compose")  # where a transform keeps its parts
_SAME_PICTURE = 12.0  # grey levels on average, by which ways to shrink a photograph may differ
_OVERSHOOT = 16.0  # grey levels beyond black and white that sharp ways to shrink reach


class PhotographDataset:
    """One side of a comparison: photographs as their owner loads them, and what is known of them.

    Args:
        dataset: ``ImageDataset`` or ``WildlifeDataset``; it is left as it is.
        role: ``query`` or ``database``, for messages and ids.

    Raises:
        HostError: it is no dataset of photographs.
    """

    def __init__(self, dataset: Any, role: str) -> None:
        missing = [name for name in ("metadata", "transform", "__getitem__") if not hasattr(dataset, name)]
        if missing:
            raise HostError(
                f"the {role} dataset is a {type(dataset).__name__} without {', '.join(missing)}; give wildlife-tools' "
                "ImageDataset or WildlifeDataset, not the features that were extracted from it"
            )
        self.dataset, self.role, self.transform = dataset, role, dataset.transform
        self._plain = copy.copy(dataset)  # the owner's keeps its transform
        self._plain.transform = None

    def photograph(self, index: int) -> Image.Image:
        """Return what the dataset loads and crops, before its transform.

        Raises:
            ChipError: it cannot be loaded.
        """
        try:
            item = self._plain[index]
        except Exception as error:  # a dataset raises nearly anything on a file that is gone
            message = f"{self.role} {index} cannot be loaded: {type(error).__name__}: {error!s:.200}"
            raise ChipError(message) from error
        image = item[0] if isinstance(item, tuple) else item
        if not isinstance(image, Image.Image):
            raise ChipError(f"{self.role} {index} is a {type(image).__name__} before its transform; an image is needed")
        return image.convert("RGB")

    def annotation(self, index: int) -> Annotation:
        """Return what the metadata say of a photograph."""
        row: Mapping[str, Any] = self.dataset.metadata.iloc[index].to_dict()
        name = row.get(getattr(self.dataset, "col_label", "identity"))
        return Annotation(
            annotation_id=str(row.get("image_id", f"{self.role}-{index}")),
            image=str(row.get(getattr(self.dataset, "col_path", "path"), "")),
            name=None if name is None or name != name else str(name),  # NaN stands for an unknown animal
            species=str(row["species"]) if isinstance(row.get("species"), str) else None,
        )


class DatasetChips:
    """Chips of both datasets, each with the tensor that its dataset makes of it.

    A chip is the photograph itself where the transform only squashes it into the network's shape, since links and maps
    then lie at the same shares of both. Where it crops, the chip is what is left, with the normalisation undone.
    """

    def __init__(self, tensors: InputTensors, mean: Sequence[float], std: Sequence[float]) -> None:
        self._tensors, self._mean, self._std = tensors, mean, std

    def chip(self, side: PhotographDataset, index: int) -> Chip:
        """Return the chip of a photograph."""
        image = side.photograph(index)
        tensor = as_tensor(side.transform(image) if side.transform else image, side, index)
        seen = self._undone(tensor, side, index)
        squashed = np.asarray(image.resize((seen.shape[1], seen.shape[0]), Image.Resampling.BOX))
        whole = float(np.abs(squashed.astype(np.int16) - seen).mean()) <= _SAME_PICTURE
        if whole:
            image.thumbnail((MAX_SIDE, MAX_SIDE))
        annotation = side.annotation(index)
        shown = np.asarray(image) if whole else seen
        chip = Chip.from_array(np.ascontiguousarray(shown), uri=annotation.image, name=annotation.name)
        self._tensors.keep(chip.pixels, tensor)
        return chip

    def _undone(self, tensor: Any, side: PhotographDataset, index: int) -> NDArray[np.uint8]:
        values = np.asarray(tensor, np.float32).transpose(1, 2, 0)
        levels = (values * np.asarray(self._std, np.float32) + np.asarray(self._mean, np.float32)) * 255
        if not np.isfinite(levels).all() or levels.min() < -_OVERSHOOT or levels.max() > 255 + _OVERSHOOT:
            raise ChipError(
                f"the transform's tensor of {side.role} {index} is no picture normalised with mean {list(self._mean)} "
                f"and std {list(self._std)}: its levels run from {levels.min():.1f} to {levels.max():.1f}; give "
                "`normalisation`, the mean and std of the transform"
            )
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def as_tensor(made: Any, side: PhotographDataset, index: int) -> Any:
    """Return what a transform made as a (3, h, w) float32 tensor.

    Raises:
        HostError: it is none.
    """
    shape = tuple(getattr(made, "shape", ()))
    if len(shape) != 3 or shape[0] != 3 or not hasattr(made, "is_floating_point"):
        raise HostError(
            f"the transform of the {side.role} dataset makes a {type(made).__name__} of shape {shape} of photograph "
            f"{index}; a tensor (3, h, w) is needed, as the network reads it"
        )
    return made.detach().float()


def normalisation_of(transform: Any, depth: int = 0) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return the last (mean, std) of a transform and the transforms within, None where there is none."""
    mean, std = getattr(transform, "mean", None), getattr(transform, "std", None)
    if mean is not None and std is not None and np.size(mean) == 3 and np.size(std) == 3:
        return [float(value) for value in mean], [float(value) for value in std]
    parts = [part for name in _INSIDE for part in _listed(getattr(transform, name, None))] if depth < 5 else []
    found = [item for part in parts if (item := normalisation_of(part, depth + 1)) is not None]
    return found[-1] if found else None


def _listed(part: Any) -> list[Any]:
    return [] if part is None else list(part) if isinstance(part, (list, tuple)) else [part]
