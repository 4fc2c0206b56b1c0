"""The pairs on which a variant did best and worst, as pictures: both chips with their maps, and the leading matches."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..evidence import cell_points
from ..pixels import Pixels
from ..rendering.pictures import encode, media_type
from .bench import Explained
from .figure_names import FIGURES
from .map_agreement import resample
from .pair_choice import EvaluationPair
from .running import EvaluationRun
from .variants import Variant

__all__ = ["ORDERED_BY", "PairPicture", "overlay", "pair_pictures"]

ORDERED_BY = ("true_pck_10", "insertion_less_deletion", "mass_lift")
_EACH, _LINES = 2, 20
_HEAT = np.array([[255, 255, 255], [255, 214, 102], [240, 120, 30], [178, 24, 60], [70, 0, 70]], np.float64)


@dataclass(frozen=True, kw_only=True)
class PairPicture:
    """One pair as the report shows it.

    Attributes:
        side: ``best`` or ``worst``.
        words: its figures in a line.
        svg: both chips and the matches.
    """

    variant: str
    side: str
    title: str
    words: str
    svg: str


def pair_pictures(run: EvaluationRun, variant: Variant) -> list[PairPicture]:
    """Return the pairs with the highest and the lowest value of the first figure that was measured."""
    for key in ORDERED_BY:
        ranked = _ranked(run, variant.name, key)
        if len(ranked) >= 2:
            break
    else:
        return []
    n = min(_EACH, len(ranked) // 2)
    chosen = [("best", item) for item in ranked[:n]] + [("worst", item) for item in reversed(ranked[-n:])]
    title = next(figure.title for figure in FIGURES if figure.key == key)
    made = []
    for side, (value, pair) in chosen:
        query, candidate = run.bench.pair(pair)
        found = run.bench.explain(variant, query.chip, candidate.chip, rivals=run.bench.rivals(pair))
        result = run.results.get((variant.name, pair.pair_id, "correspondence"), {})
        right = result.get("details", {}).get("right")
        made.append(
            PairPicture(
                variant=variant.name,
                side=side,
                title=f"{pair.query_id} and {pair.candidate_id}",
                words=f"{title}: {value:.2f}; cosine {found.evidence.similarity:.3f}",
                svg=_svg(query.chip.pixels, candidate.chip.pixels, found, right),
            )
        )
    return made


def overlay(picture: Pixels, values: NDArray[np.float32]) -> Pixels:
    """Lay the positive part of a map over a greyed picture, scaled to its own largest value; no map leaves it grey."""
    fine = np.maximum(resample(values, (picture.shape[0], picture.shape[1])), 0.0)
    share = fine / fine.max() if fine.max() > 0 else fine
    place = share * (len(_HEAT) - 1)
    first = np.minimum(place.astype(int), len(_HEAT) - 2)
    colour = _HEAT[first] + (place - first)[..., None] * (_HEAT[first + 1] - _HEAT[first])
    grey = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
    weight = (0.75 * share)[..., None]
    laid: Pixels = np.clip(np.rint((1 - weight) * grey + weight * colour), 0, 255).astype(np.uint8)
    return laid


def _ranked(run: EvaluationRun, variant: str, key: str) -> list[tuple[float, EvaluationPair]]:
    found = []
    for pair in run.pairs:
        for measure in run.plan.measures:
            result = run.results.get((variant, pair.pair_id, measure))
            if pair.same and result and key in result["figures"]:
                found.append((float(result["figures"][key]), pair))
    return sorted(found, key=lambda item: -item[0])


def _svg(picture_0: Pixels, picture_1: Pixels, found: Explained, right: Sequence[bool | None] | None) -> str:
    height, width = picture_0.shape[:2]
    gap = width // 12
    total = 2 * width + gap
    parts = [
        f'<image href="{_uri(overlay(picture, values))}" x="{x}" y="0" width="{width}" height="{height}"/>'
        for picture, values, x in ((picture_0, found.maps[0], 0), (picture_1, found.maps[1], width + gap))
    ]
    matches = found.leading(_LINES)
    ends_0 = cell_points(matches.cells_0, found.layer.grid_0, (height, width))
    ends_1 = cell_points(matches.cells_1, found.layer.grid_1, (picture_1.shape[0], picture_1.shape[1]))
    for index, (start, end) in enumerate(zip(ends_0, ends_1)):
        known = right[index] if right is not None and index < len(right) else None
        kind = "right" if known else "unknown" if right is None else "wrong"
        parts.append(
            f'<line class="link {kind}" x1="{start[0]:.1f}" y1="{start[1]:.1f}" '
            f'x2="{end[0] + width + gap:.1f}" y2="{end[1]:.1f}"/>'
        )
    return (
        f'<svg class="pair" viewBox="0 0 {total} {height}" role="img" aria-label="both chips with relevance and '
        f'{len(matches)} matches">{"".join(parts)}</svg>'
    )


def _uri(picture: Pixels) -> str:
    return f"data:{media_type('webp')};base64,{base64.b64encode(encode(picture, 'webp')).decode('ascii')}"
