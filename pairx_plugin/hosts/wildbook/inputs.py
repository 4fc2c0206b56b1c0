"""What the host's network reads, as the host makes it: its own tensors, and the chips that they show.

A chip is the host's tensor with the normalisation undone, so that what a reader sees and what the network saw are the
same pixels. The host squashes every animal into one square; the chip is that square stretched back to the animal's
own proportions, by which shares of it, and with them links and maps, stay where they are. The host hands blue first
and normalises it with the values for red first; both are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...boxes import ToImage, box_to_image, checked_theta
from ...chips import MAX_SIDE, Chip
from ...errors import ChipError
from ...pixels import MIN_SIDE, ChipWarning, read_only
from ..input_tensors import InputTensors

if TYPE_CHECKING:
    from ...models.embedding import EmbeddingModel

__all__ = ["HostedModel", "host_chip", "hosted_model", "input_size_of", "mirrored_viewpoints"]

_FARTHEST = 0.05  # grey levels; a tensor that was made from whole levels is a thousandth of it off
_MIRRORED = ChipWarning(
    code="CHIP_MIRRORED",
    message="The chip is mirrored, as the network's configuration says for this viewpoint.",
    field="image",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class HostedModel:
    """The host's network as explanations see it, with the tensors that its host made."""

    embedding_model: EmbeddingModel
    tensors: InputTensors


def hosted_model(network: Any, config: Any, model_id: str) -> HostedModel:
    """Wrap a network of the host; nothing of it is changed.

    Args:
        network: as the host's ``read_config_and_load_model`` returns it, in evaluation mode.
        config: its configuration; ``data.image_size`` is (height, width).
    """
    from ...models.embedding import EmbeddingModel
    from ...models.preprocessing import Preprocessing

    height, width = input_size_of(config)
    tensors = InputTensors(Preprocessing(input_size=(height, width), channel_order="bgr"))
    embedding_model = EmbeddingModel(
        network, input_size=(height, width), channel_order="bgr", preprocess=tensors.tensor, model_id=model_id
    )
    return HostedModel(embedding_model=embedding_model, tensors=tensors)


def input_size_of(config: Any) -> tuple[int, int]:
    """Return height and width of what the host hands to a network."""
    height, width = (int(side) for side in config.data.image_size)
    return height, width


def mirrored_viewpoints(config: Any) -> tuple[str, ...]:
    """Return the viewpoints whose chips the host mirrors before its network sees them."""
    test = getattr(config, "test", None)
    return tuple(getattr(test, "fliplr_view", None) or ()) if getattr(test, "fliplr", False) else ()


def host_chip(plugin: Any, ibs: Any, aid: int, config: Any, model: HostedModel) -> Chip:
    """Return what the network sees of an annotation; `model` remembers the tensor behind it.

    Args:
        plugin: the host's MiewID plugin, for its ``_load_data``.
        ibs: the host's controller.
        aid: row id of the annotation.

    Raises:
        ChipError: the host hands something else than one normalised picture; whatever it raises passes.
    """
    tensor = _host_tensor(plugin, ibs, aid, config)
    square = _undone(tensor, aid, model)
    mirrored = ibs.get_annot_viewpoints(aid) in mirrored_viewpoints(config)
    x, y, width, height = (float(value) for value in ibs.get_annot_bboxes(aid))
    pixels = read_only(_stretched(square, width, height))
    model.tensors.keep(pixels, tensor[0])
    theta, doubts = checked_theta(ibs.get_annot_thetas(aid))
    to_image = box_to_image((x, y, width, height), theta)
    image_width, image_height = ibs.get_image_sizes(ibs.get_annot_gids(aid))
    return Chip(
        pixels=pixels,
        to_image=_mirror(to_image) if mirrored else to_image,
        image_size=(int(image_width), int(image_height)),
        bbox=(x, y, width, height),
        theta=theta,
        uri=str(ibs.get_annot_image_paths(aid) or ""),
        warnings=(*doubts, _MIRRORED) if mirrored else doubts,
    )


def _host_tensor(plugin: Any, ibs: Any, aid: int, config: Any) -> Any:
    """Return the (1, 3, H, W) tensor that the host's own loader makes of an annotation."""
    loader, _ = plugin._load_data(ibs, [aid], config, batch_size=1)
    tensor = next(iter(loader))[0]
    tensor = tensor[None] if tensor.ndim == 3 else tensor
    if tensor.ndim != 4 or tuple(tensor.shape[:2]) != (1, 3):
        raise ChipError(
            f"the host's loader made a tensor of shape {tuple(tensor.shape)} of annotation {aid}; "
            "one picture (1, 3, H, W) is needed"
        )
    return tensor.float()


def _undone(tensor: Any, aid: int, model: HostedModel) -> NDArray[np.uint8]:
    """Return the (H, W, 3) uint8 RGB picture that a tensor shows."""
    preprocessing = model.embedding_model.preprocessing
    values = tensor[0].numpy()
    levels = (values * _column(preprocessing.std) + _column(preprocessing.mean)) * 255
    off = float(np.abs(levels - np.rint(levels)).max())
    if not off <= _FARTHEST or levels.min() < -_FARTHEST or levels.max() > 255 + _FARTHEST:
        raise ChipError(
            f"the host's tensor of annotation {aid} is not a picture normalised with mean {preprocessing.mean} and "
            f"std {preprocessing.std} ({levels.min():.1f} to {levels.max():.1f}, off a whole level by {off:.2f}), so "
            "that it cannot be shown as the network sees it; this plugin of the host is not known yet"
        )
    picture: NDArray[np.uint8] = model.embedding_model.input_pictures(tensor)[0]
    return picture


def _stretched(square: NDArray[np.uint8], width: float, height: float) -> NDArray[np.uint8]:
    """Return the network's picture in the proportions of its box; neither side shrinks while both fit the limit."""
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0):
        return square  # the host made a chip of it all the same
    rows, columns = square.shape[:2]
    scale = max(columns / width, rows / height)
    scale = min(scale, max(MAX_SIDE, rows, columns) / max(width, height))
    size = max(MIN_SIDE, round(width * scale)), max(MIN_SIDE, round(height * scale))
    if size == (columns, rows):
        return square
    # bilinear: sharper kernels ring, and what rings looks like a mark
    return np.array(Image.fromarray(square).resize(size, Image.Resampling.BILINEAR))


def _mirror(to_image: ToImage) -> ToImage:
    """The same map for a chip that is mirrored left to right: share x lies where share 1 - x lay."""
    a, b, c, d, e, f = to_image
    return -a, b, c + a, -d, e, f + d


def _column(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(3, 1, 1)
