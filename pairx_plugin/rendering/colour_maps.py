"""Relevance maps as colour laid over a photograph, on a scale that says how strong they are.

A map is any (h, w) float field over the whole chip: the pixels behind one match at the network's input size,
or a layer's relevance at its grid. Strength sets how much colour covers the photograph, never how dark the
photograph is, so that the animal's marks stay readable as lightness under the colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ChipError, EvidenceError
from . import canvas
from .canvas import Field, Pixels
from .palettes import RGB, SAFE, Palette

__all__ = [
    "Layer",
    "Scale",
    "as_field",
    "grey_map",
    "hatching",
    "map_scale",
    "pixel_overlay",
    "relevance_overlay",
    "robust_maximum",
    "shares",
    "smoothed",
    "tinted",
]

_TOP_SHARE = 0.0005  # of a map's values that may lie beyond the scale's end: sparks, not shapes
_STRONG = 0.8  # quantile of several maps' maxima that their common scale ends at
_SMOOTHING = 1 / 110  # of a pixel map's longer side: relevance is grainy from stride to stride
_MAX_SIDE = (
    320  # of a field that is drawn: smoothed, it holds nothing finer, and colour is cheap to mix at this size
)
_HATCH_STEPS = 42  # strokes of the hatching along the shorter side of a picture
_HATCH_LEAST = 7  # pixels from one stroke to the next
_HATCH_DARK, _HATCH_LIGHT = 0.5, 0.35  # of full strength: how much a stroke darkens, and the line beside it lightens
_FLOOR = 0.06  # strengths below this leave the photograph alone


class Scale(NamedTuple):
    """The values that no colour and full colour stand for."""

    vmin: float
    vmax: float


class Layer(NamedTuple):
    """One colour of an overlay: its strength (h, w) in [0, 1], its RGB, and whether it is hatched besides."""

    strength: Field
    colour: RGB
    hatched: bool = False


def as_field(values: ArrayLike) -> Field:
    """Return a map as (h, w) float32.

    Raises:
        EvidenceError: it has another rank, no values, or values that are not finite.
    """
    field = np.ascontiguousarray(values, np.float32)
    if field.ndim != 2 or field.size == 0 or not np.isfinite(field).all():
        bad = int((~np.isfinite(field)).sum())
        raise EvidenceError(
            f"a relevance map must be a finite (h, w) array with values in it, not {field.shape} with {bad} "
            f"values not finite; leave this map out or explain the pair again"
        )
    return field


def robust_maximum(values: Field) -> float:
    """Return the magnitude that only 0.05 % of the values exceed, or the maximum where that is 0."""
    magnitudes = np.abs(values).ravel()
    rank = magnitudes.size - 1 - int(magnitudes.size * _TOP_SHARE)
    robust = float(np.partition(magnitudes, rank)[rank])
    return robust if robust > 0 else float(magnitudes.max())


def smoothed(values: ArrayLike) -> Field:
    """Return a pixel map without its grain, as a field of at most 320 px a side; signs are kept."""
    field = as_field(values)
    field = canvas.resized_field(field, (min(field.shape[0], _MAX_SIDE), min(field.shape[1], _MAX_SIDE)))
    return canvas.blurred(field, max(0.5, max(field.shape) * _SMOOTHING))


def shares(relevance: ArrayLike) -> Field:
    """Return a map divided by the sum of its magnitudes; zeros stay zeros.

    Both sides' relevance explains one similarity, but in units of their own, so shares are what can be
    compared.
    """
    field = as_field(relevance)
    total = float(np.abs(field).sum(dtype=np.float64))
    return (field / total).astype(np.float32) if total > 0 else np.zeros_like(field)


def map_scale(maps: Sequence[Field]) -> Scale:
    """Return one scale for several maps, from 0, or from minus its end where a map has signs.

    It ends at the upper fifth of the maps' robust maxima: one map far stronger than all others does not hide
    them.
    """
    peaks = [peak for peak in map(robust_maximum, maps) if peak > 0]
    vmax = float(np.quantile(peaks, _STRONG)) if peaks else 0.0
    signed = any(bool((values < 0).any()) for values in maps)
    return Scale(-vmax if signed else 0.0, vmax)


def grey_map(values: ArrayLike, scale: Scale) -> Pixels:
    """Return a map as (h, w) uint8, 0 at the scale's `vmin` and 255 at its `vmax`; values beyond are clipped.

    A scale without extent gives 0 everywhere. Read back with ``vmin + grey / 255 * (vmax - vmin)``.
    """
    field, span = as_field(values), scale.vmax - scale.vmin
    if not span > 0:
        return np.zeros(field.shape, np.uint8)
    share = np.clip((field.astype(np.float64) - scale.vmin) / span, 0.0, 1.0)
    return np.rint(share * 255.0).astype(np.uint8)


def relevance_overlay(
    chip: Pixels,
    relevance: ArrayLike,
    *,
    scale: Scale | None = None,
    palette: Palette = SAFE,
    opacity: float = 0.8,
    gamma: float = 1.0,
) -> Pixels:
    """Lay a layer's relevance over a chip in one hue; negative values, if there are any, in another, hatched.

    Args:
        chip: (H, W, 3) uint8 RGB.
        relevance: (h, w), unnormalised.
        scale: what full colour stands for; this map's own robust maximum by default. To compare two sides,
            hand over the :func:`shares` of both and one :func:`map_scale` of the two.
        palette: its `single` hue, or `positive` and `negative`.
        opacity: of full colour, in [0, 1].
        gamma: exponent on strengths.

    Returns:
        (H, W, 3) uint8 RGB of the chip's size.

    Raises:
        ChipError: the chip is not (H, W, 3) uint8.
        EvidenceError: the map is not a finite (h, w) array.
    """
    field = as_field(relevance)
    check_chip(chip)
    limit = (scale or map_scale([field])).vmax
    signed = bool((field < 0).any()) or (scale is not None and scale.vmin < 0)
    colours = (palette.positive, palette.negative) if signed else (palette.single,)
    size = (min(chip.shape[0], _MAX_SIDE), min(chip.shape[1], _MAX_SIDE))
    layers = []
    for sign, colour in zip((1.0, -1.0), colours):
        part = np.maximum(canvas.resized_field(np.maximum(field * sign, 0.0), size, smooth=True), 0.0)
        layers.append(Layer(_strength(part, limit, gamma), colour, sign < 0))
    return tinted(chip, layers, opacity)


def pixel_overlay(
    chip: Pixels,
    fields: Sequence[Field],
    colours: Sequence[RGB],
    scales: Sequence[Scale],
    *,
    palette: Palette = SAFE,
    opacity: float = 0.8,
    gamma: float = 0.5,
) -> Pixels:
    """Lay the pixel maps of several matches over a chip, each in its own hue on its own scale.

    Where any scale has signs, hue says the sign instead: all maps in the palette's `positive` and, hatched, `negative`.

    Args:
        chip: (H, W, 3) uint8 RGB.
        fields: maps as :func:`smoothed` returns them, all of one shape.
        colours: RGB of each.
        scales: what full colour stands for in each; of the smoothed fields.
        palette, opacity, gamma: as in :func:`relevance_overlay`.

    Returns:
        (H, W, 3) uint8 RGB of the chip's size.
    """
    check_chip(chip)
    signed = any(scale.vmin < 0 for scale in scales)
    layers = []
    for field, colour, scale in zip(fields, colours, scales):
        layers.append(Layer(_strength(field, scale.vmax, gamma), palette.positive if signed else colour))
        if signed:
            layers.append(Layer(_strength(-field, scale.vmax, gamma), palette.negative, True))
    return tinted(chip, layers, opacity)


def tinted(chip: Pixels, layers: Sequence[Layer], opacity: float) -> Pixels:
    """Lay colours over a greyed photograph; where several meet, the stronger wins most of the mixture.

    Per pixel, with strength s of the mixture and hue h: ``out = base * ((1 - s) + s * 0.5 * h) + s * 0.6 *
    h``, that is, the photograph's lightness goes on modulating the colour. Hatched layers get strokes as strong as they
    are, which tell them from the others without their hue.
    """
    base = canvas.faded(chip, colour=0.0, contrast=0.88, lift=18.0)
    if not layers:
        return base
    strengths = np.stack([layer.strength for layer in layers])
    cover = strengths.max(axis=0)[..., None] * np.float32(opacity)
    weights = np.square(strengths)
    weights /= np.maximum(weights.sum(axis=0), np.float32(1e-12))
    hues = np.array([layer.colour for layer in layers], np.float32) / np.float32(255.0)
    hue = np.tensordot(weights, hues, axes=([0], [0]))
    factor = 1.0 - cover + cover * np.float32(0.5) * hue
    addend = cover * np.float32(0.6 * 255.0) * hue
    size = (chip.shape[0], chip.shape[1])
    out = canvas.multiply_add(base, canvas.resized_field(factor, size), canvas.resized_field(addend, size))
    strokes = [layer.strength for layer in layers if layer.hatched]
    if not strokes:
        return out
    return _hatched(out, canvas.resized_field(np.stack(strokes).max(axis=0) * np.float32(opacity), size))


def hatching(size: tuple[int, int], step: int) -> Field:
    """Return (h, w) float32 strokes from the lower left to the upper right: -1 dark, 1 light beside it, else 0."""
    rows, cols = np.ogrid[: size[0], : size[1]]
    phase = ((rows + cols) % step) / step
    strokes: Field = np.where(phase < 0.3, -1.0, np.where(phase < 0.45, 1.0, 0.0)).astype(np.float32)
    return strokes


def _hatched(picture: Pixels, strength: Field) -> Pixels:
    size = (picture.shape[0], picture.shape[1])
    strokes = hatching(size, max(_HATCH_LEAST, min(size) // _HATCH_STEPS))
    cover = np.where(strokes < 0, np.float32(_HATCH_DARK), np.float32(_HATCH_LIGHT)) * np.abs(strokes)
    cover = (cover * np.clip(strength, 0.0, 1.0))[..., None]
    light = np.where(strokes > 0, np.float32(255.0), np.float32(0.0))[..., None]
    factor, addend = (np.broadcast_to(field, (*size, 3)) for field in (1 - cover, cover * light))
    return canvas.multiply_add(picture, factor, addend)


def check_chip(chip: Any) -> None:
    """Raise ChipError unless `chip` is (H, W, 3) uint8 with pixels in it."""
    if not isinstance(chip, np.ndarray) or chip.dtype != np.uint8 or chip.ndim != 3 or chip.shape[2] != 3:
        found = f"{chip.shape} {chip.dtype}" if isinstance(chip, np.ndarray) else type(chip).__name__
        raise ChipError(
            f"a chip must be an (H, W, 3) uint8 RGB array, not {found}; read photographs with "
            f"pairx_plugin.cut_chip(PATH).pixels"
        )
    if chip.size == 0:
        raise ChipError(f"a chip of shape {chip.shape} has no pixels; check its box")


def _strength(field: Field, limit: float, gamma: float) -> Field:
    """Return values >= 0 as strengths in [0, 1]: none at 0, full at `limit`, the lowest ones cut to none."""
    if not limit > 0:
        return np.zeros_like(field)
    share = np.clip(field / np.float32(limit), 0.0, 1.0)
    lifted = np.sqrt(share) if gamma == 0.5 else np.power(share, np.float32(gamma))
    strength: NDArray[np.float32] = np.maximum(lifted - np.float32(_FLOOR), 0.0) / np.float32(1.0 - _FLOOR)
    return strength
