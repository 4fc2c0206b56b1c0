"""Reads the record of an explanation: JSON data of any plugin in, typed facts out, nothing raised.

A third-party explainer may leave out whatever it does not know, and may be wrong about the rest; what does not fit is
treated as missing, since a report must show every candidate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .queries import Note

__all__ = ["Figures", "Grid", "LayerFacts", "Link", "RecordFacts", "number_of", "place_of", "read_record"]

Place = tuple[float, float]
Grid = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Link:
    """One match: its places as shares (x, y) of the chips, None where they are not known.

    Attributes:
        inside: whether each end lies on the animal; None where nobody knows.
    """

    rank: int
    place_0: Place | None
    place_1: Place | None
    share: float | None
    distance: float | None
    inlier: bool | None
    inside: tuple[bool | None, bool | None] = (None, None)

    @property
    def outside(self) -> bool:
        """Whether an end is known to lie beside the animal."""
        return False in self.inside


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Plausibility figures of one layer, as :class:`pairx_plugin.plausibility.Plausibility` names them."""

    n_inliers: int | None
    n_chance: int | None
    n_tested: int | None
    irm_rob: float | None
    irm_ref: float | None
    match_coverage: float | None
    reasons: tuple[Note, ...]
    likelihood_ratio: float | None = None  # of the host's calibration, as are those below
    confirmed: float | None = None
    confirmed_of_all: float | None = None

    @property
    def calibrated(self) -> bool:
        """Whether the host's own decisions stand behind the band."""
        return self.likelihood_ratio is not None


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer's links and figures.

    Attributes:
        grids: (rows, cols) of both feature maps where they are known.
        n_coloured: how many links have colours of their own.
        signed: whether the layer's maps hold what speaks against the similarity, too.
        signed_colours: the same of the links' own maps.
    """

    layer_key: str
    n_matches: int | None
    links: tuple[Link, ...]
    figures: Figures | None
    grids: tuple[Grid, Grid] | None = None
    n_coloured: int = 0
    signed: bool = False
    signed_colours: bool = False

    @property
    def n_outside(self) -> int | None:
        """How many links end beside the animal; None where nobody knows where it is."""
        known = any(end is not None for link in self.links for end in link.inside)
        return sum(link.outside for link in self.links) if known else None

    def outlined(self, side: int) -> bool:
        """Whether it is known of every link on which side of the animal's outline it ends."""
        return bool(self.links) and all(link.inside[side] is not None for link in self.links)

    @property
    def maps_only(self) -> bool:
        """Whether the explainer has maps and no links; one that looks for links has figures, be there none."""
        return self.figures is None and self.n_matches == 0 and not self.links


@dataclass(frozen=True, kw_only=True)
class RecordFacts:
    """What a report shows of a record.

    Attributes:
        doubts: of the pair.
        chip_doubts: of the query's chip and of the candidate's.
        params: the settings by name.
        versions: of explainer and packages, by name.
        seconds: all stages together.
        sizes: (height, width) of the query's and of the candidate's chip, where they are known.
    """

    record_id: str
    created: str
    algorithm: str
    model_id: str
    model_fingerprint: str
    similarity: float | None
    layers: tuple[LayerFacts, ...]
    doubts: tuple[Note, ...]
    chip_doubts: tuple[tuple[Note, ...], tuple[Note, ...]]
    params: Mapping[str, Any]
    versions: Mapping[str, str]
    device: str
    seconds: float | None
    sizes: tuple[Grid, Grid] | None = None


_PACKAGES = ("torch", "zennit", "numpy", "python")


def read_record(record: Mapping[str, Any]) -> RecordFacts:
    """Return what can be read of a record of schema ``pairx.explanation/1``."""
    provenance = _mapping(record.get("provenance"))
    further = [_layer(_mapping(layer)) for layer in _items(record.get("other_layers"))]
    versions = {_text(provenance.get("service")): _text(provenance.get("version"))}
    versions |= {name: _text(provenance.get(name)) for name in _PACKAGES}
    times = [number_of(value) for value in _mapping(provenance.get("seconds")).values()]
    return RecordFacts(
        record_id=_text(record.get("id")),
        created=_text(record.get("created")),
        algorithm=_text(record.get("algorithm")),
        model_id=_text(record.get("model_id")),
        model_fingerprint=_text(record.get("model_sha256")),
        similarity=number_of(record.get("similarity")),
        layers=(_layer(record), *further) if "layer_key" in record or "matches" in record else tuple(further),
        doubts=_notes(record.get("warnings")),
        chip_doubts=(_chip_doubts(record, "query"), _chip_doubts(record, "candidate")),
        params=_mapping(record.get("params")),
        versions={name: version for name, version in versions.items() if name and version},
        device=_text(provenance.get("device")),
        seconds=sum(time for time in times if time is not None) if times else None,
        sizes=_sizes(record),
    )


