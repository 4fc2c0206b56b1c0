"""Rules of steps that work value by value: gradients of activations and batch norms, and what is put in their place.

A step of this kind has one derivative for each value of its map, so that parts of maps pass by themselves.

Sources: Zeiler and Fergus 2014 (deconvnet, doi 10.1007/978-3-319-10590-1_53), Springenberg et al. 2015 (guided
backpropagation, arXiv 1412.6806), Dombrowski et al. 2019 (beta-smooth, arXiv 1906.07983).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from ..arithmetic.patches import Patch
from .base import Kept, Rule
from .plain import Gradient, MaxPool, Pass

__all__ = ["BetaSmooth", "DeconvNet", "Elementwise", "GuidedBackprop", "function_gradient", "module_gradient"]

_MODULES = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.LogSigmoid,
    nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus, nn.Softshrink, nn.Softsign,
    nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_FUNCTIONS = frozenset(
    {F.elu, F.gelu, F.hardsigmoid, F.hardswish, F.leaky_relu, F.mish, F.relu, F.relu6, F.silu, F.softplus}
    | {torch.relu, torch.sigmoid, torch.tanh}
)


class Elementwise(Gradient):
    """Relevance passes as a gradient does, value by value: R_i = f'(x_i) R_i."""

    local = True

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return self._spread(patch, [patch.values * patch.read(self._derivative(kept))])

    def _derivative(self, kept: Kept) -> torch.Tensor:
        if "derivative" not in kept.cache:
            leaves, output = self._replay(Kept(kept.inputs))  # its graph is not kept
            (kept.cache["derivative"],) = torch.autograd.grad(output, leaves, torch.ones_like(output))
        found: torch.Tensor = kept.cache["derivative"]
        return found


class GuidedBackprop(Elementwise):
    """Only positive relevance passes, and only where the input was positive: R_i = f'(x_i) max(R_i, 0)."""

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return super().propagate(patch.put(patch.values.clamp(min=0)), kept)


class DeconvNet(Rule):
    """Only positive relevance passes, wherever it is: R_i = max(R_i, 0)."""

    local = True

    def keep(self, inputs: tuple[Any, ...], output: torch.Tensor) -> Kept:
        return Kept()

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return (patch.put(patch.values.clamp(min=0)),)


class BetaSmooth(Rule):
    """Relevance passes as through a softplus: R_i = R_i / (1 + exp(-beta x_i)).

    Each run of a module reads the input of that run, as it was. zennit 0.5.1 keeps a reference to the input of the last
    run, which is another one where a ReLU serves several places, as in torchvision's ResNets, and which a ReLU that
    computes in place has overwritten.

    Args:
        beta: sharpness of the softplus.
    """

    local = True

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def propagate(self, patch: Patch, kept: Kept) -> Sequence[Patch | None]:
        return (patch.put(patch.values * torch.sigmoid(patch.read(kept.inputs[0]) * self.beta)),)


def module_gradient(module: nn.Module, step: Callable[..., torch.Tensor], carries: Sequence[bool]) -> Rule:
    """Return the rule by which relevance passes a module as a gradient.

    Args:
        module: in evaluation mode.
        step: what it computes from the sources of its node.
        carries: which of the sources depend on the image.
    """
    if isinstance(module, (nn.Identity, nn.Dropout, nn.Dropout2d)):
        return Pass()
    if isinstance(module, nn.MaxPool2d) and MaxPool.fits(module):
        return MaxPool(module)
    normed = type(module) in _BATCH_NORMS and getattr(module, "running_mean", None) is not None
    if tuple(carries) == (True,) and (normed or type(module) in _MODULES):
        return Elementwise(step)
    return Gradient(step, carries)


def function_gradient(node: fx.Node, step: Callable[..., torch.Tensor], carries: Sequence[bool]) -> Rule:
    """Return the rule by which relevance passes a function or method node as a gradient; see `module_gradient`."""
    alone = sum(carries) == 1 and bool(node.args) and node.args[0] is node.all_input_nodes[list(carries).index(True)]
    if alone and (node.target in _FUNCTIONS or _is_fixed_batch_norm(node)):
        return Elementwise(step, carries)
    return Gradient(step, carries)


def _is_fixed_batch_norm(node: fx.Node) -> bool:
    """Return whether a node is a batch norm with statistics that do not depend on the batch."""
    if node.target is not F.batch_norm:
        return False
    training = node.args[5] if len(node.args) > 5 else node.kwargs.get("training", False)
    return training is False and len(node.args) > 2 and node.args[1] is not None
