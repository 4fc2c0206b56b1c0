"""What a node of a traced graph computes, as a function of its values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

__all__ = ["computation", "constant", "of_sources"]

_OUT_OF_PLACE = {operator.iadd: operator.add, operator.imul: operator.mul, operator.isub: operator.sub}


def constant(twin: nn.Module, target: str) -> Callable[[], Any]:
    """Return what gives a parameter, buffer or other attribute of the twin."""
    value: Any = twin
    for part in target.split("."):
        value = getattr(value, part)
    return lambda: value


def computation(node: fx.Node) -> Callable[..., Any]:
    """Return what a function or method node computes, never in place."""
    if node.op == "call_function":
        target: Any = node.target
        function = _OUT_OF_PLACE.get(target, target)
        return _without_inplace(function) if "inplace" in node.kwargs else function
    name = str(node.target)
    if name.endswith("_") and not name.endswith("__"):
        name = name[:-1]
    return lambda tensor, *args, **kwargs: getattr(tensor, name)(*args, **kwargs)


def _without_inplace(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: function(*args, **{**kwargs, "inplace": False})


def of_sources(node: fx.Node, run: Callable[..., Any]) -> Callable[..., torch.Tensor]:
    """Return what the node computes as a function of its source nodes' values alone."""

    def step(*values: Any) -> torch.Tensor:
        look_up = dict(zip(node.all_input_nodes, values)).__getitem__
        return run(*fx.node.map_arg(node.args, look_up), **fx.node.map_arg(node.kwargs, look_up))

    return step
