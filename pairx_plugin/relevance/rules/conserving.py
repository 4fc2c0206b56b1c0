"""Which rule a step without weights has in mode ``corrected``, where every step passes on what it receives.

A step that is not known here is refused: a rule that loses or makes relevance would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import fx, nn

from ...errors import UnsupportedArchitecture
from ..attention.steps import AttentionStep, detached_norm
from ..network.node_runs import name_of, of_sources
from .base import Rule
from .conserving_linear import WholeZPlus
from .image_steps import ImageSum, Rearrangement, refuse_moved_images
from .linear import ZPlus
from .plain import Gradient, MaxPool, Norm, Pass
from .sharing import PassTo, SharedMean, SharedProduct, SharedSum

__all__ = ["bounded", "is_norm", "is_step", "is_sum", "rule_of_function", "rule_of_module"]

_SUMS = frozenset({"add", "sub"})
_PRODUCTS = frozenset({"mul", "multiply"})
_QUOTIENTS = frozenset({"truediv", "div"})
_MEANS = frozenset({"mean", "sum", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_avg_pool1d"})
_MAXIMA = frozenset({"max_pool2d", "adaptive_max_pool2d", "amax"})
# Values change, places stay, and what comes out is made of what was there: activations, norms of fixed statistics.
_IN_PLACE = frozenset({
    "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "hardswish", "hardsigmoid",
    "sigmoid", "tanh", "softplus", "clamp", "clamp_min", "pow", "sqrt", "dropout", "normalize", "batch_norm",
    "layer_norm", "group_norm", "contiguous", "clone", "to", "float", "double", "half", "type_as",
})  # fmt: skip
# Places change, values stay.
_REARRANGEMENTS = frozenset({
    "permute", "transpose", "swapaxes", "movedim", "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze",
    "getitem", "select", "narrow", "cat", "concat", "stack", "roll", "pad", "pixel_shuffle", "pixel_unshuffle",
    "expand", "to_map", "from_map",
})  # fmt: skip
_NORMS = ("LayerNorm", "RmsNorm", "RMSNorm", "GroupNorm")


def is_sum(node: fx.Node) -> bool:
    """Return whether a node adds or subtracts."""
    return name_of(node) in _SUMS


def rule_of_function(
    node: fx.Node, run: Callable[..., Any], carries: Sequence[bool], proportional: bool = False
) -> Rule:
    """Return the rule of a function or method.

    Args:
        run: what it computes.
        carries: which of its source nodes depend on the image; at least one does.
        proportional: keep relevance in proportion to values, as attention's rules need it; shares of sums and means
            may be any number then.

    Raises:
        UnsupportedArchitecture: no rule here conserves relevance in it.
    """
    name = name_of(node)
    n_carrying = sum(carries)
    step = of_sources(node, run)
    refuse_moved_images(node)
    if name in _SUMS:
        coefficients = _coefficients(node)
        if proportional and set(coefficients) == {1.0}:
            return ImageSum(carries)
        return SharedSum(coefficients, carries)
    if name in _PRODUCTS and n_carrying > 1:
        return SharedProduct()
    if name in _PRODUCTS or name in _QUOTIENTS and carries[0] or name in _IN_PLACE and n_carrying == 1:
        return PassTo(list(carries).index(True), len(carries))
    if name in _MEANS and n_carrying == 1:
        return Norm(step, carries=carries) if proportional else SharedMean(step, carries)
    if name in _REARRANGEMENTS or name in _MAXIMA:
        return Rearrangement(str(node), step, carries)
    raise UnsupportedArchitecture(
        f"the step '{node}' ({name}) has no rule that conserves relevance; mode 'reference' passes it as a gradient, "
        f"where the architecture is known to it, or use another explainer"
    )


def rule_of_module(
    node: fx.Node, module: nn.Module, carries: Sequence[bool], proportional: bool = False
) -> Rule:
    """Return the rule of a module that is one step and that no composite has a rule for.

    Args:
        carries, proportional: see :func:`rule_of_function`.

    Raises:
        UnsupportedArchitecture: no rule here conserves relevance in it.
    """
    if isinstance(module, AttentionStep):
        return Norm(of_sources(node, module.parted), carries=carries)
    if proportional and is_norm(module):
        return Norm(detached_norm(module))
    if isinstance(module, (nn.Identity, nn.Dropout, nn.Dropout2d)) or is_norm(module):
        return Pass()
    if isinstance(module, nn.MaxPool2d) and MaxPool.fits(module):
        return MaxPool(module)
    if isinstance(module, (nn.MaxPool2d, nn.AdaptiveMaxPool2d, nn.Flatten, nn.Unflatten, nn.PixelShuffle)):
        return Gradient(module.forward)
    raise UnsupportedArchitecture(
        f"the step '{node.target}' ({type(module).__name__}) has no rule that conserves relevance; use mode "
        f"'reference', where it passes as a gradient, or another explainer"
    )


def bounded(rule: Rule) -> Rule:
    """Return a composite's rule in the form that passes on everything and makes nothing larger, where it has one.

    z-plus has a gap where nothing raised an output, and shares of an average can grow where its values cancel. A z-plus
    that counts biases leaves relevance to them on purpose and stays as it is.
    """
    if type(rule) is ZPlus and rule.zero_bias:
        return WholeZPlus(rule.step.module, rule.weight, rule.bias)
    return SharedMean(rule.step) if type(rule) is Norm and rule.carries == (True,) else rule


def is_step(module: nn.Module) -> bool:
    """Return whether a module that is not torch's own is one step all the same."""
    return is_norm(module) or isinstance(module, AttentionStep)


def is_norm(module: nn.Module) -> bool:
    """Return whether a module is a norm that takes its statistics from each image: a layer norm or its like.

    With these statistics held fixed it scales each value; relevance passes it unchanged (Achtibat et al. 2024,
    proposition 3.4).
    """
    return any(base.__name__ in _NORMS for base in type(module).__mro__)


def _coefficients(node: fx.Node) -> list[float]:
    """Return what each source of a sum is multiplied by."""
    second = -1.0 if name_of(node) == "sub" else 1.0
    factors = zip(node.args, (1.0, second * float(node.kwargs.get("alpha", 1.0))))  # type: ignore[arg-type]
    total = dict.fromkeys(node.all_input_nodes, 0.0)
    for source, factor in factors:
        if isinstance(source, fx.Node):
            total[source] += factor
    return list(total.values())
