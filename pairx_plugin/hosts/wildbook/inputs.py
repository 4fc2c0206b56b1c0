"""What the host's network reads, as the host makes it: its own tensors, and the chips that they show.

A chip is the host's tensor with the normalisation undone, so that what a reader sees and what the network saw are the
same pixels. The host hands blue first and normalises it with the values for red first; both are kept.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...boxes import ToImage, box_to_image, checked_theta
from ...chips import Chip
from ...errors import ChipError
from ...pixels import ChipWarning, read_only

if TYPE_CHECKING:
    from ...models.embedding import EmbeddingModel
    from ...models.preprocessing import Preprocessing

__all__ = ["HostedModel", "InputTensors", "host_chip", "hosted_model"]

_FARTHEST = 0.05  # grey levels; a tensor that was made from whole levels is a thousandth of it off
_MIRRORED = ChipWarning(
    code="CHIP_MIRRORED",
    message="The chip is mirrored, as the network's configuration says for this viewpoint.",
    field="image",
)


class InputTensors:
    """The host's tensors by what they show, so that the network is handed the very tensor its host made of a chip.

    Args:
        preprocessing: makes the tensor of pixels that are no chip of the host's, such as those that an explainer
            changed; a rounding error away from the host's.
        max_tensors: how many are kept; 2 MB each at MiewID's size.
    """

    def __init__(self, preprocessing: Preprocessing, max_tensors: int = 32) -> None:
        self._preprocessing, self._max_tensors = preprocessing, max_tensors
        self._tensors: OrderedDict[bytes, Any] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, pixels: NDArray[np.uint8], tensor: Any) -> None:
        """Remember the (3, H, W) tensor that shows these (H, W, 3) uint8 RGB pixels."""
        with self._lock:
            self._tensors[_content(pixels)] = tensor
            while len(self._tensors) > self._max_tensors:
                self._tensors.popitem(last=False)

    def tensor(self, pixels: NDArray[np.uint8]) -> Any:
        """Return the (3, H, W) float32 tensor that shows these pixels."""
        with self._lock:
            found = self._tensors.get(_content(pixels))
        return self._preprocessing.batch([pixels])[0] if found is None else found


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

    height, width = (int(side) for side in config.data.image_size)
    tensors = InputTensors(Preprocessing(input_size=(height, width), channel_order="bgr"))
    embedding_model = EmbeddingModel(
        network, input_size=(height, width), channel_order="bgr", preprocess=tensors.tensor, model_id=model_id
    )
    return HostedModel(embedding_model=embedding_model, tensors=tensors)


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
    pixels = _undone(tensor, aid, model)
    model.tensors.keep(pixels, tensor[0])
    mirrored = _is_mirrored(ibs, aid, config)
    x, y, width, height = (float(value) for value in ibs.get_annot_bboxes(aid))
    theta, doubts = checked_theta(ibs.get_annot_thetas(aid))
    to_image = box_to_image((x, y, width, height), theta)
    image_width, image_height = ibs.get_image_sizes(ibs.get_annot_gids(aid))
    return Chip(
        pixels=read_only(pixels),
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


def _is_mirrored(ibs: Any, aid: int, config: Any) -> bool:
    test = getattr(config, "test", None)
    return bool(getattr(test, "fliplr", False)) and ibs.get_annot_viewpoints(aid) in (
        getattr(test, "fliplr_view", None) or ()
    )


def _mirror(to_image: ToImage) -> ToImage:
    """The same map for a chip that is mirrored left to right: share x lies where share 1 - x lay."""
    a, b, c, d, e, f = to_image
    return -a, b, c + a, -d, e, f + d


def _column(values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(3, 1, 1)


def _content(pixels: NDArray[np.uint8]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest() + repr(pixels.shape).encode()
