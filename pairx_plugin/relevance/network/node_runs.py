"""What a node of a traced graph computes, as a function of its values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

__all__ = ["computation", "constant", "name_of", "of_sources"]


def constant(twin: nn.Module, target: str) -> Callable[[], Any]:
    """Return what gives a parameter, buffer or other attribute of the twin."""
    value: Any = twin
    for part in target.split("."):
        value = getattr(value, part)
    return lambda: value


def computation(node: fx.Node) -> Callable[..., Any]:
    """Return what a function or method node computes; none writes over a tensor, see :mod:`.overwriting`."""
    if node.op == "call_function":
        function: Callable[..., Any] = node.target  # type: ignore[assignment]
        return function
    name = str(node.target)
    return lambda tensor, *args, **kwargs: getattr(tensor, name)(*args, **kwargs)


def name_of(node: fx.Node) -> str:
    """Return the name of what a function or method node calls, or of a module node's module."""
    return node.target if isinstance(node.target, str) else str(getattr(node.target, "__name__", node.target))


def of_sources(node: fx.Node, run: Callable[..., Any]) -> Callable[..., torch.Tensor]:
    """Return what the node computes as a function of its source nodes' values alone."""

    def step(*values: Any) -> torch.Tensor:
        look_up = dict(zip(node.all_input_nodes, values)).__getitem__
        return run(*fx.node.map_arg(node.args, look_up), **fx.node.map_arg(node.kwargs, look_up))

    return step
