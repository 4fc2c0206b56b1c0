"""What becomes of relevance on its way down: how much arrives at each layer, and at which steps some stays behind."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..models.token_grids import to_map
from .arithmetic.patches import Images, Patch
from .network.precision import unlowered
from .propagation import RelevanceModel

__all__ = ["Balance", "LayerTotal", "balance_of"]


@dataclass(frozen=True, kw_only=True)
class LayerTotal:
    """Relevance that passes one module's output.

    Attributes:
        layer_key: the module's name.
        total: sum over the output of the relevance, signs kept.
        magnitude: sum of its magnitudes.
        left_behind: sum of what the steps above it received and did not pass on (biases, position embeddings, the part
            of a softmax that no input explains), signs kept.
        beside: sum of what passes beside the layer's map: class and register tokens.
    """

    layer_key: str
    total: float
    magnitude: float
    left_behind: float
    beside: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Balance:
    """Where one image's relevance is, from the embedding to the pixels.

    Attributes:
        total, magnitude: of the seed.
        layers: of the modules whose output all relevance passes, from the embedding down.
        left_behind: what each step kept, signs kept, by the step's name; steps that kept nothing to speak of are left
            out.
    """

    total: float
    magnitude: float
    layers: tuple[LayerTotal, ...]
    left_behind: dict[str, float]

    def error(self, layer: LayerTotal) -> float:
        """Return |sum of relevance - seed's sum| / |seed's sum| at a layer, what was left behind not counted."""
        return abs(layer.total + layer.beside + layer.left_behind - self.total) / abs(self.total)

    def loss(self, layer: LayerTotal) -> float:
        """Return |sum of relevance - seed's sum| / |seed's sum| at a layer."""
        return abs(layer.total + layer.beside - self.total) / abs(self.total)

    def inflation(self, layer: LayerTotal) -> float:
        """Return the sum of magnitudes at a layer divided by the seed's."""
        return layer.magnitude / self.magnitude


def balance_of(model: RelevanceModel, image: torch.Tensor, seed: torch.Tensor) -> Balance:
    """Carry one seed down to the pixels and keep account of it.

    Args:
        model: the prepared network.
        image: (1, 3, H, W).
        seed: (1, D) relevance of the embedding's components.
    """
    program = model.program(image.shape)
    tape = program.forward(image)
    names = {
        nodes[0]: key for key, nodes in program.layers.items() if key and len(nodes) == 1 and nodes[0] is not None
    }
    arrived = {program.output: Patch(seed, Images((0,), 1))}
    layers: list[LayerTotal] = []
    kept_back: dict[str, float] = {}
    total = float(seed.sum())
    with torch.inference_mode(False), torch.no_grad(), unlowered(image.device.type):
        for step in reversed(program.steps):
            patch = arrived.pop(step.node, None)
            if patch is None or step.rule is None:
                continue
            received = float(patch.values.double().sum())
            tokens = step.node.target is to_map and len(arrived) == 1
            if step.node in names and (tokens or not arrived):  # nothing goes past it on another branch
                magnitude = float(patch.values.double().abs().sum())
                layers.append(
                    LayerTotal(
                        layer_key=names[step.node],
                        total=received,
                        magnitude=magnitude,
                        left_behind=sum(kept_back.values()),
                        beside=sum(float(other.values.double().sum()) for other in arrived.values()),
                    )
                )
            passed = 0.0
            for source, part in zip(step.sources, step.rule.propagate(patch, tape.kept[step.node])):
                if part is not None:
                    passed += float(part.values.double().sum())
                    arrived[source] = arrived[source].plus(part) if source in arrived else part
            if received != passed:
                kept_back[str(step.node)] = received - passed
    return Balance(total=total, magnitude=float(seed.abs().sum()), layers=tuple(layers), left_behind=kept_back)
