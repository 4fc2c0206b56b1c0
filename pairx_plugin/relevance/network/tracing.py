"""Turn a twin into a graph of steps, without touching anything outside of the twin.

torch.fx's own tracer replaces ``torch.nn.Module.__call__`` for the whole process while it traces, so that a host's
threads would run into it. Here only the twin's modules are redirected, by attributes on their instances.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from ...errors import ModelError, UnsupportedArchitecture
from .overwriting import IN_PLACE_OPERATORS, Overwritten, out_of_place, refuse_torn_views, written_over
from .precision import is_lowered, unlowered
from .shadow import buffers_apart, is_in_place, make_outline

__all__ = ["Trace", "trace"]

_KNOWN = frozenset({"shape", "size", "ndim", "dim", "ndimension", "numel", "dtype"})
_SPLITS = frozenset({"chunk", "split", "tensor_split", "unbind"})  # what returns several tensors at once


@dataclass(frozen=True)
class Trace:
    """The steps of one forward pass.

    Attributes:
        graph: nodes in the order in which they run.
        outputs: for each module that was called, the nodes that it returned, one per call; None where it returned
            something other than one tensor.
        owners: for each node, the name of the innermost module whose forward made it.
        sized: whether the network asked for a shape, so that the steps hold for images of that shape only.
        lowered: whether the network computes a part of itself in lower precision (autocast), which its steps do not.
        shape_of: returns the shape of what a node computes, None where that is no tensor.
    """

    graph: fx.Graph
    outputs: dict[str, list[fx.Node | None]]
    owners: dict[fx.Node, str] = field(repr=False)
    sized: bool = False
    lowered: bool = False
    shape_of: Callable[[fx.Node], tuple[int, ...] | None] = field(default=lambda node: None, repr=False)


def trace(twin: nn.Module, is_leaf: Callable[[str, nn.Module], bool], shape: Sequence[int]) -> Trace:
    """Run `twin` once on stand-ins for tensors and return its steps.

    Args:
        twin: a network of our own, see :func:`.shadow.make_twin`; its modules are redirected while this runs.
        is_leaf: whether a module is one step, given its name and the module itself.
        shape: (B, 3, H, W) of the images.

    Raises:
        ModelError: the network returns something other than one tensor.
        UnsupportedArchitecture: the network's way depends on its input's values, so that it has no fixed steps.
    """
    tracer = _TwinTracer(twin, shape)
    names = dict(twin.named_modules())
    try:
        leaves = {name for name, module in names.items() if name and is_leaf(name, module)}
        for name, module in names.items():
            if not _parents(name) & leaves:  # what lies inside of a step is the step's own affair
                redirect = tracer.as_step if name in leaves else tracer.as_container
                module.__dict__["forward"] = redirect(name, module)
        with buffers_apart(twin), unlowered(tracer.device_type):
            return tracer.run(twin, names)
    except ModelError:
        raise
    except Exception as error:  # whatever a host's forward may raise when it is handed stand-ins
        raise UnsupportedArchitecture(
            f"the steps of {type(twin).__name__} cannot be followed: {type(error).__name__}: {error}. Its forward pass "
            f"must be a fixed sequence of steps; pass the backbone by itself, or use another explainer"
        ) from error
    finally:
        for module in names.values():
            module.__dict__.pop("forward", None)
        for module, patched in tracer.patched:
            module.__dict__["forward"] = patched


def _attribute(value: Any, name: str) -> Any:
    return getattr(value, name, None)


def _parents(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}


class _StandIn(fx.Proxy):
    """A tensor that is not there yet. Its shape is: it is read off an outline of the network.

    Attributes:
        node: the step that made it, or the last that wrote over it.
    """

    tracer: _TwinTracer

    def __getattr__(self, name: str) -> Any:
        if name == "device":
            return next(self.tracer.root.parameters()).device
        if name in _KNOWN:
            return getattr(self.tracer.evaluated(self.node), name)
        return super().__getattr__(name)

    def __len__(self) -> int:
        return len(self.tracer.evaluated(self.node))


def _written_by(name: str) -> Callable[[_StandIn, Any], Any]:
    return lambda stand_in, other: stand_in.tracer.create_proxy(
        "call_function", getattr(operator, name), (stand_in, other), {}
    )


for _name in IN_PLACE_OPERATORS:  # Python makes a new object of what has no such operator, under one of its names
    setattr(_StandIn, f"__{_name}__", _written_by(_name))


class _TwinTracer(fx.Tracer):
    def __init__(self, twin: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.root = twin
        self.graph = fx.Graph(tracer_cls=fx.Tracer)
        self.tensor_attrs = {}
        self.outputs: dict[str, list[fx.Node | None]] = {}
        self.owners: dict[fx.Node, str] = {}
        self.inside: list[str] = [""]
        self.outline = make_outline(twin)
        self.values: dict[fx.Node, Any] = {}
        self.shape = tuple(shape)
        self.lowered = False
        self.device_type = next((tensor.device.type for tensor in twin.parameters()), "cpu")
        self.overwritten: list[Overwritten] = []
        self.patched = [
            (module, module.__dict__["forward"]) for module in twin.modules() if "forward" in module.__dict__
        ]

    def run(self, twin: nn.Module, modules: dict[str, nn.Module]) -> Trace:
        image = self.create_proxy("placeholder", "image", (), {})
        result = twin(image)
        if not isinstance(result, fx.Proxy):
            raise ModelError(
                f"{type(twin).__name__} returns {type(result).__name__} where one tensor (B, D) is needed; wrap it so "
                f"that its forward returns the embedding alone"
            )
        self.create_node("output", "output", (self.create_arg(result),), {})
        refuse_torn_views(self.graph, modules, self.overwritten)
        return Trace(self.graph, self.outputs, self.owners, bool(self.values), self.lowered, self.shape_of)

    def shape_of(self, node: fx.Node) -> tuple[int, ...] | None:
        value = self.evaluated(node)
        return tuple(value.shape) if isinstance(value, torch.Tensor) else None

    def as_step(self, name: str, module: nn.Module) -> Callable[..., Any]:
        overwrites = is_in_place(module) and type(module).__module__.startswith("torch.nn")

        def step(*args: Any, **kwargs: Any) -> Any:
            made = self.create_proxy("call_module", name, args, kwargs)
            if overwrites and args and type(args[0]) is _StandIn:
                made = self._written_over(args[0], made)
            return self._note(name, made)

        return step

    def as_container(self, name: str, module: nn.Module) -> Callable[..., Any]:
        forward: Callable[..., Any] = module.forward

        def container(*args: Any, **kwargs: Any) -> Any:
            self.inside.append(name)
            had = module.__dict__.get("inplace")
            try:
                if is_in_place(module):  # as the host's does; its steps then say what they write over
                    module.__dict__["inplace"] = True
                return self._note(name, forward(*args, **kwargs))
            finally:
                self.inside.pop()
                if had is not None:
                    module.__dict__["inplace"] = had

        return container

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _StandIn(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *others: Any, **named: Any) -> Any:
        """Make a node for a call; where a call returns several parts of a tensor, one for each part."""
        if kind not in ("call_function", "call_method"):
            return super().create_proxy(kind, target, args, kwargs, *others, **named)
        name = target if kind == "call_method" else getattr(target, "__name__", None)
        if name in _SPLITS and isinstance(args[0], fx.Proxy):
            return self._parts(str(name), args, kwargs)
        written = written_over(kind, target, args, kwargs)
        if written is None:
            return super().create_proxy(kind, target, args, kwargs, *others, **named)
        instead = out_of_place(kind, target, args, kwargs)
        return self._written_over(written, super().create_proxy(*instead, *others, **named))

    def _written_over(self, stand_in: fx.Proxy, made: fx.Proxy) -> fx.Proxy:
        """Let a stand-in stand for what was written over it."""
        self.overwritten.append((made.node, stand_in.node))
        stand_in.node = made.node
        return stand_in

    def _parts(self, name: str, args: Any, kwargs: Any) -> tuple[Any, ...]:
        whole = self.evaluated(args[0].node)
        parts = getattr(whole, name)(*args[1:], **kwargs)
        position = 0 if name == "unbind" else 1
        dim = int(kwargs.get("dim", args[position + 1] if len(args) > position + 1 else 0))
        if name == "unbind":
            return tuple(args[0].select(dim, index) for index in range(len(parts)))
        starts = [0]
        for part in parts:
            starts.append(starts[-1] + int(part.shape[dim]))
        return tuple(args[0].narrow(dim, start, end - start) for start, end in zip(starts, starts[1:]))

    def to_bool(self, obj: fx.Proxy) -> bool:
        raise UnsupportedArchitecture(
            f"{type(self.root).__name__} chooses its way by the values of a tensor ({obj.node}), so that it has no "
            f"fixed steps; use another explainer"
        )

    def evaluated(self, node: fx.Node) -> Any:
        """Return what a node computes, without values: networks ask for shapes to choose their way."""
        for earlier in self.graph.nodes:
            if node in self.values:
                break
            if earlier not in self.values:
                self.values[earlier] = self._outlined(earlier)
        return self.values[node]

    def _outlined(self, node: fx.Node) -> Any:
        args: tuple[Any, ...] = fx.node.map_arg(node.args, self.values.__getitem__)  # type: ignore[assignment]
        kwargs: dict[str, Any] = fx.node.map_arg(node.kwargs, self.values.__getitem__)  # type: ignore[assignment]
        if node.op == "placeholder":
            return torch.empty(self.shape, device="meta", dtype=next(self.root.parameters()).dtype)
        if node.op == "call_module":
            return self.outline.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "get_attr":
            found = functools.reduce(_attribute, str(node.target).split("."), self.outline)
            # What the forward pass made of weights alone is kept on the twin; the outline was made before.
            return getattr(self.root, str(node.target)).to("meta") if found is None else found
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]

    def _note(self, name: str, result: Any) -> Any:
        self.outputs.setdefault(name, []).append(result.node if isinstance(result, fx.Proxy) else None)
        return result

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        self.owners[node] = self.inside[-1]
        self.lowered |= is_lowered(self.device_type)
        return node
