"""The upper part of a network on a twin: from feature maps to the embedding, and gradients back to the maps.

The host's network is read only and never asked for gradients: everything runs on a twin (see :mod:`.network.shadow`)
whose parameters want none, and the graph begins at the lowest layer that was asked for.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import LayerNotFound, ModelError, UnsupportedArchitecture
from ..models.checks import cause_of, check_embeddings, check_evaluation_mode
from ..models.fingerprint import named_tensors
from ..models.layers import get_layer, is_map_of
from .network.shadow import buffers_apart, make_outline, make_twin

__all__ = ["Head", "Heads", "last_feature_map"]

Hook = Callable[[nn.Module, Any, Any], Any]

_SMALL = (64, 64)
_AT_ONCE = 16


def last_feature_map(network: nn.Module, input_size: tuple[int, int]) -> str:
    """Return the key of the layer whose feature map is the last before the network gives up places.

    Args:
        network: the host's network; it is neither run nor changed.
        input_size: (height, width) in pixels.

    Raises:
        ModelError: no layer returns a feature map of more than one cell, or the network does not run.
        UnsupportedArchitecture: places go on behind the last feature map in another form, such as tokens.
    """
    check_evaluation_mode(network)
    try:
        shapes = _output_shapes(make_outline(network), input_size)  # shapes alone, at next to no cost
    except ModelError:
        shapes = _output_shapes(make_twin(network), input_size)  # a network that looks at values needs some
    calls = Counter(key for key, _ in shapes)
    maps = [
        index
        for index, (key, shape) in enumerate(shapes)
        if calls[key] == 1 and is_map_of(shape, input_size) and shape[2] * shape[3] > 1
    ]
    if not maps:
        raise ModelError(
            f"no layer of {type(network).__name__} returns a feature map (N, C, h, w) of more than one cell, so there "
            f"is no place to point at; list layers with `pairx-plugin layers MODEL`"
        )
    for key, shape in shapes[maps[-1] + 1 :]:
        if len(shape) == 3 and shape[1] > 1 or len(shape) == 4 and min(shape[1:3]) > 1 and shape[2] * shape[3] > 1:
            raise UnsupportedArchitecture(
                f"{type(network).__name__} has no feature map (N, C, h, w) at its end: behind '{shapes[maps[-1]][0]}' "
                f"places go on as {shape} in '{key}'; name a layer that returns a feature map, or use another explainer"
            )
    return shapes[maps[-1]][0]


def _output_shapes(network: nn.Module, input_size: tuple[int, int]) -> list[tuple[str, tuple[int, ...]]]:
    """Return key and shape of every module's output that is a tensor, in the order in which they come."""
    found: list[tuple[str, tuple[int, ...]]] = []

    def record(key: str) -> Hook:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                found.append((key, tuple(output.shape)))

        return hook

    tensors = (tensor for _, tensor in named_tensors(network) if tensor.is_floating_point())
    first = next(tensors, torch.zeros(0))
    image = torch.zeros((1, 3, *input_size), dtype=first.dtype, device=first.device)
    with torch.no_grad(), _hooked((module, record(key)) for key, module in network.named_modules() if key):
        try:
            network(image)
        except Exception as error:  # whatever a stranger's forward() raises
            raise ModelError(
                f"{type(network).__name__} does not run on an image of {input_size[0]} x {input_size[1]} pixels: "
                f"{cause_of(error)}; pass the input size it was made for"
            ) from error
    return found


