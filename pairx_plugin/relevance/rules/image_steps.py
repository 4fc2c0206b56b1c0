"""Rules of sums and rearrangements where relevance is in proportion to values, as on networks with attention.

:mod:`.plain` holds the plain forms. Here constants beside the image's way keep what is theirs, so that it can be
counted, and a step that moves images among each other is refused, since relevance belongs to one image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from ...errors import UnsupportedArchitecture
from ..arithmetic.patches import Patch
from ..network.node_runs import name_of
from .base import Kept, Stabilizer
from .plain import Gradient, NormSum

__all__ = ["ImageSum", "Rearrangement", "refuse_moved_images"]

_DEFAULT_DIM = {"stack": 0, "cat": 0, "concat": 0, "flatten": 0}
_BY_DIM = frozenset({
    *_DEFAULT_DIM, "select", "narrow", "unsqueeze", "unflatten", "mean", "sum", "amax", "transpose", "swapaxes",
})  # fmt: skip
_BY_DIMS = frozenset({"mean", "sum", "amax"})  # and these take several


class ImageSum(NormSum):
    """Summands share the relevance by their values, R_i = z_i / (z_1 + z_2) R_out; constants keep their share.

    Args:
        carries: which of the summands depend on the image.
    """

    def __init__(self, carries: Sequence[bool], stabilizer: Stabilizer = Stabilizer()) -> None:
        super().__init__(stabilizer)
        self.carries = tuple(carries)

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        if any(value.shape != output.shape for value, carries in zip(inputs, self.carries) if carries):
            shapes = [tuple(value.shape) for value in inputs]
            raise UnsupportedArchitecture(
                f"a sum of tensors of different shapes {shapes} has no rule; sums of parts of one shape have: use "
                f"another explainer (list them with `pairx-plugin hooks`)"
            )
        return Kept(tuple(value if carries else None for value, carries in zip(inputs, self.carries)), output)

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        assert kept.output is not None
        share = patch.values / self.stabilizer(patch.read(kept.output))
        return [None if value is None else patch.put(share * patch.read(value)) for value in kept.inputs]


class Rearrangement(Gradient):
    """Values change places, or the largest is taken; relevance goes where they came from."""

    def __init__(self, name: str, step: Callable[..., torch.Tensor], carries: Sequence[bool] = (True,)) -> None:
        super().__init__(step, carries)
        self.name = name

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        rows = [value.shape[0] for value, carries in zip(inputs, self.carries) if carries]
        if any(count != output.shape[0] for count in rows):
            raise UnsupportedArchitecture(
                f"the step '{self.name}' turns {rows[0]} rows into {output.shape[0]}, so that images change places "
                f"with something else, and has no rule; steps that keep the batch as the first dimension have: use "
                f"another explainer (list them with `pairx-plugin hooks`)"
            )
        return super().keep(inputs, output)


def refuse_moved_images(node: fx.Node) -> None:
    """Raise where a function or method works along the first dimension, where the images of a batch lie.

    Relevance belongs to one image, and rules take the first dimension for the batch. What a step does to it can be seen
    by its arguments alone: two images and two parallel branches have one shape.

    Raises:
        UnsupportedArchitecture: it does.
    """
    if _moves_images(node, name_of(node)):
        raise UnsupportedArchitecture(
            f"the step '{node}' ({name_of(node)}) works along the batch, so that it has no rule; steps that keep "
            f"images apart have: use another explainer (list them with `pairx-plugin hooks`)"
        )


def _moves_images(node: fx.Node, name: str) -> bool:
    if name == "getitem":
        index = node.args[1]
        first = index[0] if isinstance(index, tuple) and index else index
        return not (first is Ellipsis or first == slice(None))
    if name == "permute":
        order = node.args[1] if isinstance(node.args[1], (tuple, list)) else node.args[1:]
        return tuple(order)[:1] != (0,)
    if name not in _BY_DIM:
        return False
    names = ("dim", "start_dim") if name == "flatten" else ("dim", "dim0", "axis0")
    dims = next((node.kwargs[key] for key in names if key in node.kwargs), None)
    if dims is None:
        count = 3 if name in ("transpose", "swapaxes") else 2
        rest = node.args[1:count]
        dims = rest if rest else _DEFAULT_DIM.get(name)
    found = _flat(dims)
    return found == [] and name in _BY_DIMS or 0 in found


def _flat(dims: Any) -> list[Any]:
    """Return dimensions as one list, however they are nested."""
    if dims is None:
        return []
    if isinstance(dims, (tuple, list)):
        return [inner for part in dims for inner in _flat(part)]
    return [dims]
