"""A network as a list of steps, each with the rule by which relevance passes it.

A :class:`Program` is made once per network from a traced twin, a canonisation and a composite. It runs forward without
gradients and keeps for each step just what the step's rule needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from ...errors import LayerNotFound, ModelError, nearest
from ..arithmetic.scratch import scratch
from ..network.precision import unlowered
from ..rules.base import Kept, Rule
from .canonization import Canonization

__all__ = ["Program", "Step", "Tape"]


@dataclass(frozen=True, eq=False)
class Step:
    """One step: what it computes, from what, and how relevance passes it.

    Attributes:
        node: its place in the graph.
        run: computes the output from the node's arguments.
        rule: how relevance passes; None for steps that carry none (parameters).
        sources: the nodes among its arguments, in order; what :meth:`..rules.base.Rule.propagate` returns belongs to
            them.
        plain: computes what the host's network has here, where `run` computes something merged; else None.
    """

    node: fx.Node
    run: Callable[..., Any]
    rule: Rule | None
    sources: tuple[fx.Node, ...]
    plain: Callable[..., Any] | None = None


@dataclass(eq=False)
class Tape:
    """What a forward pass left behind.

    Attributes:
        n_images: rows of the batch.
        embedding: the network's output, (B, D).
        outputs: outputs of the layers that were asked for, (B, C, h, w), by layer key, as relevance sees them.
        feature_maps: the same as the host's network gives them; they differ where a batch norm was merged.
        kept: by node, what its rule needs.
    """

    n_images: int
    embedding: torch.Tensor
    outputs: dict[str, torch.Tensor]
    feature_maps: dict[str, torch.Tensor]
    kept: dict[fx.Node, Kept] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in the order in which they run.

    Attributes:
        steps: all of them, input and output left out.
        image, output: the nodes of the network's input and of its embedding.
        layers: for each module, the nodes that it returned, one per call.
        canonization: what was found on the network.
        shape: (B, 3, H, W) that images must have; None where any will do.
        lowered: whether the host computes this or a part of it in lower precision, which the steps do not.
    """

    steps: tuple[Step, ...]
    image: fx.Node
    output: fx.Node
    layers: dict[str, list[fx.Node | None]]
    canonization: Canonization
    shape: tuple[int, ...] | None = None
    lowered: bool = False

    def layer_node(self, key: str) -> fx.Node:
        """Return the node of a layer's output.

        Raises:
            LayerNotFound: no module of that name runs, or it lies inside of a step that has no steps of its own.
            ModelError: the module runs more than once, so that its output is not one feature map.
        """
        nodes = self.layers.get(key)
        if key and nodes is None:
            raise LayerNotFound(
                f"layer '{key}' takes no part in the forward pass as a step of its own{nearest(key, self.layers)}; "
                f"list layers with `pairx-plugin layers MODEL`"
            )
        if not key or nodes is None or len(nodes) != 1 or nodes[0] is None:
            raise ModelError(
                f"layer '{key}' has no single feature map: it runs {len(nodes or ())} times or returns no tensor; "
                f"choose the block around it"
            )
        return nodes[0]

    def forward(
        self,
        images: torch.Tensor,
        layer_keys: Sequence[str] = (),
        *,
        pixels: bool = True,
        spare: dict[fx.Node, Kept] | None = None,
    ) -> Tape:
        """Run the network on (B, 3, H, W) images and keep what relevance will need.

        Args:
            images: preprocessed, on the network's device.
            layer_keys: layers whose output is kept.
            pixels: whether relevance will go below these layers; if not, nothing is kept there.
            spare: what an earlier pass kept; it is let go node by node, as the same memory is needed again.

        Where batch norms were merged, the host's own computation runs too: matches and similarities are the host's to
        the last bit, and relevance flows through the merged steps.
        """
        wanted = {self.layer_node(key): key for key in layer_keys}
        kept: dict[fx.Node, Kept] = {}
        first = 0 if pixels else self._first_above(wanted)
        embedding, outputs = self._run(images, wanted, [step.run for step in self.steps], kept, first, spare)
        feature_maps = outputs
        if any(step.plain is not None for step in self.steps):
            embedding, feature_maps = self._run(images, wanted, [step.plain or step.run for step in self.steps])
        return Tape(len(images), embedding, outputs, feature_maps, kept)

    def _first_above(self, wanted: Iterable[fx.Node]) -> int:
        """Return the index of the first step that lies above one of the layers."""
        places = {step.node: index for index, step in enumerate(self.steps)}
        return min((places.get(node, -1) for node in wanted), default=len(self.steps)) + 1

    def is_local(self, start: fx.Node) -> bool:
        """Return whether relevance can go from `start` to the image in parts of maps."""
        below, rest = set(), [start]
        by_node = {step.node: step for step in self.steps}
        while rest:
            node = rest.pop()
            step = by_node.get(node)
            if node in below or step is None or step.rule is None:
                continue
            if not step.rule.local:
                return False
            below.add(node)
            rest.extend(step.sources)
        return True

    def _run(
        self,
        images: torch.Tensor,
        wanted: dict[fx.Node, str],
        runs: Sequence[Callable[..., Any]],
        kept: dict[fx.Node, Kept] | None = None,
        first: int = 0,
        spare: dict[fx.Node, Kept] | None = None,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the embedding and the wanted outputs; fill `kept` from the step `first` on, where it is given."""
        values: dict[fx.Node, Any] = {self.image: images}
        waiting = {node: len(node.users) for node in (self.image, *(step.node for step in self.steps))}
        outputs: dict[str, torch.Tensor] = {}
        with scratch(), torch.inference_mode(False), torch.no_grad(), unlowered(images.device.type):
            for index, (step, run) in enumerate(zip(self.steps, runs)):
                if spare:
                    spare.pop(step.node, None)
                args = fx.node.map_arg(step.node.args, values.__getitem__)
                result = values[step.node] = run(*args, **fx.node.map_arg(step.node.kwargs, values.__getitem__))
                if step.rule is not None and kept is not None and index >= first:
                    kept[step.node] = step.rule.keep(tuple(values[source] for source in step.sources), result)
                if step.node in wanted:
                    outputs[wanted[step.node]] = _feature_map(wanted[step.node], result)
                for source in step.node.all_input_nodes:
                    waiting[source] -= 1
                    if not waiting[source] and source is not self.output:
                        del values[source]
        return values[self.output], outputs


def _feature_map(key: str, value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.ndim != 4:
        found = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise ModelError(
            f"layer '{key}' returns {found}, which is no feature map (B, C, h, w); list layers with "
            f"`pairx-plugin layers MODEL`"
        )
    return value