@dataclass(frozen=True, eq=False)
class Heads:
    """A forward pass that gradients can go back through, down to the feature maps.

    Attributes:
        embedding: (B, D), with its graph.
        feature_maps: (B, C, h, w) by layer key, as the network gives them, without their graph.
    """

    embedding: torch.Tensor
    feature_maps: dict[str, torch.Tensor]
    _nodes: dict[str, torch.Tensor]

    @property
    def unit(self) -> torch.Tensor:
        """The embeddings at length one, (B, D), without graph; zeros where one has no length."""
        return nn.functional.normalize(self.embedding.detach().float(), dim=1)

    def gradients(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return d(w . ê)/dF by layer key, (B, C, h, w) float32, with ê the embedding at length one.

        Args:
            weights: (B, D), one vector of weights for each image; treated as constants.

        Raises:
            ModelError: a layer has no way to the embedding.
        """
        length = self.embedding.detach().float().norm(dim=1, keepdim=True).clamp(min=1e-12)
        weights = weights.to(self.unit)
        along = (weights * self.unit).sum(1, keepdim=True)
        seeds = ((weights - along * self.unit) / length).to(self.embedding.dtype)
        with _grad_mode():
            found = torch.autograd.grad(
                self.embedding, list(self._nodes.values()), seeds, retain_graph=True, allow_unused=True
            )
        for key, gradient in zip(self._nodes, found):
            if gradient is None:
                raise ModelError(f"layer '{key}' has no way to the embedding; choose another layer")
        return {key: gradient.float() for key, gradient in zip(self._nodes, found)}


class Head:
    """A twin of a network, cut at some layers.

    Args:
        network: the host's network, in evaluation mode. Its weights are shared; itself is never changed.
        layer_keys: layers whose feature maps are kept.
        input_size: (height, width) that the network is used at.

    Raises:
        LayerNotFound: there is no such layer.
        ModelError: the network is in training mode.
    """

    def __init__(self, network: nn.Module, layer_keys: Sequence[str], input_size: tuple[int, int]) -> None:
        check_evaluation_mode(network)
        self._input_size = input_size
        with _grad_mode():
            self._twin = _usable_twin(network)
        self.layer_keys = tuple(layer_keys)
        self._modules = {key: get_layer(self._twin, key) for key in layer_keys}
        self._lock = threading.Lock()  # hooks of two passes must not meet on the twin

    def forward(self, images: torch.Tensor) -> Heads:
        """Run (B, 3, H, W) images and keep the feature maps.

        Raises:
            LayerNotFound: a layer takes no part in the forward pass.
            ModelError: a layer returns no feature map, or runs more than once; the embeddings are not (B, D).
        """
        maps: dict[str, torch.Tensor] = {}
        nodes: dict[str, torch.Tensor] = {}

        def keep(key: str) -> Hook:
            def hook(module: nn.Module, inputs: Any, output: Any) -> torch.Tensor:
                _check_map(key, output, images, again=key in nodes)
                node = output if output.requires_grad else output.detach().requires_grad_()
                maps[key], nodes[key] = node.detach(), node
                return node.clone()  # what follows may compute in place

            return hook

        with self._lock, _grad_mode(), _hooked((module, keep(key)) for key, module in self._modules.items()):
            with buffers_apart(self._twin):
                embedding = check_embeddings(self._twin(images), len(images))
        _check_seen(self.layer_keys, nodes)
        return Heads(embedding, maps, nodes)

    def above(self, key: str, maps: torch.Tensor, end: str | None = None) -> torch.Tensor:
        """Return what the network makes of maps (n, C, h, w) put in place of a layer's output, of any grid: (n, D).

        The layers below see a small black image, which costs next to nothing, or one of full size where the network
        insists.

        Args:
            key: one of the layers of this head.
            end: key of a module whose output is taken instead of the network's, flattened.

        Raises:
            ModelError: the network cannot go on with such maps.
        """
        errors: list[Exception] = []
        # A batch of images is for networks that read the batch's size off them.
        for size, n_images in ((_SMALL, 1), (self._input_size, 1), (_SMALL, _AT_ONCE)):
            try:
                parts = maps.split(_AT_ONCE) if n_images > 1 else [maps]
                return torch.cat([self._replaced(key, part, end, size, min(n_images, len(part))) for part in parts])
            except Exception as error:  # whatever a stranger's network may raise on a small image, or a map
                errors.append(error)
        raise ModelError(
            f"what follows layer '{key}' does not run on maps of {maps.shape[2]} x {maps.shape[3]} cells "
            f"({cause_of(errors[0])}), so it cannot be taken apart; use another explainer"
        ) from errors[0]

    def _replaced(
        self, key: str, maps: torch.Tensor, end: str | None, size: tuple[int, int], n_images: int
    ) -> torch.Tensor:
        """Run black images of `size` and put `maps` in the place of a layer's output."""
        ended: list[torch.Tensor] = []
        hooks: list[tuple[nn.Module, Hook]] = [(self._modules[key], lambda module, inputs, output: maps.clone())]
        if end is not None:
            hooks.append((get_layer(self._twin, end), lambda module, inputs, output: ended.append(output)))
        images = torch.zeros((n_images, 3, *size), dtype=maps.dtype, device=maps.device)
        with self._lock, torch.no_grad(), _hooked(hooks), buffers_apart(self._twin):
            found = self._twin(images)
        return check_embeddings(ended[-1].flatten(1) if ended else found, len(maps))

    def modules_above(self) -> list[tuple[str, nn.Module]]:
        """Return the names and modules of the twin; they are read and never changed by callers."""
        return [(name, module) for name, module in self._twin.named_modules() if name]


@contextmanager
def _grad_mode() -> Iterator[None]:
    """Gradients are ours to take, whatever mode the caller's thread is in."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def _hooked(hooks: Any) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _usable_twin(network: nn.Module) -> nn.Module:
    """Return a twin without inference tensors, which autograd would not keep."""
    twin = make_twin(network, in_place=True)
    for module in twin.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_inference():
                module._parameters[name] = nn.Parameter(parameter.clone(), requires_grad=False)
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_inference():
                module._buffers[name] = buffer.clone()
    return twin


def _check_map(key: str, output: Any, images: torch.Tensor, *, again: bool) -> None:
    if again:
        raise ModelError(f"layer '{key}' runs more than once, so that it has no single feature map; choose the block "
                         f"around it")
    size = (int(images.shape[2]), int(images.shape[3]))
    if not isinstance(output, torch.Tensor) or not is_map_of(tuple(output.shape), size):
        found = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(
            f"layer '{key}' returns {found}, which is no feature map (B, C, h, w) of an image of {size[0]} x "
            f"{size[1]} pixels; list layers with `pairx-plugin layers MODEL`"
        )


def _check_seen(keys: Sequence[str], seen: dict[str, torch.Tensor]) -> None:
    for key in keys:
        if key not in seen:
            raise LayerNotFound(
                f"layer '{key}' takes no part in the forward pass; list layers with `pairx-plugin layers MODEL`"
            )
