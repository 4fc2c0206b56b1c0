"""Theoretical receptive fields, followed through one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# A tensor carries its field as an attribute, so that it ends with the tensor: ids are reused within one pass.
_ATTRIBUTE = "_pairx_field"
# These mix places without changing the map's size, so that the same-size rule below would be wrong for them.
_MIXING = frozenset({
    "softmax", "log_softmax", "matmul", "__matmul__", "bmm", "baddbmm", "einsum",
    "scaled_dot_product_attention", "roll", "flip", "sort", "argsort", "cumsum", "gather", "grid_sample",
    "interpolate", "conv_transpose2d", "fold", "fft2", "ifft2", "rfft2", "irfft2",
    "permute", "transpose", "swapaxes", "movedim", "view", "view_as", "reshape", "reshape_as", "unflatten",
})
_POOLS = frozenset({"max_pool2d", "avg_pool2d", "lp_pool2d", "max_pool2d_with_indices", "_max_pool2d"})


@dataclass(frozen=True)
class Field:
    """What one cell of a feature map can see, in input pixels, (y, x).

    Attributes:
        size: height and width of the area.
        jump: distance between the centres of neighbouring cells.
    """

    size: tuple[int, int]
    jump: tuple[int, int]

    def after(self, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Field:
        """Apply one convolution or pooling: r' = r + (k - 1) d j, j' = j s, on each axis."""
        return Field(
            size=(
                self.size[0] + (kernel[0] - 1) * dilation[0] * self.jump[0],
                self.size[1] + (kernel[1] - 1) * dilation[1] * self.jump[1],
            ),
            jump=(self.jump[0] * stride[0], self.jump[1] * stride[1]),
        )


def field_of(tensor: torch.Tensor) -> Field | None:
    """Return the field that a running :class:`FieldTrace` found for a tensor; None where it is not known."""
    found = getattr(tensor, _ATTRIBUTE, None)
    return found if isinstance(found, Field) else None


def start_at(tensor: torch.Tensor) -> torch.Tensor:
    """Mark a tensor (N, C, H, W) as the input: each of its pixels sees itself."""
    setattr(tensor, _ATTRIBUTE, Field((1, 1), (1, 1)))
    return tensor


class FieldTrace(TorchFunctionMode):
    """While active, every torch call of this thread passes its inputs' receptive field on to its output.

    Convolutions and poolings widen it by their kernels, strides and dilations. A sum, product or
    concatenation of maps of one size takes the widest. Global values that scale a map (squeeze-and-excitation
    gates, normalisation statistics) are not counted: strictly they let every cell see the whole image, but
    they carry no position. Where places are mixed otherwise (attention, resizing), the field becomes unknown.

    Source: Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill
    2019.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        # Read before the call: one that works in place hands its input back as the output.
        field, size = _expected(name, args, kwargs)
        output = func(*args, **kwargs)
        for tensor in _tensors(output if isinstance(output, (tuple, list)) else (output,)):
            if tensor.ndim == 4 and (field is None or size is None or tuple(tensor.shape[2:]) == size):
                setattr(tensor, _ATTRIBUTE, field)
        return output


def _expected(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Field | None, tuple[int, ...] | None]:
    """Return the field that the output gets, and the map size it must have to get it (None: any)."""
    source = args[0] if args else kwargs.get("input")
    field = field_of(source) if isinstance(source, torch.Tensor) else None
    if name == "conv2d":
        return _after_convolution(field, args, kwargs), None
    if name in _POOLS:
        return _after_pooling(field, args, kwargs), None
    if name in ("pad", "constant_pad_nd"):
        return field, None
    if name in _MIXING:
        return None, None
    return _widest(list(_tensors((*args, *kwargs.values()))))


def _widest(inputs: list[torch.Tensor]) -> tuple[Field | None, tuple[int, ...] | None]:
    maps = [tensor for tensor in inputs if tensor.ndim == 4]
    if not maps:
        return None, None
    size = max((tuple(tensor.shape[2:]) for tensor in maps), key=lambda shape: shape[0] * shape[1])
    fields = [field_of(tensor) for tensor in maps if tuple(tensor.shape[2:]) == size]
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return None, None
    heights, widths = zip(*(field.size for field in known))
    return Field((max(heights), max(widths)), known[0].jump), size


def _after_convolution(field: Field | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field | None:
    weight = args[1] if len(args) > 1 else kwargs.get("weight")
    if field is None or not isinstance(weight, torch.Tensor):
        return None
    stride = _argument(args, kwargs, 3, "stride", 1)
    dilation = _argument(args, kwargs, 5, "dilation", 1)
    return field.after((int(weight.shape[-2]), int(weight.shape[-1])), _pair(stride), _pair(dilation))


def _after_pooling(field: Field | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Field | None:
    # lp_pool2d(x, norm_type, kernel, stride) calls avg_pool2d inside, where the mode is off: the power comes
    # first.
    if field is None or "norm_type" in kwargs:
        return None
    kernel = _argument(args, kwargs, 1, "kernel_size", 1)
    stride = _argument(args, kwargs, 2, "stride", None) or kernel
    return field.after(_pair(kernel), _pair(stride), _pair(kwargs.get("dilation", 1)))


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, (tuple, list, torch.Size)):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from (inner for inner in value if isinstance(inner, torch.Tensor))
