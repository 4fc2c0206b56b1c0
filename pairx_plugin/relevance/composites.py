"""From a zennit composite to the rule of each module.

zennit's composites are the language in which rules are chosen: a composite maps each module to a zennit hook, and this
module translates the hook into the rule of :mod:`.rules` that computes the same, with the hook's own stabilizer. Hooks
are only asked, never registered.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from ..errors import UnsupportedArchitecture
from . import linear_rules, rules

__all__ = ["default_composite", "rule_of_hook", "stabilizer_of"]


def default_composite() -> Any:
    """Return zennit's EpsilonPlus, PAIR-X's composite: z-plus on convolutions, epsilon on dense layers."""
    from zennit.composites import EpsilonPlus

    return EpsilonPlus()


def rule_of_hook(
    hook: Any, key: str, module: nn.Module, weight: torch.Tensor | None, bias: torch.Tensor | None
) -> rules.Rule | None:
    """Return the rule that computes what `hook` would on `module`.

    Args:
        hook: a zennit hook, or None where the composite has none for the module.
        key: the module's name, for messages.
        weight, bias: the module's parameters, after canonisation.

    Returns:
        The rule, or None where relevance passes as a gradient.

    Raises:
        UnsupportedArchitecture: no rule here computes what the hook computes.
    """
    if hook is None:
        return None
    kind = type(hook).__name__
    if kind == "Pass":
        return rules.Pass()
    if kind == "Norm":
        return rules.Norm(module.forward, stabilizer_of(hook))
    linear = isinstance(module, (nn.Conv2d, nn.Linear))
    if kind in ("ZPlus", "Epsilon") and linear and weight is not None:
        rule = linear_rules.ZPlus if kind == "ZPlus" else linear_rules.Epsilon
        return rule(module, weight, bias, stabilizer_of(hook), _zeroes_bias(hook))
    raise UnsupportedArchitecture(
        f"no rule computes zennit's {kind} on '{key}' ({type(module).__name__}); known: Pass and Norm on anything, "
        f"ZPlus and Epsilon on Conv2d and Linear"
    )


def stabilizer_of(hook: Any) -> rules.Stabilizer:
    """Return the stabilizer that a zennit hook was made with; zennit keeps it in the closure of a lambda only.

    The common one, which adds epsilon with the denominator's sign, is replaced by our own of the same values.
    """
    found = inspect.getclosurevars(hook.gradient_mapper).nonlocals.get("stabilizer_fn")
    if found is None:
        return rules.Stabilizer()
    plain = not getattr(found, "clip", True) and not getattr(found, "norm_scale", True)
    return rules.Stabilizer(found.epsilon) if plain else rules.Stabilizer(found.epsilon, found)


def _zeroes_bias(hook: Any) -> bool:
    """Return whether the hook's first parameter modifier sets the bias to zero."""
    zeroed = getattr(hook.param_modifiers[0], "zero_params", None) or ()
    return "bias" in ([zeroed] if isinstance(zeroed, str) else zeroed)
