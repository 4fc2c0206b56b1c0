"""What speaks for a layer and what against it, in short sentences for people who choose one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .layers import MIN_CELLS, LayerInfo

__all__ = ["LayerReasons", "main_layers", "reasons_of", "within"]

# Rules of thumb, not measurements: `pairx-plugin sweep` and `choose-layer` measure.
_SMALL_FIELD = 0.1  # share of the input below which a cell sees texture and no part of a body
_FEW_CHANNELS = 32
_COSTLY = 4.0  # times the comparisons of the layer to begin with
_INFLATED = 3  # doublings
_EARLY, _LATE = 1 / 3, 0.9  # of the blocks of a transformer


@dataclass(frozen=True, kw_only=True)
class LayerReasons:
    """Sentences without a full stop, the weightiest first; either may be empty."""

    pro: tuple[str, ...]
    contra: tuple[str, ...]


def main_layers(found: Sequence[LayerInfo]) -> list[LayerInfo]:
    """Return the layers that are worth a choice: the stages; without stages those of known receptive field, or all."""
    stages = [layer for layer in found if layer.is_stage]
    return stages or [layer for layer in found if layer.receptive_field is not None] or list(found)


def within(layers: Sequence[LayerInfo], most_cells: int) -> list[LayerInfo]:
    """Return the layers whose grid has at most so many cells: matching takes time by their square."""
    return [layer for layer in layers if layer.grid[0] * layer.grid[1] <= most_cells]


def reasons_of(
    layer: LayerInfo,
    start: LayerInfo | None,
    input_size: tuple[int, int],
    n_copied: int | None = None,
    among: Sequence[LayerInfo] = (),
) -> LayerReasons:
    """Return what speaks for and against a layer.

    Args:
        layer: of a network with that input.
        start: the layer to begin with, to compare with; None where none is suggested.
        input_size: (height, width) in pixels.
        n_copied: sums above the layer at which mode ``reference`` doubles relevance; None where nobody counted.
        among: the layers to choose from, in the network's order.

    Source of what is said of a transformer's depth: Amir et al. 2021, arXiv 2112.05814.
    """
    pro, contra = list[str](), list[str]()
    _about_grid(layer, start, pro, contra)
    _about_depth(layer, among, pro, contra)
    _about_field(layer, input_size, pro, contra)
    if layer.channels < _FEW_CHANNELS:
        contra.append(f"{layer.channels} channels tell few places apart")
    if n_copied is not None and n_copied >= _INFLATED:
        contra.append(f"mode reference inflates relevance up to 2^{n_copied}-fold over the sums above")
    elif n_copied == 0:
        pro.append("no sum above inflates relevance")
    return LayerReasons(pro=tuple(pro), contra=tuple(contra))


def _about_grid(layer: LayerInfo, start: LayerInfo | None, pro: list[str], contra: list[str]) -> None:
    cell = f"{max(layer.stride):.0f} px"
    if layer.suggested:
        pro.append(layer.reason if layer.tokens else f"{layer.reason}: the deepest that still points well, to {cell}")
    elif min(layer.grid) >= MIN_CELLS:
        pro.append(f"points to {cell}")
    else:
        contra.append(f"points no finer than {cell}: fewer than {MIN_CELLS} x {MIN_CELLS} cells")
    if start is None or layer is start:
        return
    cost = (layer.grid[0] * layer.grid[1]) ** 2 / (start.grid[0] * start.grid[1]) ** 2
    if cost >= _COSTLY:
        contra.append(f"{cost:.0f} times the comparisons of {start.key}")
    if layer.grid == start.grid and not layer.suggested and not layer.tokens:
        pro.append(f"the grid of {start.key}, another depth")


def _about_depth(layer: LayerInfo, among: Sequence[LayerInfo], pro: list[str], contra: list[str]) -> None:
    blocks = [other.key for other in among if other.tokens and other.grid == layer.grid]
    if not layer.tokens or layer.key not in blocks or len(blocks) < 4:
        return
    place = blocks.index(layer.key) + 1
    where, depth = f"block {place} of {len(blocks)}", place / len(blocks)
    if depth <= _EARLY:
        contra.append(f"{where}: early tokens know their position and colour better than what they show")
    elif depth > _LATE:
        contra.append(f"{where}: hardly a block above mixes patches, so relevance may stay with the class token")
    elif not layer.suggested:
        pro.append(f"{where}: deep enough to tell parts of a body apart")


def _about_field(layer: LayerInfo, input_size: tuple[int, int], pro: list[str], contra: list[str]) -> None:
    if layer.receptive_field is None:
        if layer.tokens:
            contra.append("every token may have seen the whole input")
        return
    share = max(field / size for field, size in zip(layer.receptive_field, input_size))
    if share < _SMALL_FIELD:
        contra.append(f"a cell sees {share:.0%} of the input: texture, no parts")
    elif share > 1.0:
        contra.append("a cell may answer for anything in the input")
    else:
        pro.append(f"a cell sees {share:.0%} of the input")
