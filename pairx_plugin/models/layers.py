"""The layers of a network that an explanation can stand on."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ..errors import LayerNotFound, ModelError, nearest
from .checks import cause_of, check_evaluation_mode, unwrapped
from .fingerprint import named_tensors
from .receptive_field import FieldTrace, field_of, start_at
from .token_grids import TokenGrid, TokenLayout, token_layout

MIN_CELLS = 20
"""Cells that the suggested layer's grid has at least on each axis, as far as the network offers it."""

_DEPTH = 0.75  # of a transformer whose blocks all have one grid

# What timm and torchvision call the parts of a network between which the grid may change.
_STAGE = re.compile(r"(?:^|[._])(?:blocks|features|stages|layers|stage|layer|block|denseblock|s)[._]?\d+$")
_WRAPPER_PREFIX = re.compile(r"^(?:(?:module|_orig_mod)\.)+")


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerInfo:
    """One layer that returns a feature map.

    Attributes:
        key: dotted name of the module in the network.
        type_name: class of the module.
        grid: (rows, columns) of the feature map.
        channels: its depth.
        stride: (y, x) size of one cell in pixels of the model input, the input's size divided by the grid's.
        receptive_field: (height, width) in input pixels that one cell sees by kernels, strides and dilations,
            gates such as squeeze-and-excitation left out; it may exceed the input. None where attention or
            resizing makes it unknown.
        is_stage: whether it is the output of a stage that lies in no other stage; False throughout for a network
            without stages of the usual names.
        tokens: whether the module returns a transformer's tokens, of which the feature map is made.
        suggested: whether this is the layer to begin with.
        reason: why it is suggested, or why not.
    """

    key: str
    type_name: str
    grid: tuple[int, int]
    channels: int
    stride: tuple[float, float]
    receptive_field: tuple[int, int] | None
    is_stage: bool = False
    tokens: bool = False
    suggested: bool = False
    reason: str = ""


def list_layers(
    network: nn.Module, input_size: tuple[int, int], device: torch.device | str | None = None
) -> list[LayerInfo]:
    """List every layer whose output is a feature map (N, C, h, w), in the order of the forward pass.

    The tokens of a transformer that is known here are feature maps too, class and register tokens left out, see
    :mod:`.token_grids`.

    One pass of a black image finds them; nothing of the network changes, and no random number is drawn. Left
    out are layers called more than once (their key names no single map), and 4-D outputs whose last two
    dimensions do not have the input's proportions, such as (N, h, w, C).

    Args:
        network: (N, 3, H, W) to anything, in evaluation mode.
        input_size: (height, width) in pixels.
        device: where the network is; read off its parameters when None.

    Raises:
        ModelError: the network is in training mode, or does not run at that size.
    """
    network = unwrapped(network)
    check_evaluation_mode(network)
    found: dict[str, list[LayerInfo | None]] = {}
    layout = token_layout(network)
    handles = []
    try:
        for key, module in network.named_modules():
            if key:
                handles.append(module.register_forward_hook(_recorder(key, input_size, layout, found)))
        _run_black(network, input_size, device)
    finally:
        for handle in handles:
            handle.remove()
    layers = [calls[0] for calls in found.values() if len(calls) == 1 and calls[0] is not None]
    return _with_suggestion(_with_stages(layers))


def suggest_layer(network: nn.Module, input_size: tuple[int, int]) -> LayerInfo:
    """Suggest the layer to explain first.

    Rule: of the stage outputs (``blocks.N``, ``features.N``, ``layerN``, ``stages.N`` and their like, where
    not inside another stage) take the coarsest grid that still has :data:`MIN_CELLS` cells on both axes, else
    the finest grid there is; of the stages with that grid take the first. Deeper layers mean more, finer
    grids point better. For MiewID's EfficientNetV2 at 440 pixels this is ``backbone.blocks.3`` (28 x 28), the
    layer that WildMe's tools draw. A network without stages of such names is judged by its layers of known
    receptive field, of which the last with that grid is taken. Of a transformer whose blocks all have one grid the
    block at three quarters of the depth is taken: its tokens tell parts of a body apart best (Amir et al. 2021, arXiv
    2112.05814), and below the last block relevance of a class token has reached the patches.

    Raises:
        ModelError: no layer returns a feature map, or the network does not run.
    """
    suggested = next((layer for layer in list_layers(network, input_size) if layer.suggested), None)
    if suggested is None:
        raise ModelError(
            f"no layer of {type(network).__name__} returns a feature map (N, C, h, w), so there is none to "
            "suggest; PAIR-X explains convolutional networks such as EfficientNet and ResNet"
        )
    return suggested


def get_layer(network: nn.Module, key: str) -> nn.Module:
    """Return the module of that key; keys of a DataParallel or compiled network (``module.``) do too.

    Raises:
        LayerNotFound: there is none; the message names the nearest key.
    """
    network = unwrapped(network)
    modules = dict(network.named_modules())
    text = key if isinstance(key, str) else ""
    found = modules.get(text) or modules.get(_WRAPPER_PREFIX.sub("", text))
    if not text or found is None:
        known = [name for name in modules if name]
        hint = _nearest_key(text, known) if text else ""
        raise LayerNotFound(
            f"layer {key!r} not found in {type(network).__name__}{hint}; "
            f"list them with `pairx-plugin layers MODEL`"
        )
    return found


