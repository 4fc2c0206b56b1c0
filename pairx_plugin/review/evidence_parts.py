"""One explanation as the browser gets it: a record, and one grey picture for each colour map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairx_hooks import Annotation, Candidate, Explanation, Failure, RankedQuery, Status

from ..evidence import LayerEvidence
from ..explanation import PairExplanation
from ..rendering.colour_maps import Scale, as_field, grey_map, map_scale, shares, smoothed
from ..rendering.legend import is_maps_only
from ..rendering.pictures import encode
from ..report.animal import with_inside

__all__ = ["GAMMA", "SIGNS", "EvidenceParts", "cut_short", "grey_mask", "kept_parts", "parts_of"]

SIGNS = {"for": 1.0, "against": -1.0}
GAMMA = 0.5  # of a mask of pixels: it lifts weak relevance, which eight bits would lose
LAYER_GAMMA = 1.0  # of a layer's mask: as strong on the page as in the pictures


@dataclass(frozen=True, kw_only=True)
class EvidenceParts:
    """What one explanation sends to the browser.

    Attributes:
        record: schema ``pairx.explanation/1``, without addresses of this machine.
        masks: PNG bytes by their place in ``record["maps"]``; white is full colour, black none.
    """

    record: Mapping[str, Any]
    masks: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def n_bytes(self) -> int:
        """About how much memory the parts take."""
        return sum(map(len, self.masks.values())) + 400 * len(self.record.get("matches") or ()) + 4000


def parts_of(explanation: PairExplanation, ranked_query: RankedQuery, candidate: Candidate) -> EvidenceParts:
    """Return record and masks of a fresh explanation."""
    record = explanation.to_json()
    masks: dict[int, bytes] = {}
    if explanation.layers:
        record["maps"], masks = _maps(record.get("maps") or [], explanation.layers[0])
    return EvidenceParts(record=_annotated(record, ranked_query, candidate), masks=masks)


def kept_parts(explanation: Explanation, ranked_query: RankedQuery, candidate: Candidate) -> EvidenceParts:
    """Return the record that a host has kept; its masks were not."""
    record = explanation.to_json()["record"]
    return EvidenceParts(record=_annotated({**record, "maps": []}, ranked_query, candidate))


def cut_short(parts: EvidenceParts, failure: Failure) -> EvidenceParts:
    """Return parts that will not grow any more, and say in their record why."""
    record = parts.record
    errors = [*(record.get("errors") or ()), failure.to_json()]
    return replace(parts, record={**record, "status": Status.PARTIAL.value, "errors": errors})


def _maps(
    described: Sequence[Mapping[str, Any]], layer: LayerEvidence
) -> tuple[list[dict[str, Any]], dict[int, bytes]]:
    """Return the descriptions with their encoding, and the masks.

    Both sides and all matches share one scale, but for maps of an explainer without matches, which share no unit. Where
    maps of a kind have signs, each becomes two, with ``sign`` "for" and "against".
    """
    pixels = [[smoothed(values) for values in maps] for maps in (layer.pixels_0, layer.pixels_1)]
    whole = [shares(values) for values in (layer.relevance_0, layer.relevance_1)]
    pixel_scale, layer_scales = map_scale([*pixels[0], *pixels[1]]), [map_scale(whole)] * 2
    if is_maps_only(layer):
        layer_scales = [map_scale([values]) for values in whole]
    signed = {"pixel": pixel_scale.vmin < 0, "intermediate": any(bool((values < 0).any()) for values in whole)}
    maps: list[dict[str, Any]] = []
    masks: dict[int, bytes] = {}
    for item in described:
        side, rank = int(item["side"]), item["rank"]
        values = whole[side] if rank is None else pixels[side][int(rank) - 1]
        vmax = layer_scales[side].vmax if rank is None else pixel_scale.vmax
        gamma = LAYER_GAMMA if rank is None else GAMMA
        for sign, factor in SIGNS.items() if signed[str(item["kind"])] else (("", 1.0),):
            masks[len(maps)] = grey_mask(values * np.float32(factor), vmax, gamma)
            height, width = values.shape
            more = {"width": width, "height": height, "encoding": "gray8", "gamma": gamma}
            maps.append({**item, **more, **({"sign": sign} if sign else {})})
    return maps, masks


def grey_mask(values: NDArray[np.float32], vmax: float, gamma: float = GAMMA) -> bytes:
    """Return a map as a PNG: white from `vmax` on, black where it is not above 0, and shares to the power `gamma`."""
    field_ = as_field(values)
    strength = np.power(np.clip(field_ / vmax, 0.0, 1.0), gamma) if vmax > 0 else np.zeros_like(field_)
    return encode(grey_map(strength, Scale(0.0, 1.0)), "png")


def _annotated(record: Mapping[str, Any], ranked_query: RankedQuery, candidate: Candidate) -> dict[str, Any]:
    """Say whose chips these are, and leave out where files lie on this machine."""
    images = []
    for image in record.get("images") or ():
        annotation = ranked_query.query if image.get("role") == "query" else candidate.annotation
        images.append({**image, **_facts(annotation)})
    return {
        **with_inside(record, ranked_query.query, candidate.annotation),
        "images": images,
        "score": candidate.score,
        "score_scale": ranked_query.score_scale,
        "ranked_by": {
            "model_id": ranked_query.model_id,
            "same_model": record.get("model_id") == ranked_query.model_id,
        },
    }


def _facts(annotation: Annotation) -> dict[str, Any]:
    name = PurePath(annotation.image.replace("\\", "/")).name
    return {
        "uri": name,
        "filename": str(annotation.extra.get("file_name") or name),
        "annotation_id": annotation.annotation_id,
        "encounter_id": annotation.extra.get("encounter_id"),
        "individual_id": annotation.name,
        "species": annotation.species,
        "viewpoint": annotation.viewpoint,
    }
