"""What a reviewer may choose: explainers, and a fine, a medium and a broad layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pairx_hooks import ReviewManager

from .source import ExplainerChoice, LayerChoice

__all__ = ["choose_layers", "explainer_choices"]

# Another question of the same explainer, by its id: the variant's code, and the options that make it. A rival comes
# from the ranking, so this answers "why this one, and not that one".
_VARIANTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "similarity_attention": {"triplet": {"attention_mode": "triplet"}},
}
_STAGES = ("inside a stage", "not a stage", "")


def explainer_choices(manager: ReviewManager) -> tuple[ExplainerChoice, ...]:
    """Return what the plugins of a manager register, PAIR-X first, each followed by its variants.

    One that cannot be made says why.
    """
    found = []
    for entry in manager.explainers().values():
        reason = ""
        try:
            entry.create()
        except Exception as error:  # another plugin's code: whatever it raises, the others stay usable
            reason = str(error) or type(error).__name__
        found.append(
            ExplainerChoice(
                explainer_id=entry.explainer_id,
                title=entry.title,
                summary=entry.summary,
                usable=not reason,
                reason=reason,
            )
        )
    found.sort(key=lambda item: item.explainer_id != "pairx")
    return tuple(choice for item in found for choice in (item, *_variants(item)))


def _variants(choice: ExplainerChoice) -> list[ExplainerChoice]:
    own = _VARIANTS.get(choice.explainer_id, {})
    return [replace(choice, variant=variant, options=options) for variant, options in own.items()]


def choose_layers(model: Any) -> tuple[LayerChoice, ...]:
    """Return one choice for each level.

    Medium is the network's own default layer, else the suggested one. Fine is the stage before it whose grid is the
    next finer one, broad the first stage after it with a coarser grid; a level without such a stage has no key.

    Args:
        model: an :class:`pairx_plugin.models.EmbeddingModel`.
    """
    from ..models.layers import list_layers  # it brings torch

    layers = list_layers(model.network, model.input_size)
    names = [layer.key for layer in layers]
    suggested = next((layer.key for layer in layers if layer.suggested), "")
    chosen = model.default_layer if model.default_layer in names else suggested
    if not chosen:
        return ()
    medium = layers[names.index(chosen)]
    stages = [layer for layer in layers if layer.reason not in _STAGES]
    before = [layer for layer in stages if names.index(layer.key) < names.index(chosen)]
    finer = [layer for layer in before if layer.grid > medium.grid]
    after = [layer for layer in stages if names.index(layer.key) > names.index(chosen)]
    fine = min(finer, key=lambda layer: layer.grid, default=None)
    broad = next((layer for layer in after if layer.grid < medium.grid), None)
    return tuple(
        LayerChoice(level=level, key=layer.key, grid=layer.grid) if layer is not None else LayerChoice(level=level)
        for level, layer in (("fine", fine), ("medium", medium), ("broad", broad))
    )
