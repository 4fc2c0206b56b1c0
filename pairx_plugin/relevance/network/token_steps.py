"""Make feature maps of a transformer's tokens steps of their own.

After each output that is a grid of tokens two steps are put in: tokens to a map (B, C, h, w), and the map back to
tokens. All that follows reads the latter, so that relevance of the patches passes the map, where an explainer can look
at it or start from it, while that of class and register tokens goes past it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx, nn

from ...models.token_grids import from_map, to_map, token_layout
from .tracing import Trace

__all__ = ["insert_grids"]


def insert_grids(traced: Trace, twin: nn.Module, shape: Sequence[int]) -> None:
    """Put maps into a graph, and name them as the outputs of their modules.

    Args:
        traced: steps of `twin`; changed in place. Networks without tokens stay as they are.
        shape: (B, 3, H, W) of the images.
    """
    layout = token_layout(twin)
    if layout is None:
        return
    size = (int(shape[2]), int(shape[3]))
    maps: dict[fx.Node, fx.Node] = {}
    for key, nodes in traced.outputs.items():
        node = nodes[0] if len(nodes) == 1 else None
        if node is None or not layout.holds(key):
            continue
        if node not in maps:
            found = traced.shape_of(node)
            grid = layout.grid(found, size) if found is not None else None
            if grid is None:
                continue
            users = list(node.users)
            with traced.graph.inserting_after(node):
                feature_map = traced.graph.call_function(to_map, (node, grid))  # type: ignore[arg-type]
            with traced.graph.inserting_after(feature_map):
                back = traced.graph.call_function(from_map, (feature_map, node, grid))  # type: ignore[arg-type]
            for user in users:
                user.replace_input_with(node, back)
            maps[node] = feature_map
            traced.owners.update({feature_map: key, back: key})
        traced.outputs[key] = [maps[node]]