def _layer(layer: Mapping[str, Any]) -> LayerFacts:
    figures = layer.get("plausibility")
    maps = [_mapping(item) for item in _items(layer.get("maps"))]
    signed = {item.get("kind") for item in maps if (number_of(item.get("vmin")) or 0.0) < 0}
    return LayerFacts(
        layer_key=_text(layer.get("layer_key")),
        n_matches=_whole(layer.get("num_matches")),
        links=tuple(_link(index, _mapping(link)) for index, link in enumerate(_items(layer.get("matches")), start=1)),
        figures=_figures(figures) if isinstance(figures, Mapping) else None,
        grids=_both([_mapping(layer.get("grid")).get(side) for side in ("0", "1")]),
        n_coloured=len({item.get("rank") for item in maps if item.get("kind") == "pixel"}),
        signed="intermediate" in signed,
        signed_colours="pixel" in signed,
    )


def _link(index: int, link: Mapping[str, Any]) -> Link:
    inlier = link.get("inlier")
    inside = [value if isinstance(value, bool) else None for value in (link.get("inside0"), link.get("inside1"))]
    return Link(
        rank=_whole(link.get("rank")) or index,
        place_0=place_of(link.get("kpts0")),
        place_1=place_of(link.get("kpts1")),
        share=number_of(link.get("relevance_share")),
        distance=number_of(link.get("distance")),
        inlier=inlier if isinstance(inlier, bool) else None,
        inside=(inside[0], inside[1]),
    )


def _figures(figures: Mapping[str, Any]) -> Figures:
    calibration = _mapping(figures.get("calibration"))
    return Figures(
        n_inliers=_whole(figures.get("n_inliers")),
        n_chance=_whole(figures.get("n_chance")),
        n_tested=_whole(figures.get("n_tested")),
        irm_rob=number_of(figures.get("irm_rob")),
        irm_ref=number_of(figures.get("irm_ref")),
        match_coverage=number_of(figures.get("match_coverage")),
        reasons=_notes(figures.get("reasons")),
        likelihood_ratio=number_of(calibration.get("likelihood_ratio")),
        confirmed=number_of(calibration.get("probability")),
        confirmed_of_all=number_of(calibration.get("prevalence")),
    )


def _notes(value: Any) -> tuple[Note, ...]:
    found = (_mapping(item) for item in _items(value))
    return tuple(Note.from_json(item) for item in found if _text(item.get("code")))


def _chip_doubts(record: Mapping[str, Any], role: str) -> tuple[Note, ...]:
    images = (_mapping(image) for image in _items(record.get("images")))
    return next((_notes(image.get("warnings")) for image in images if image.get("role") == role), ())


def _sizes(record: Mapping[str, Any]) -> tuple[Grid, Grid] | None:
    images = [_mapping(image) for image in _items(record.get("images"))]
    chips = {image.get("role"): _mapping(image.get("chip")) for image in images}
    found = [_mapping(chips.get(role)) for role in ("query", "candidate")]
    return _both([(chip.get("height"), chip.get("width")) for chip in found])


def _both(values: Sequence[Any]) -> tuple[Grid, Grid] | None:
    """Two pairs of whole numbers from 1 on, or None."""
    pairs = [[_whole(part) for part in _items(value)] for value in values]
    if any(len(pair) != 2 or any(part is None or part < 1 for part in pair) for pair in pairs):
        return None
    (a, b), (c, d) = pairs
    return (int(a or 1), int(b or 1)), (int(c or 1), int(d or 1))


def place_of(value: Any) -> Place | None:
    """Return a place (x, y), or None where it is none."""
    numbers = [number_of(part) for part in _items(value)]
    if len(numbers) != 2 or numbers[0] is None or numbers[1] is None:
        return None
    return numbers[0], numbers[1]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def number_of(value: Any) -> float | None:
    """Return a finite number, or None where it is none."""
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if usable else None


def _whole(value: Any) -> int | None:
    number = number_of(value)
    return int(number) if number is not None and number == int(number) else None
