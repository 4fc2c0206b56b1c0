"""The Grad-CAM family, by the grad-cam package: where a picture raises its similarity to the partner.

The package's classes give each method's formula; activations and gradients are taken here, on a twin, because the
package's own pass calls ``backward`` and scales every map to 0..1, which would make two sides incomparable. The target
is the cosine to the partner's embedding, which is held fixed.

Source: the package grad-cam (import name pytorch_grad_cam), `get_cam_image` of each class.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..chips import Chip
from ..errors import MissingExtra, ModelError
from ..evidence import Doubt, LayerEvidence, PairEvidence
from ..models.checks import cause_of
from ..models.embedding import EmbeddingModel
from ..models.optional import import_optional
from ..relevance.heads import Head, Heads, last_feature_map
from ..settings import Settings
from .maps_only import Clock, cosine, map_doubts, map_layer, same_picture
from .own_options import choice, flag

__all__ = ["BASELINES", "METHODS", "GradCam"]

METHODS = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "layercam": "LayerCAM",
    "eigencam": "EigenCAM",
    "kpcacam": "KPCA_CAM",
}
BASELINES = ("eigencam", "kpcacam")
"""Methods that look at neither gradient nor target: the same map for every partner, to compare others with."""

_PACKAGE = "pytorch_grad_cam"
_PURPOSE = "the explainer 'grad_cam'"


class GradCam:
    """The Grad-CAM explainer.

    Options: ``cam_method``, one of :data:`METHODS`; ``cam_signed``, to keep what lowers the similarity where the
    method has signs, which is rectified away otherwise.

    Raises:
        MissingExtra: the package grad-cam is not installed.
    """

    explainer_id = "grad_cam"
    version = "1"

    def __init__(self) -> None:
        if importlib.util.find_spec(_PACKAGE) is None:  # importing it takes seconds, so that waits for the first query
            raise MissingExtra("grad-cam", extra="gradcam", purpose=_PURPOSE)

    def prepare(self, model: EmbeddingModel, query: Chip, settings: Settings) -> GradCamSession:
        """Run the query once and keep its graph above the layer, see :class:`.base.Explainer`."""
        return GradCamSession(model, query, settings)


class GradCamSession:
    """One query after its forward pass; see :class:`.base.QuerySession`."""

    def __init__(self, model: EmbeddingModel, query: Chip, settings: Settings) -> None:
        self.method = choice(settings, "cam_method", "gradcam", tuple(METHODS))
        self._signed = flag(settings, "cam_signed")
        self._cam = _method(METHODS[self.method])
        self._lock = threading.Lock()
        self._model, self._query = model, query
        self.layers = settings.layers or (last_feature_map(model.network, model.input_size),)
        self._head = Head(model.network, self.layers, model.input_size)
        self._query_side = self._run([query])

    def explain(self, candidates: Sequence[Chip]) -> list[PairEvidence]:
        """Explain candidates in one forward pass, see :class:`.base.QuerySession`."""
        if not candidates:
            return []
        clock = Clock()
        with clock.stage("forward"):
            side = self._run(candidates)
        with clock.stage("relevance"):
            query = self._query_side.unit
            maps_1 = self._maps(side, query.expand(len(candidates), -1))
            maps_0 = [self._maps(self._query_side, unit[None]) for unit in side.unit]
        evidence = []
        for index, chip in enumerate(candidates):
            layers = tuple(
                map_layer(key, (maps_0[index][key][0], maps_1[key][index]), self._model.input_size)
                for key in self.layers
            )
            evidence.append(
                PairEvidence(
                    similarity=cosine(query[0], side.unit[index]),
                    layers=layers,
                    seconds=clock.shared(len(candidates)),
                    doubts=self._doubts(chip, layers),
                )
            )
        return evidence

    def _run(self, chips: Sequence[Chip]) -> Heads:
        return self._head.forward(self._model.tensor([chip.pixels for chip in chips]))

    def _maps(self, side: Heads, partners: torch.Tensor) -> dict[str, NDArray[np.float32]]:
        """Return (B, h, w) maps of one side by layer, each towards its row of `partners`, (B, D) at length one."""
        gradients = side.gradients(partners)
        maps = {}
        for key in self.layers:
            activations = side.feature_maps[key].float().cpu().numpy()
            found = self._image(activations, gradients[key].cpu().numpy())
            maps[key] = found if self._signed else np.maximum(found, np.float32(0))
        return maps

    def _image(self, activations: NDArray[np.float32], gradients: NDArray[np.float32]) -> NDArray[np.float32]:
        n = len(activations)
        try:
            with self._lock, np.errstate(divide="ignore", invalid="ignore"):
                # input, layer and target in front: no method here looks at them, and each names its target otherwise
                found = self._cam.get_cam_image(None, None, None, activations, gradients, False)
        except Exception as error:  # a package's own numerics: a constant map has no principal component, say
            raise ModelError(
                f"{METHODS[self.method]} of the package grad-cam fails on this feature map ({cause_of(error)}); "
                f"choose another cam_method"
            ) from error
        array: NDArray[np.float32] = np.asarray(found, np.float32).reshape(n, *activations.shape[2:])
        if not np.isfinite(array).all():
            raise ModelError(
                f"{METHODS[self.method]} of the package grad-cam gives values that are not finite on this feature map; "
                f"choose another cam_method"
            )
        return array

    def _doubts(self, chip: Chip, layers: Sequence[LayerEvidence]) -> tuple[Doubt, ...]:
        doubts = same_picture(self._query, chip)
        if self.method in BASELINES:
            message = (
                f"{METHODS[self.method]} looks at one picture alone: the map is the same for every partner, and serves "
                f"for comparison only"
            )
            doubts.append(Doubt(code="NULL_BASELINE", message=message, values={"method": METHODS[self.method]}))
        return (*doubts, *map_doubts(layers))


def _method(class_name: str) -> Any:
    """Return the package's object for a method; it asks for a network, and is handed an empty one.

    Raises:
        MissingExtra: the package is missing, broken, or too old to have the method.
    """
    package = import_optional(_PACKAGE, extra="gradcam", purpose=_PURPOSE)
    if not hasattr(package, class_name):
        cause = AttributeError(f"this version of it has no {class_name}")
        raise MissingExtra("grad-cam", extra="gradcam", purpose=_PURPOSE, cause=cause)
    return getattr(package, class_name)(model=nn.ParameterList([torch.zeros(1)]), target_layers=[])
