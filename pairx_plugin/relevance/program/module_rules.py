"""Which rule a module that is one step has under a composite: one of ours, or zennit's own hook."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import fx, nn

from ...errors import UnsupportedArchitecture
from ..composites.hooked import Hooked, stand_in, usable
from ..composites.translation import is_plain_linear, rule_of_hook, rule_of_sum, sum_hook
from ..network.batch_norms import MergedBatchNorm
from ..network.node_runs import of_sources
from ..rules.activations import module_gradient
from ..rules.base import Rule
from ..rules.linear_families import LinearGradient
from ..rules.plain import Pass
from .canonization import Canonization

__all__ = ["ModuleRules"]

T = TypeVar("T")
Tensors = Mapping[str, torch.Tensor]


class ModuleRules:
    """The rules of a network's modules under one composite.

    Args:
        modules: of a twin, by name.
        hooks: what the composite has for each of them; None where it has nothing.
        canonization: what is merged, and what has rules of its own.
        composite: the composite itself, for residual sums, which are no modules here.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        hooks: Mapping[str, Any],
        canonization: Canonization,
        composite: Any,
        context: dict[str, Any],
    ) -> None:
        self.modules, self.canonization = modules, canonization
        self.hooks = {name: hook for name, hook in hooks.items() if hook is not None}
        self.composite, self.context = composite, context
        self.replaced = _by_outer(_replaced(canonization.merged.values(), modules))
        self.hooks_inside = _by_outer(self.hooks)
        for name, hook in self.hooks.items():
            if not callable(getattr(hook, "copy", None)) or not callable(getattr(hook, "register", None)):
                raise UnsupportedArchitecture(
                    f"the composite has {hook!r} for '{name}', which is no zennit hook; give it one of zennit.rules"
                )

    def module(self, key: str) -> nn.Module:
        """Return a module with its weights after canonisation."""
        replaced = self.replaced.get(key)
        return stand_in(self.modules[key], replaced) if replaced else self.modules[key]

    def touches(self, key: str) -> bool:
        """Return whether a batch norm was merged into a module, out of it, or inside of it."""
        return key in self.replaced

    def passes(self, key: str) -> bool:
        """Return whether the composite's hook for a module passes relevance on unchanged."""
        return key in self.hooks and isinstance(rule_of_hook(self.hooks[key], self.modules[key]), Pass)

    def rule(self, node: fx.Node, module: nn.Module, carries: Sequence[bool]) -> Rule | None:
        """Return the rule of a module's node; None where the composite leaves it to the gradient.

        Args:
            module: see :meth:`module`.
            carries: which of the node's sources depend on the image.

        Raises:
            UnsupportedArchitecture: hooks around what has rules of its own.
        """
        key = str(node.target)
        hooks = self.hooks_inside.get(key)
        if not hooks:
            return None
        rule = rule_of_hook(hooks[""], module) if "" in hooks else None
        if isinstance(rule, Pass):
            return rule
        self._check_inside(key, module)
        alone = len(hooks) == 1 and tuple(carries) == (True,)
        if rule is not None and alone:
            return rule
        return Hooked(key, module, hooks, lambda copy: of_sources(node, copy), carries)

    def gradient(self, node: fx.Node, module: nn.Module, carries: Sequence[bool]) -> Rule:
        """Return the rule by which relevance passes a module as a gradient."""
        if is_plain_linear(module):
            weight, bias = (getattr(module, name) for name in ("weight", "bias"))
            return LinearGradient(module, weight, bias)
        module = usable(module)
        plain = len(node.args) == 1 and not node.kwargs
        return module_gradient(module, module.forward if plain else of_sources(node, module.forward), carries)

    def sum(self, owner: str) -> Rule:
        """Return the rule of the residual sum of a block."""
        from zennit.layer import Sum

        hook = sum_hook(self.composite, self.context, owner)
        return rule_of_sum(hook) or Hooked(f"the sum of {owner}", Sum(), {"": hook}, _stacking, (True, True))

    def _check_inside(self, key: str, module: nn.Module) -> None:
        """Raise where a module that is to have one rule holds something that has rules of its own."""
        treated = {*self.canonization.gates, *self.canonization.norm_sum_owners, *self.canonization.lone_norms}
        inner = sorted(name for name in treated if name == key or name.startswith(f"{key}."))
        if inner:
            raise UnsupportedArchitecture(
                f"the composite has a rule for '{key}' ({type(module).__name__}), around '{inner[0]}', which relevance "
                f"passes in a way of its own; give rules to the modules inside of '{key}' instead"
            )


def _stacking(module: nn.Module) -> Callable[..., torch.Tensor]:
    """Return zennit's sum of two, as its canonizers write it."""
    return lambda *summands: module(torch.stack(summands, dim=-1))


def _by_outer(by_name: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """Return for each module what there is for it, under the empty name, and for those inside of it."""
    found: dict[str, dict[str, T]] = {name: {"": value} for name, value in by_name.items()}
    for name, value in by_name.items():
        parts = name.split(".")
        for count in range(1, len(parts)):
            found.setdefault(".".join(parts[:count]), {})[".".join(parts[count:])] = value
    return found


def _replaced(merges: Iterable[MergedBatchNorm], modules: Mapping[str, nn.Module]) -> dict[str, Tensors]:
    """Return the tensors that take the place of the host's, by module."""
    replaced: dict[str, Tensors] = {}
    for merge in merges:
        replaced[merge.linear_key] = {"weight": merge.weight, "bias": merge.bias}
        if merge.eps is not None:
            replaced[merge.norm_key] = _emptied(merge, modules[merge.norm_key])
    return replaced


def _emptied(merge: MergedBatchNorm, norm: nn.Module) -> Tensors:
    """Return what makes a batch norm shift by nothing and scale by one, but for its epsilon, as zennit leaves it."""
    zeros, ones = torch.zeros_like(merge.bias), torch.ones_like(merge.bias)
    values = {"weight": ones, "bias": zeros, "running_mean": zeros, "running_var": ones}
    return {name: value for name, value in values.items() if getattr(norm, name) is not None}
