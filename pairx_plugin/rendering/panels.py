"""One pair in one picture: the photographs alone, with lines, with colours, or with one above the other."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..errors import EvidenceError, SettingsError, nearest
from ..evidence import LayerEvidence
from . import canvas
from .canvas import Field, Pixels
from .colour_maps import Scale, check_chip, map_scale, pixel_overlay, relevance_overlay, shares, smoothed
from .layout import Layout, lay_out
from .legend import colours_legend, draw_legend, is_maps_only, lines_legend
from .lines import draw_fine_rings, draw_matches, draw_numbers, ring_radii
from .palettes import Pen
from .style import Style

__all__ = ["VIEWS", "render"]

VIEWS = ("clean", "matches", "heatmask", "both")


def render(view: str, chip_0: Pixels, chip_1: Pixels, layer: LayerEvidence, style: Style = Style()) -> Pixels:
    """Draw one view of a pair, the query left and the candidate right, each at its own aspect.

    All views of a pair put the photographs in the same place ("both" twice, lines above colours), so that a
    reader can switch between them; a legend comes below.

    Args:
        view: "clean" draws nothing; "matches" joins the ends of `layer.lines`, the strongest on top, or says
            that the method draws none; "heatmask" lays the pixel maps over greyed photographs, or the layer's
            relevance where there are none, what speaks for and against the similarity in a hue each; "both".
        chip_0, chip_1: (H, W, 3) uint8 RGB, cut as the network saw them but not squashed.
        layer: what to draw.
        style: how.

    Returns:
        (H, W, 3) uint8 RGB, at most `style.max_width` wide.

    Raises:
        SettingsError: there is no such view.
        ChipError: a chip is not (H, W, 3) uint8.
        EvidenceError: a match lies outside of the feature map, or a map is not a finite array.
        MissingExtra: OpenCV cannot be imported.
    """
    if view not in VIEWS:
        raise SettingsError(
            f"unknown view {view!r}{nearest(str(view), VIEWS)}; choose from: {', '.join(VIEWS)}"
        )
    check_chip(chip_0)
    check_chip(chip_1)
    _check_cells(layer)
    layout = lay_out((chip_0.shape[0], chip_0.shape[1]), (chip_1.shape[0], chip_1.shape[1]), style)
    photographs = canvas.resized(chip_0, layout.box_0.size), canvas.resized(chip_1, layout.box_1.size)
    if view == "clean":
        return _placed(photographs, layout, style)
    parts, legends = [], []
    if view in ("matches", "both"):
        parts.append(_matches(photographs, layout, layer, style))
        legends.append(lines_legend(layer, style))
    if view in ("heatmask", "both"):
        parts.append(_heatmask(photographs, layout, layer, style))
        legends.append(colours_legend(layer, style))
    if view == "both":
        parts.insert(1, np.full((style.gap, layout.width, 3), style.background, np.uint8))
    if style.legend:
        if style.caption is not None:
            words = [""] * (len(legends) - 1) + [style.caption]
            legends = [dataclasses.replace(legend, text=text) for legend, text in zip(legends, words)]
        parts.append(draw_legend(legends, layout.width, layout.unit, style.background))
    return np.concatenate(parts)


def _placed(photographs: tuple[Pixels, Pixels], layout: Layout, style: Style) -> Pixels:
    picture = np.empty((layout.height, layout.width, 3), np.uint8)
    for box, photograph in zip((layout.box_0, layout.box_1), photographs):
        column = picture[:, box.x : box.x + box.width]
        column[: box.y] = column[box.y + box.height :] = style.background
        picture[box.window] = photograph
    picture[:, layout.box_0.width : layout.box_1.x] = style.background
    return picture


def _matches(
    photographs: tuple[Pixels, Pixels], layout: Layout, layer: LayerEvidence, style: Style
) -> Pixels:
    quiet_0, quiet_1 = (
        canvas.faded(photograph, colour=0.85, contrast=0.95, lift=0.0) for photograph in photographs
    )
    picture = _placed((quiet_0, quiet_1), layout, style)
    cells, grids = (layer.lines.cells_0, layer.lines.cells_1), (layer.grid_0, layer.grid_1)
    return draw_matches(picture, layout, cells, grids, style.palette, style.line_opacity)


def _heatmask(
    photographs: tuple[Pixels, Pixels], layout: Layout, layer: LayerEvidence, style: Style
) -> Pixels:
    """Return the photographs under the colours of the leading matches, with their rings and numbers."""
    palette, tinted = style.palette, []
    if len(layer.pixels_0):
        fields = [smoothed(values) for values in layer.pixels_0], [
            smoothed(values) for values in layer.pixels_1
        ]
        hues = [palette.hue(index) for index in range(len(layer.pixels_0))]
        for photograph, side, scales in zip(photographs, fields, _scales(fields, style)):
            tinted.append(
                pixel_overlay(
                    photograph,
                    side,
                    hues,
                    scales,
                    palette=palette,
                    opacity=style.map_opacity,
                    gamma=style.gamma,
                )
            )
    else:
        fields = [shares(layer.relevance_0)], [shares(layer.relevance_1)]
        each = is_maps_only(layer)  # without matches the two sides' maps share no unit
        for photograph, side, scales in zip(photographs, fields, _scales(fields, style, each=each)):
            tinted.append(
                relevance_overlay(
                    photograph, side[0], scale=scales[0], palette=palette, opacity=style.map_opacity
                )
            )
    picture = _placed((tinted[0], tinted[1]), layout, style)
    _number_ends(picture, layout, layer, style)
    return picture


def _scales(
    fields: tuple[list[Field], list[Field]], style: Style, *, each: bool = False
) -> tuple[list[Scale], list[Scale]]:
    """Return the scale of every map of each side; signs are kept apart on both sides if there are any."""
    shared = map_scale([*fields[0], *fields[1]])
    if each or style.scale == "each":
        own = [[map_scale([field]) for field in side] for side in fields]
        if shared.vmin < 0:
            own = [[Scale(-scale.vmax, scale.vmax) for scale in side] for side in own]
        return own[0], own[1]
    return [shared] * len(fields[0]), [shared] * len(fields[1])


def _number_ends(picture: Pixels, layout: Layout, layer: LayerEvidence, style: Style) -> None:
    """Ring and number the ends of the matches that have colours, so that colour is not the only cue."""
    leading = layer.matches.leading(len(layer.pixels_0))
    pens = [Pen(colour=style.palette.hue(index), dash=(), weight=1.0) for index in range(len(leading))]
    ends = layout.box_0.points(leading.cells_0, layer.grid_0), layout.box_1.points(
        leading.cells_1, layer.grid_1
    )
    for side, (box, grid) in enumerate(((layout.box_0, layer.grid_0), (layout.box_1, layer.grid_1))):
        radii = ring_radii(box, grid, layout.unit)
        draw_fine_rings(picture, ends[side], radii, layout.unit)
        draw_numbers(picture, box, ends[side], ends[1 - side], radii, pens, layout.unit)


def _check_cells(layer: LayerEvidence) -> None:
    for side, (cells, grid) in enumerate(
        ((layer.matches.cells_0, layer.grid_0), (layer.matches.cells_1, layer.grid_1))
    ):
        outside = ((cells < 0) | (cells >= np.array(grid))).any(axis=1)
        if outside.any():
            raise EvidenceError(
                f"match {int(outside.argmax()) + 1} of layer '{layer.layer_key}' lies in cell "
                f"{tuple(int(part) for part in cells[outside.argmax()])} of side {side}, outside of its "
                f"{grid[0]} x {grid[1]} feature map; cells are (row, col)"
            )