def is_map_of(shape: tuple[int, ...], input_size: tuple[int, int]) -> bool:
    """Whether a shape can be (N, C, h, w) for that input: no larger, and of about its proportions.

    A map (N, h, w, C) of a transformer has four dimensions too; its "height" and "width" fit the image only
    by chance.
    """
    if len(shape) != 4 or min(shape) < 1:
        return False
    (rows, columns), (height, width) = shape[2:], input_size
    fits = rows <= height + 2 and columns <= width + 2
    return fits and abs(rows - columns * height / width) <= max(2.0, 0.15 * rows)


def _recorder(
    key: str, input_size: tuple[int, int], layout: TokenLayout | None, found: dict[str, list[LayerInfo | None]]
) -> Any:
    thread = threading.get_ident()

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        if threading.get_ident() != thread:
            return  # somebody else runs the network meanwhile
        info = None
        tokens = _grid_of_tokens(key, output, input_size, layout)
        if tokens is not None:
            rows, columns = tokens.rows, tokens.columns
            info = LayerInfo(
                key=key,
                type_name=type(module).__name__,
                grid=(rows, columns),
                channels=int(output.shape[-1]),
                stride=(input_size[0] / rows, input_size[1] / columns),
                receptive_field=None,
                tokens=True,
            )
        elif isinstance(output, torch.Tensor) and is_map_of(tuple(output.shape), input_size):
            rows, columns = (int(size) for size in output.shape[2:])
            field = field_of(output)
            info = LayerInfo(
                key=key,
                type_name=type(module).__name__,
                grid=(rows, columns),
                channels=int(output.shape[1]),
                stride=(input_size[0] / rows, input_size[1] / columns),
                receptive_field=None if field is None else field.size,
            )
        found.setdefault(key, []).append(info)

    return record


def _grid_of_tokens(
    key: str, output: Any, input_size: tuple[int, int], layout: TokenLayout | None
) -> TokenGrid | None:
    if layout is None or not layout.holds(key) or not isinstance(output, torch.Tensor):
        return None
    return layout.grid(tuple(output.shape), input_size)


def _run_black(network: nn.Module, input_size: tuple[int, int], device: torch.device | str | None) -> None:
    tensors = (tensor for _, tensor in named_tensors(network) if tensor.is_floating_point())
    first = next(tensors, torch.zeros(0))
    try:
        image = torch.zeros((1, 3, *input_size), dtype=first.dtype, device=device or first.device)
        # no_grad, not inference_mode: tensors that a network caches must stay usable in its owner's training.
        with torch.no_grad(), FieldTrace():
            network(start_at(image))
    except Exception as error:  # whatever a stranger's forward() raises, and sizes beyond the memory
        raise ModelError(
            f"{type(network).__name__} does not run on an image of {input_size[0]} x {input_size[1]} pixels: "
            f"{cause_of(error)}; pass the input size it was made for"
        ) from error


def _with_suggestion(layers: list[LayerInfo]) -> list[LayerInfo]:
    if not layers:
        return []
    stages = [layer for layer in layers if layer.is_stage]
    # Without stages only layers of known field: the others may be attention weights, square as a map is.
    pool = stages or [layer for layer in layers if layer.receptive_field is not None]
    if not pool:
        return layers
    enough = [layer for layer in pool if min(layer.grid) >= MIN_CELLS]
    grid = min((layer.grid for layer in enough), default=max(layer.grid for layer in pool))
    same = [layer for layer in pool if layer.grid == grid]
    chosen = same[0] if stages else same[-1]
    if stages and len(same) == len(stages) and all(layer.tokens for layer in stages):
        chosen = same[max(1, round(_DEPTH * len(same))) - 1]
    return [
        replace(layer, suggested=layer is chosen, reason=_reason(layer, chosen, pool, bool(enough)))
        for layer in layers
    ]


def _with_stages(layers: list[LayerInfo]) -> list[LayerInfo]:
    keys = {layer.key for layer in layers if _STAGE.search(layer.key)}
    inner = {key for key in keys if any(key.startswith(outer + ".") for outer in keys)}
    return [replace(layer, is_stage=layer.key in keys - inner) for layer in layers]


def _reason(layer: LayerInfo, chosen: LayerInfo, pool: list[LayerInfo], enough: bool) -> str:
    if layer is chosen:
        if layer.tokens and all(other.grid == layer.grid for other in pool):
            return "three quarters of the depth, all of one grid"
        return f"coarsest grid of at least {MIN_CELLS} x {MIN_CELLS} cells" if enough else "finest grid"
    if layer not in pool:
        inside = any(layer.key.startswith(stage.key + ".") for stage in pool)
        return "inside a stage" if inside else "not a stage"
    if min(layer.grid) < MIN_CELLS and min(layer.grid) <= min(chosen.grid) and not (
        layer.tokens and layer.grid == chosen.grid
    ):
        return f"fewer than {MIN_CELLS} x {MIN_CELLS} cells"
    return f"same grid as {chosen.key}" if layer.grid == chosen.grid else "finer than needed"


def _nearest_key(key: str, known: list[str]) -> str:
    key = _WRAPPER_PREFIX.sub("", key)
    inside = [name for name in known if name.endswith("." + key)]
    if inside:
        return f"; nearest: '{min(inside, key=len)}'"
    stem, _, number = key.rpartition(".")
    parts = [name.rpartition(".") for name in known]
    numbers = [int(last) for before, _, last in parts if before == stem and last.isdigit()]
    if number.isdigit() and numbers:
        closest = min(numbers, key=lambda known_number: abs(known_number - int(number)))
        return f"; nearest: '{f'{stem}.{closest}' if stem else closest}'"
    return nearest(key, known)
