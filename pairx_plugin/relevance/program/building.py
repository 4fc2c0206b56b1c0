"""Make a program of a twin: trace it, and give each step its rule.

Which rule that is depends on three things: the composite has one for a module, the canonisation has one for gates,
norms and sums, and what neither knows passes as a gradient, or, in mode ``corrected``, by :mod:`..rules.conserving`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from ...errors import UnsupportedArchitecture
from ..attention.kinds import attention_kind, take_apart
from ..attention.steps import AttentionStep
from ..composites.named import resolve_composite
from ..composites.translation import is_plain_linear
from ..network.batch_norms import is_batch_norm, rest_of_norm
from ..network.node_runs import computation, constant, of_sources
from ..network.token_steps import insert_grids
from ..network.tracing import Trace, trace
from ..rules import conserving
from ..rules.activations import function_gradient
from ..rules.base import Rule
from ..rules.conserving_linear import WholeZPlus
from ..rules.image_steps import refuse_moved_images
from ..rules.linear import LinearRule
from ..rules.plain import Copy, Norm, Pass
from .canonization import Canonization, follow
from .module_rules import ModuleRules
from .steps import Program, Step

__all__ = ["build_program"]

_ADDITIONS = frozenset({operator.add, torch.add})
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.DataParallel, nn.parallel.DistributedDataParallel)


def build_program(
    twin: nn.Module, canonization: Canonization, composite: Any, shape: Sequence[int]
) -> Program:
    """Trace `twin` and give each step its rule.

    Args:
        twin: see :func:`..network.shadow.make_twin`.
        canonization: see :func:`.canonization.canonize`, of the same twin; it is completed here.
        composite: a zennit composite, or the name of one; its canonizers are not used.
        shape: (B, 3, H, W) of the images.

    Raises:
        UnsupportedArchitecture: the network has no fixed steps, or a step has no rule.
    """
    composite = resolve_composite(composite, canonization.mode)
    put_in = take_apart(twin) if canonization.conserves else frozenset[str]()
    context: dict[str, Any] = {}
    at_cells = nn.Conv2d(1, 1, 1, device="meta")  # what a dense layer that runs at every cell of a map is
    hooks = {
        name: composite.module_map(context, name, at_cells if name in canonization.pointwise else module)
        for name, module in twin.named_modules()
    }
    if canonization.conserves:
        hooks.update(dict.fromkeys(_without_rules(twin)))
    gates = frozenset(canonization.gates)

    def is_leaf(name: str, module: nn.Module) -> bool:
        plain = type(module).__module__.startswith("torch.nn") and not isinstance(module, _CONTAINERS)
        plain = plain and not (canonization.conserves and attention_kind(module) is not None)
        step = canonization.conserves and (is_batch_norm(module) or conserving.is_step(module))
        return name in gates or hooks[name] is not None or plain or step or is_plain_linear(module)

    traced = trace(twin, is_leaf, shape)
    for name in put_in:
        traced.outputs.pop(name, None)
    if canonization.conserves:
        insert_grids(traced, twin, shape)
    canonization = follow(canonization, twin, traced.graph, traced.owners)
    modules = ModuleRules(dict(twin.named_modules()), hooks, canonization, composite, context)
    builder = _Builder(twin, canonization, modules, traced)
    image, *inner, output = traced.graph.nodes
    steps = tuple(builder.step(node) for node in inner)
    fixed = tuple(shape) if traced.sized else None
    return Program(steps, image, output.args[0], traced.outputs, canonization, fixed, traced.lowered)


def _without_rules(twin: nn.Module) -> list[str]:
    """Return the names of modules that no rule of a composite is meant for.

    They lie inside of attention that is one step, or are torch's MultiheadAttention, an activation to zennit.
    """
    modules = dict(twin.named_modules())
    steps = tuple(f"{name}." for name, module in modules.items() if isinstance(module, AttentionStep))
    return [
        name
        for name, module in modules.items()
        if name.startswith(steps) or isinstance(module, nn.MultiheadAttention)
    ]


class _Builder:
    def __init__(self, twin: nn.Module, canonization: Canonization, modules: ModuleRules, traced: Trace) -> None:
        self.modules, self.rules = modules.modules, modules
        self.twin, self.traced, self.canonization = twin, traced, canonization
        self.replaced_norms = {merge.norm_key: merge for merge in canonization.merged.values()}
        self.biases: dict[str, torch.Tensor | None] = {}
        self.carries: set[fx.Node] = {next(iter(traced.graph.nodes))}

    def step(self, node: fx.Node) -> Step:
        sources = tuple(node.all_input_nodes)
        carries = tuple(source in self.carries for source in sources)
        passes = any(carries)
        if passes:
            self.carries.add(node)
        rule: Rule | None = None
        if node.op == "call_module":
            run, rule = self._module(node, carries)
        elif node.op == "get_attr":
            run = constant(self.twin, str(node.target))
        elif node.op in ("call_function", "call_method"):
            run = computation(node)
            rule = self._function(node, run, carries) if passes else None
        else:
            raise UnsupportedArchitecture(f"a step of kind '{node.op}' ({node}) has no rule")
        target = str(node.target)
        merged = node.op == "call_module" and (target in self.replaced_norms or self.rules.touches(target))
        return Step(node, run, rule if passes else None, sources, self.modules[target].forward if merged else None)

    def _module(self, node: fx.Node, carries: tuple[bool, ...]) -> tuple[Callable[..., Any], Rule]:
        key, conserves = str(node.target), self.canonization.conserves
        proportional = bool(self.canonization.attention)
        if key in self.canonization.gates or key in self.canonization.lone_norms:
            forward = self.modules[key].forward
            shared = proportional and key in self.canonization.lone_norms  # its bias keeps a share, as all do there
            return forward, Norm(forward) if shared else Pass()
        if key in self.replaced_norms and (conserves or self.rules.passes(key)):
            return rest_of_norm(self.modules[key], self.replaced_norms[key], self.biases.get(key)), Pass()
        module = self.rules.module(key)
        rule = self.rules.rule(node, module, carries)
        if rule is None and not any(carries):  # a table of positions, say: nothing of the image passes
            return module.forward, Pass()
        if rule is None:
            rule = (
                conserving.rule_of_module(node, module, carries, proportional)
                if conserves
                else self.rules.gradient(node, module, carries)
            )
        if conserves and not proportional:
            rule = conserving.bounded(rule)
        if not isinstance(rule, LinearRule):
            return module.forward, rule
        if isinstance(rule, WholeZPlus) and key in self.canonization.merged:  # what stays of the norm adds the bias
            self.biases[self.canonization.merged[key].norm_key], rule.added = rule.added, None
        return rule.run, rule

    def _function(self, node: fx.Node, run: Callable[..., Any], carries: tuple[bool, ...]) -> Rule:
        if self.canonization.conserves:
            return conserving.rule_of_function(node, run, carries, bool(self.canonization.attention))
        refuse_moved_images(node)
        return self._sum(node, carries) or function_gradient(node, of_sources(node, run), carries)

    def _sum(self, node: fx.Node, carries: tuple[bool, ...]) -> Rule | None:
        if node.target not in _ADDITIONS or carries != (True, True):
            return None
        owner = self.traced.owners[node]
        return self.rules.sum(owner) if owner in self.canonization.norm_sum_owners else Copy()
