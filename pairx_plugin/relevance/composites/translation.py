"""From a zennit composite to the rule of each module.

zennit's composites are the language in which rules are chosen: a composite maps each module to a zennit hook, and this
module translates the hook into the rule of ours that computes the same, with the hook's own numbers. A hook that is not
exactly one of zennit's own, or meets a module that our rule does not know, has no translation: it runs as it is, see
:mod:`.hooked`. Here hooks are only asked, never registered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..rules import activations, linear, linear_families
from ..rules.base import Rule, Stabilizer
from ..rules.plain import Copy, Norm, NormSum, Pass

__all__ = ["default_composite", "is_plain_linear", "rule_of_hook", "rule_of_sum", "stabilizer_of", "sum_hook"]

_NOT_THERE = object()


def default_composite(mode: str = "reference") -> Any:
    """Return zennit's EpsilonPlus, PAIR-X's composite: z-plus on convolutions, epsilon on dense layers.

    Where relevance has to be conserved, in mode ``corrected``, convolutions keep none for their biases.
    """
    from zennit.composites import EpsilonPlus
    from zennit.rules import ZPlus
    from zennit.types import Convolution

    if mode == "corrected":
        return EpsilonPlus(layer_map=[((Convolution,), ZPlus(stabilizer=1e-12, zero_params="bias"))])
    return EpsilonPlus()


def rule_of_hook(hook: Any, module: nn.Module) -> Rule | None:
    """Return the rule that computes what a zennit hook would on `module`; None where there is none.

    Args:
        hook: what a composite has for the module.
        module: the module, with its weights after canonisation.
    """
    from zennit import rules as zennit_rules

    if not _is_as_made(hook, zennit_rules):
        return None
    others: dict[type, Callable[[], Rule | None]] = {
        zennit_rules.Pass: Pass,
        zennit_rules.Norm: lambda: _with_stabilizer(hook, lambda found: Norm(module.forward, found)),
    }
    on_relu: dict[type, Callable[[], Rule | None]] = {
        zennit_rules.ReLUDeconvNet: activations.DeconvNet,
        zennit_rules.ReLUGuidedBackprop: lambda: activations.GuidedBackprop(module.forward),
        zennit_rules.ReLUBetaSmooth: lambda: activations.BetaSmooth(hook.beta_smooth),
    }
    if type(hook) in others:
        return others[type(hook)]()
    if type(hook) in on_relu and type(module) is nn.ReLU:
        return on_relu[type(hook)]()
    numbers_of = _linear(zennit_rules).get(type(hook))
    if numbers_of is None or not is_plain_linear(module):
        return None
    return _with_stabilizer(hook, lambda found: _linear_rule(hook, module, found, *numbers_of))


def _linear(zennit_rules: Any) -> dict[type, tuple[type[linear.LinearRule], Callable[[Any], dict[str, Any]]]]:
    """Return for each hook of linear steps our rule, and what else it needs of the hook."""
    return {
        zennit_rules.Epsilon: (linear.Epsilon, lambda hook: {}),
        zennit_rules.ZPlus: (linear.ZPlus, lambda hook: {}),
        zennit_rules.Gamma: (
            linear_families.Gamma,
            lambda hook: {"gamma": _kept(hook.param_modifiers[0].modifier, "gamma")},
        ),
        zennit_rules.AlphaBeta: (
            linear_families.AlphaBeta,
            lambda hook: {"alpha": _kept(hook.reducer, "alpha"), "beta": _kept(hook.reducer, "beta")},
        ),
        zennit_rules.ZBox: (
            linear_families.ZBox,
            lambda hook: {"low": hook.input_modifiers[1], "high": hook.input_modifiers[2]},
        ),
        zennit_rules.WSquare: (linear_families.WSquare, lambda hook: {}),
        zennit_rules.Flat: (linear_families.Flat, lambda hook: {}),
    }


def _linear_rule(
    hook: Any,
    module: nn.Module,
    stabilizer: Stabilizer,
    rule: type[linear.LinearRule],
    numbers_of: Callable[[Any], dict[str, Any]],
) -> Rule | None:
    numbers = numbers_of(hook)
    zeroed = hook.param_modifiers[0].zero_params or ()
    if "weight" in zeroed or _NOT_THERE in numbers.values():
        return None
    bias: Any = module.bias
    weight: Any = module.weight
    return rule(module, weight, bias, stabilizer, "bias" in zeroed, **numbers)


def is_plain_linear(module: nn.Module) -> bool:
    """Return whether a module computes W x + b as torch's own Conv2d or Linear does, or timm's Conv2dSame."""
    kind = type(module)
    if "forward" in vars(module):
        return False
    if isinstance(module, nn.Linear):
        return kind.forward is nn.Linear.forward
    if not isinstance(module, nn.Conv2d) or module.padding_mode != "zeros":
        return False
    if kind.__name__ == "Conv2dSame" and kind.__module__.startswith("timm."):
        return True
    return all(getattr(kind, name) is getattr(nn.Conv2d, name) for name in ("forward", "_conv_forward"))


def sum_hook(composite: Any, context: dict[str, Any], owner: str) -> Any:
    """Return the hook that a composite has for the residual sum of a block, where zennit's canonizers put one."""
    from zennit.layer import Sum

    return composite.module_map(context, f"{owner}.canonizer_sum", Sum())


def rule_of_sum(hook: Any) -> Rule | None:
    """Return the rule of a sum of two that computes what a zennit hook would; None where there is none."""
    from zennit import rules as zennit_rules

    if hook is None:
        return Copy()
    if type(hook) is not zennit_rules.Norm or not _is_as_made(hook, zennit_rules):
        return None
    return _with_stabilizer(hook, NormSum)


def _with_stabilizer(hook: Any, make: Callable[[Stabilizer], Rule | None]) -> Rule | None:
    stabilizer = stabilizer_of(hook)
    return None if stabilizer is None else make(stabilizer)


def stabilizer_of(hook: Any) -> Stabilizer | None:
    """Return the stabilizer that a zennit hook was made with; zennit keeps it in the closure of a lambda only.

    The common one, which adds epsilon with the denominator's sign, is replaced by our own of the same values.
    """
    found = _kept(hook.gradient_mapper, "stabilizer_fn")
    if found is _NOT_THERE:
        return None
    plain = type(found).__module__ == "zennit.core" and not (found.clip or found.norm_scale)
    return Stabilizer(found.epsilon) if plain else Stabilizer(other=found)


def _kept(function: Callable[..., Any], name: str) -> Any:
    """Return what a function has in its closure under a name."""
    kept: Mapping[str, Any] = inspect.getclosurevars(function).nonlocals
    return kept.get(name, _NOT_THERE)


def _is_as_made(hook: Any, zennit_rules: Any) -> bool:
    """Return whether a hook is exactly one of zennit's, with none of its functions exchanged since."""
    if vars(zennit_rules).get(type(hook).__name__) is not type(hook):
        return False
    parts = [*getattr(hook, "input_modifiers", ()), *getattr(hook, "output_modifiers", ())]
    parts += [modifier.modifier for modifier in getattr(hook, "param_modifiers", ())]
    parts += [getattr(hook, name) for name in ("gradient_mapper", "reducer") if hasattr(hook, name)]
    home = zennit_rules.__name__
    return all(part is torch.ones_like or getattr(part, "__module__", "") == home for part in parts)
