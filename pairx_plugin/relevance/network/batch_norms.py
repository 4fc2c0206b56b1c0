"""Batch norms in evaluation mode: fixed affine maps that can be merged into the linear step before them.

Two ways of finding them: by the order in which modules were assigned, as the public PAIR-X's canonizers do, and by the
steps of the traced network, which finds every one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from ...errors import UnsupportedArchitecture

__all__ = [
    "MergedBatchNorm",
    "is_batch_norm",
    "merge_batch_norm",
    "merged_by_assignment",
    "merged_by_steps",
    "rest_of_norm",
]


@dataclass(frozen=True, kw_only=True)
class MergedBatchNorm:
    """A batch norm that was merged into the linear layer before it.

    Attributes:
        linear_key, norm_key: names of both modules.
        weight, bias: the merged parameters of the linear layer.
        eps: what zennit 0.5.1 leaves in the batch norm's place: a norm of no shift and scale one, but with this eps;
            None where nothing is left but an activation that the norm's module has.
    """

    linear_key: str
    norm_key: str
    weight: torch.Tensor = field(repr=False)
    bias: torch.Tensor = field(repr=False)
    eps: float | None = None


def is_batch_norm(module: nn.Module) -> bool:
    """Return whether a module is a batch norm: torch's, one derived from it, or a frozen one."""
    frozen = type(module).__name__.startswith("FrozenBatchNorm")
    return frozen or isinstance(module, nn.modules.batchnorm._BatchNorm)


def merged_by_assignment(network: nn.Module) -> dict[str, MergedBatchNorm]:
    """Merge each plain batch norm into a linear layer that is the leaf right before it.

    Leaves are compared in the order in which modules were assigned, as zennit's SequentialMergeBatchNorm does; timm's
    BatchNormAct2d has children, so it is no leaf and stays (zennit 0.5.1).

    Returns:
        By the linear layer's name.
    """
    merged: dict[str, MergedBatchNorm] = {}
    before_key: str = ""
    before: nn.Module | None = None
    for key, module in network.named_modules(remove_duplicate=False):
        if any(True for _ in module.children()):
            continue
        if isinstance(before, (nn.Conv2d, nn.Linear)) and isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            merged[before_key] = merge_batch_norm(before_key, before, key, module, module.eps)
        before_key, before = key, module
    return merged


def merged_by_steps(
    modules: Mapping[str, nn.Module], graph: fx.Graph
) -> tuple[dict[str, MergedBatchNorm], tuple[str, ...]]:
    """Merge each batch norm into the linear step whose output it alone reads.

    Args:
        modules: of the traced network, by name.
        graph: its steps; batch norms are steps of their own.

    Returns:
        What was merged, by the linear layer's name; and the names of the batch norms that follow something else, such
        as a pooling.
    """
    calls: dict[str, int] = {}
    for node in graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)] = calls.get(str(node.target), 0) + 1
    merged: dict[str, MergedBatchNorm] = {}
    alone: list[str] = []
    for node in graph.nodes:
        key = str(node.target)
        if node.op != "call_module" or not is_batch_norm(modules[key]):
            continue
        before = _before(node, modules)
        linear_key = str(before.target)
        linear = modules[linear_key] if before.op == "call_module" else None
        if isinstance(linear, (nn.Conv2d, nn.Linear)) and calls[linear_key] == 1 == calls[key]:
            merged[linear_key] = merge_batch_norm(linear_key, linear, key, modules[key])
        else:
            alone.append(key)
    return merged, tuple(dict.fromkeys(alone))


def _before(norm: fx.Node, modules: Mapping[str, nn.Module]) -> fx.Node:
    """Return the step whose output nothing but this norm reads, or else the norm's own input."""
    node = norm.all_input_nodes[0]
    while node.op == "call_module" and isinstance(modules[str(node.target)], (nn.Identity, nn.Dropout)):
        if len(node.users) > 1:
            return node
        node = node.all_input_nodes[0]
    return node if len(node.users) == 1 else norm


def merge_batch_norm(
    linear_key: str, linear: nn.Conv2d | nn.Linear, norm_key: str, norm: Any, eps: float | None = None
) -> MergedBatchNorm:
    """Return the parameters of `linear` followed by `norm` as those of one linear layer.

    The order of operations is zennit 0.5.1's: epsilon rules near a zero of their layer amplify the last bit.

    Args:
        eps: see :class:`MergedBatchNorm`.

    Raises:
        UnsupportedArchitecture: the norm takes its statistics from the images at hand.
    """
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise UnsupportedArchitecture(f"batch norm '{norm_key}' keeps no running statistics, so it is no fixed map")
    with torch.no_grad():
        deviation = (variance + norm.eps) ** 0.5
        scale = (1.0 if norm.weight is None else norm.weight) / deviation
        shift = torch.zeros_like(mean) if norm.bias is None else norm.bias
        weight = linear.weight * scale.reshape(-1, *(1 for _ in linear.weight.shape[1:]))
        bias = ((torch.zeros_like(mean) if linear.bias is None else linear.bias) - mean) * scale + shift
    return MergedBatchNorm(linear_key=linear_key, norm_key=norm_key, weight=weight, bias=bias, eps=eps)


def rest_of_norm(
    norm: nn.Module, merge: MergedBatchNorm, bias: torch.Tensor | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what stays in a merged norm's place: zennit's emptied norm, or the activation in the norm's module.

    Args:
        bias: of the linear step, where it is not added there: (D,) for maps (B, D, h, w) or rows (B, ..., D).
    """
    if merge.eps is None:
        dropped, activation = getattr(norm, "drop", None), getattr(norm, "act", None)
        steps = [step.forward for step in (dropped, activation) if isinstance(step, nn.Module)]
        return lambda x: _through(_added(x, bias), steps)
    mean, eps = norm.running_mean, merge.eps
    assert isinstance(mean, torch.Tensor)
    zeros, ones = torch.zeros_like(mean), torch.ones_like(mean)
    return lambda x: F.batch_norm(x, zeros, ones, ones, zeros, False, 0.0, eps)


def _added(x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    if bias is None:
        return x
    return x + (bias[:, None, None] if x.ndim == 4 else bias)


def _through(x: torch.Tensor, steps: Sequence[Callable[[torch.Tensor], torch.Tensor]]) -> torch.Tensor:
    for step in steps:
        x = step(x)
    return x
