"""Which named attributes explain a pair: ranked by confidence, overlap with what counts, and prior; or none at all.

``E = phi1 confidence + phi2 overlap + phi3 prior`` (Plummer et al. 2020, section on attribute explanations), on both
pictures of the pair; the weights come with the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ...evidence import AttributeEvidence, Doubt
from .attribute_head import EVIDENCE_GROUPS, AttributeHead, AttributeLabel, Reading

__all__ = ["SHOWN", "NamedAttributes", "name_attributes", "overlap", "score_of"]

Map = NDArray[np.float32]

SHOWN = 3
"""How many attributes of each kind are named."""
_SURE = 0.5  # of a viewpoint, to speak of it
_ALARM = 0.6  # overlap from which a nuisance on both pictures is where the similarity comes from


@dataclass(frozen=True, kw_only=True)
class NamedAttributes:
    """What is named, whether nothing could be, and what the guards say."""

    attributes: tuple[AttributeEvidence, ...]
    abstained: bool
    doubts: tuple[Doubt, ...]


def name_attributes(
    head: AttributeHead, readings: tuple[Reading, Reading], saliency: tuple[Map | None, Map | None]
) -> NamedAttributes:
    """Name the attributes of a pair.

    Args:
        head: that made the readings.
        readings: of the query and of the candidate.
        saliency: (h, w) of either side, above 0 where a place speaks for the similarity; None while it is not known,
            when overlaps count as 0.

    Returns:
        At most :data:`SHOWN` attributes that both show and as many that one shows alone, best first.
    """
    same, different, doubts = [], [], []
    for index, label in enumerate(head.labels):
        p_0, p_1 = (float(reading.probability[index]) for reading in readings)
        maps = readings[0].maps[index], readings[1].maps[index]
        if label.group in EVIDENCE_GROUPS and label.threshold is not None:
            if min(p_0, p_1) >= label.threshold:
                same.append(_evidence(head, label, min(p_0, p_1), maps, _overlaps(maps, saliency, 1.0)))
            for side, alone in enumerate((p_0 * (1 - p_1), p_1 * (1 - p_0))):
                if alone >= label.threshold:
                    against = _overlaps(maps, saliency, -1.0)[side : side + 1]
                    different.append(_evidence(head, label, alone, maps, against, side=side))
        elif label.group == "nuisance" and min(p_0, p_1) >= (label.threshold or 1.0):
            doubts.extend(_alarm(label, min(_overlaps(maps, saliency, 1.0))))
    ranked = [sorted(found, key=lambda item: -item.score)[:SHOWN] for found in (same, different)]
    return NamedAttributes(
        attributes=(*ranked[0], *ranked[1]), abstained=not same, doubts=(*_viewpoints(head, readings), *doubts)
    )


def overlap(attribute_map: Map, saliency: Map) -> float:
    """Return the cosine of where an attribute shows and where a saliency is positive, in [0, 1].

    An attribute shows where its map lies above the map's mean: its level says how sure the head is, not where.

    >>> overlap(np.array([[0.0, 2.0]], np.float32), np.array([[-1.0, 3.0]], np.float32))
    1.0
    """
    size = tuple(max(lengths) for lengths in zip(attribute_map.shape, saliency.shape))
    shown = np.maximum(_resized(attribute_map - attribute_map.mean(dtype=np.float64), size), 0)
    counts = np.maximum(_resized(saliency, size), 0)
    norm = float(np.linalg.norm(shown)) * float(np.linalg.norm(counts))
    return min(1.0, float((shown * counts).sum()) / norm) if norm > 0 else 0.0


def score_of(ranking: Sequence[float], confidence: float, overlap_: float, prior: float) -> float:
    """Return the weighted sum by which attributes are put in order."""
    return float(np.dot(ranking, (confidence, overlap_, prior)))


def _overlaps(maps: tuple[Map, Map], saliency: tuple[Map | None, Map | None], sign: float) -> list[float]:
    return [0.0 if counts is None else overlap(own, np.float32(sign) * counts) for own, counts in zip(maps, saliency)]


def _evidence(
    head: AttributeHead,
    label: AttributeLabel,
    confidence: float,
    maps: tuple[Map, Map],
    overlaps: Sequence[float],
    side: int | None = None,
) -> AttributeEvidence:
    shared = float(np.mean(overlaps))
    return AttributeEvidence(
        name=label.name,
        group=label.group,
        kind="same" if side is None else "different",
        side=side,
        confidence=confidence,
        overlap=shared,
        prior=label.prior,
        score=score_of(head.ranking, confidence, shared, label.prior),
        map_0=maps[0],
        map_1=maps[1],
    )


def _alarm(label: AttributeLabel, shared: float) -> list[Doubt]:
    if shared < _ALARM:
        return []
    message = f"'{label.name}' is on both photographs, at places that count in the similarity; it is not the animal"
    values = {"attribute": label.name, "overlap": round(shared, 3)}
    return [Doubt(code="NUISANCE_COUNTS", message=message, values=values)]


def _viewpoints(head: AttributeHead, readings: tuple[Reading, Reading]) -> list[Doubt]:
    """Return a doubt where the two sides are seen from two directions."""
    indices = [index for index, label in enumerate(head.labels) if label.group == "viewpoint"]
    if not indices:
        return []
    best = [max(indices, key=lambda index: float(reading.probability[index])) for reading in readings]
    if best[0] == best[1] or any(reading.probability[index] < _SURE for reading, index in zip(readings, best)):
        return []
    names = [head.labels[index].name for index in best]
    message = f"the query seems to be seen from another direction ('{names[0]}') than the candidate ('{names[1]}')"
    return [Doubt(code="VIEWPOINTS_DIFFER", message=message, values={"viewpoint_0": names[0], "viewpoint_1": names[1]})]


def _resized(values: NDArray[np.floating], size: tuple[int, ...]) -> NDArray[np.float64]:
    tensor = torch.from_numpy(np.ascontiguousarray(values, np.float64))[None, None]
    if tuple(values.shape) != size:
        tensor = functional.interpolate(tensor, size, mode="bilinear", align_corners=False)
    result: NDArray[np.float64] = tensor[0, 0].numpy()
    return result
