"""Steps of a host's forward pass that write over a tensor, in a graph of steps of which none does.

A host may write ``x.clamp_(min=0)`` or ``self.relu(x)`` as a statement and go on with ``x``; Python knows that tensor
by one stand-in, wherever the host has put it. So the step becomes one that makes a new tensor, and the stand-in stands
for that from then on. Tensors that share memory with it, views, have stand-ins of their own, which nobody can find: a
network that reads one of them after the step is refused.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from ...errors import UnsupportedArchitecture

__all__ = ["IN_PLACE_OPERATORS", "Overwritten", "out_of_place", "refuse_torn_views", "written_over"]

Overwritten = tuple[fx.Node, fx.Node]
"""A step that wrote over a tensor, and the step that had made this tensor."""

IN_PLACE_OPERATORS = {
    f"i{name.strip('_')}": getattr(operator, name)
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor")
}
"""Operators such as ``+=``, by their name in :mod:`operator`, each with the one that writes over nothing."""

# What may return the memory of its argument. Some of these copy at times; then a network is refused that need not be.
_VIEWS = frozenset({
    "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "squeeze", "unsqueeze", "transpose",
    "swapaxes", "swapdims", "permute", "movedim", "moveaxis", "t", "narrow", "select", "getitem", "getattr", "expand",
    "expand_as", "broadcast_to", "diagonal", "unfold", "contiguous", "to", "type", "type_as", "float", "double", "half",
    "bfloat16", "cpu", "cuda", "detach", "dropout",
})  # fmt: skip
_VIEWING_MODULES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd)
_FILLING = {"zero_": torch.zeros_like, "fill_": torch.full_like}


def written_over(kind: str, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return what a call writes its result over; None where it makes a new tensor."""
    if isinstance(kwargs.get("out"), (fx.Proxy, torch.Tensor)):
        return kwargs["out"]
    name = target if kind == "call_method" else getattr(target, "__name__", "")
    is_of_operators = getattr(operator, name, None) is target  # which has and_ and or_, too
    is_operator = name.strip("_") in IN_PLACE_OPERATORS and (kind == "call_method" or is_of_operators)
    is_named_so = name.endswith("_") and not name.endswith("__") and not is_of_operators
    return args[0] if args and (is_operator or is_named_so or kwargs.get("inplace") is True) else None


def out_of_place(
    kind: str, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[str, Any, tuple[Any, ...], dict[str, Any]]:
    """Return the call that computes the same and writes over nothing: its kind, target and arguments.

    Raises:
        UnsupportedArchitecture: there is none, or a weight of the host's would be written over.
    """
    name = target if kind == "call_method" else target.__name__
    written = written_over(kind, target, args, kwargs)
    if not isinstance(written, fx.Proxy) or isinstance(written, fx.proxy.Attribute):
        raise UnsupportedArchitecture(
            f"the step '{name}' writes over a tensor that is no result of an earlier step, such as a weight, so that "
            f"it cannot be followed; let the forward pass make a new tensor instead"
        )
    others = {key: value for key, value in kwargs.items() if key != "out"}
    if "inplace" in others:
        return kind, target, args, {**others, "inplace": False}
    if name.strip("_") in IN_PLACE_OPERATORS:
        return "call_function", IN_PLACE_OPERATORS[name.strip("_")], args, others
    if name in _FILLING:
        return "call_function", _FILLING[name], args, others
    if "out" in kwargs:
        return kind, target, args, others
    homes = (torch.Tensor,) if kind == "call_method" else (torch, F)
    found = next((getattr(home, name[:-1]) for home in homes if callable(getattr(home, name[:-1], None))), None)
    if found is None:
        raise UnsupportedArchitecture(
            f"the step '{name}' writes over a tensor, and there is none that computes the same without, so that it "
            f"cannot be followed; let the forward pass make a new tensor instead"
        )
    return kind, name[:-1] if kind == "call_method" else found, args, others


def refuse_torn_views(graph: fx.Graph, modules: Mapping[str, nn.Module], overwritten: Sequence[Overwritten]) -> None:
    """Raise where memory is read by another name after it was written over, so that a new tensor is not the same.

    Raises:
        UnsupportedArchitecture: such a step; the message names it.
    """
    places = {node: place for place, node in enumerate(graph.nodes)}
    for made, written in overwritten:
        for other in _sharing(written, modules):
            late = [user for user in other.users if places[user] > places[made]]
            if late and places[other] < places[made]:
                raise UnsupportedArchitecture(
                    f"the step '{made}' writes over memory that '{late[0]}' reads by another name ('{other}') later, "
                    f"so that it cannot be followed; let the forward pass make a new tensor there"
                )


def _sharing(node: fx.Node, modules: Mapping[str, nn.Module]) -> Iterator[fx.Node]:
    """Yield the nodes that may share memory with one: what it is a view of, and views of it."""
    above = node
    while _is_view(above, modules):
        above = above.all_input_nodes[0]
        yield above
    below = [node]
    while below:
        views = [user for user in below.pop().users if _is_view(user, modules)]
        yield from views
        below.extend(views)


def _is_view(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    if not node.all_input_nodes:
        return False
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], _VIEWING_MODULES)
    name = node.target if node.op == "call_method" else getattr(node.target, "__name__", "")
    return node.op in ("call_method", "call_function") and name in _VIEWS
