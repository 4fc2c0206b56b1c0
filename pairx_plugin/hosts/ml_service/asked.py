"""What a request asks for: ml-service's fields, ours beside them, and the pairs that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from ...review.failures import ApiFailure
from ...settings import AUTO_LAYER
from .configuration import BATCH

__all__ = ["MOST_DRAWN", "VIEWS", "Asked", "AskedPair", "Place", "asked_pairs", "extra_fields"]

VIEWS = ("only_colors", "only_lines", "lines_and_colors")
MOST_DRAWN = 99
"""Lines, or colours, that a request may ask for."""
_LONG = 300

Number = Annotated[float, Field(allow_inf_nan=False)]
Box = Annotated[list[Number], Field(json_schema_extra={"minItems": 4, "maxItems": 4})]
_ONE_TO_BATCH: JsonDict = {"minItems": 1, "maxItems": BATCH}


class Asked(BaseModel):
    """The body of ``/explain/``; keys that are not known are ignored."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    image1_uris: list[str] = Field(description="one query, or as many as candidates", json_schema_extra=_ONE_TO_BATCH)
    bb1: list[Box] = Field(description="[x, y, width, height] in pixels; four zeros, or nothing, for a whole image")
    image2_uris: list[str] = Field(description="candidates", json_schema_extra=_ONE_TO_BATCH)
    bb2: list[Box] = Field(description="as bb1")
    theta1: list[Number] = Field(default=[0.0], description="turns of the boxes in radians; below 0.1 they are none")
    theta2: list[Number] = Field(default=[0.0], description="as theta1")
    model_id: str = Field(default="miewid-msv4.1", description="a model that this service serves")
    crop_bbox: bool = Field(default=False, description="kept for its callers; pictures always show what was compared")
    visualization_type: str = Field(default="only_colors", json_schema_extra={"enum": list(VIEWS)})
    layer_key: Optional[str] = Field(
        default=None, description="the model's own, backbone.blocks.3 of MiewID, if none; auto: chosen by this service"
    )
    k_lines: int = Field(default=20, json_schema_extra={"minimum": 0, "maximum": MOST_DRAWN})
    k_colors: int = Field(default=5, json_schema_extra={"minimum": 0, "maximum": MOST_DRAWN})
    algorithm: str = Field(default="pairx", description="id of an explainer that is installed here")
    output: Literal["images", "records", "both"] = Field(default="images", description="what the answer holds")
    layer_keys: list[str] = Field(
        default=[], description="layers of the records, the first one drawn", json_schema_extra={"maxItems": 4}
    )
    strict: bool = Field(default=False, description="answer what cannot be used with 400, as ml-service does")


@dataclass(frozen=True, kw_only=True)
class Place:
    """One animal in one photograph, as a request names it.

    Attributes:
        box: (x, y, width, height) in pixels; four zeros for the whole photograph.
        side: 1 or 2, and `index` in that side's list, for messages.
    """

    uri: str
    box: tuple[float, float, float, float]
    theta: float
    side: int
    index: int

    @property
    def image_field(self) -> str:
        """The field that names the photograph."""
        return f"image{self.side}_uris[{self.index}]"

    @property
    def box_field(self) -> str:
        """The field that holds the box."""
        return f"bb{self.side}[{self.index}]"


@dataclass(frozen=True, kw_only=True)
class AskedPair:
    """A query and a candidate."""

    query: Place
    candidate: Place


def asked_pairs(asked: Asked) -> list[AskedPair]:
    """Check what ml-service checks, and return the pairs: one query with each candidate, or one with one.

    Raises:
        ApiFailure: a value is out of its range, or the lists do not fit together.
    """
    _check(asked)
    n_1, n_2 = len(asked.image1_uris), len(asked.image2_uris)
    if n_1 != 1 and n_1 != n_2:
        raise _wrong(f"{n_1} queries and {n_2} candidates; give one query, or as many as candidates", "image1_uris")
    queries = _places(asked.image1_uris, asked.bb1, asked.theta1, 1)
    candidates = _places(asked.image2_uris, asked.bb2, asked.theta2, 2)
    return [
        AskedPair(query=queries[0 if n_1 == 1 else index], candidate=candidate)
        for index, candidate in enumerate(candidates)
    ]


def extra_fields(asked: Asked) -> list[dict[str, Any]]:
    """Return a warning for each list that is longer than its images; what is beyond is not used."""
    sizes = {"1": len(asked.image1_uris), "2": len(asked.image2_uris)}
    lists = [(name, getattr(asked, name), sizes[name[-1]]) for name in ("bb1", "bb2", "theta1", "theta2")]
    return [
        {
            "code": "EXTRA_IGNORED",
            "message": f"{name} has {len(values)} entries for {n} images; those beyond are not used.",
            "field": name,
        }
        for name, values, n in lists
        if len(values) > n
    ]


def _check(asked: Asked) -> None:
    for name in ("image1_uris", "image2_uris"):
        if not getattr(asked, name):
            raise _wrong(f"{name} is empty; name one image at least", name)
        if len(getattr(asked, name)) > BATCH:
            message = f"{name} has {len(getattr(asked, name))} images; {BATCH} may be asked for at once"
            raise ApiFailure(422, "BATCH_TOO_LARGE", message, field=name)
    for name in ("k_lines", "k_colors"):
        if not 0 <= getattr(asked, name) <= MOST_DRAWN:
            raise _wrong(f"{name} is {getattr(asked, name)}; it must be 0 to {MOST_DRAWN}", name)
    if asked.visualization_type not in VIEWS:
        raise _wrong(
            f"there is no view {asked.visualization_type!r:.60}; choose from: {', '.join(VIEWS)}", "visualization_type"
        )
    if len(asked.layer_keys) > 4 or any(len(key) > _LONG for key in (*asked.layer_keys, asked.layer_key or "")):
        raise _wrong(f"at most 4 layers may be asked for, with names of at most {_LONG} characters", "layer_keys")
    if AUTO_LAYER in asked.layer_keys and len(asked.layer_keys) > 1:
        raise _wrong(f"'{AUTO_LAYER}' is one layer, which is chosen; ask for it alone", "layer_keys")
    for name in ("bb1", "bb2"):
        for index, box in enumerate(getattr(asked, name)):
            if len(box) != 4:
                raise _wrong(f"a box is [x, y, width, height], not {len(box)} numbers", f"{name}[{index}]")
            if asked.strict and min(box) < 0:
                raise _wrong(f"the box {box} has a value below 0", f"{name}[{index}]")


def _places(uris: Sequence[str], boxes: Sequence[Sequence[float]], thetas: Sequence[float], side: int) -> list[Place]:
    """Pair images with their boxes and turns; an image without has none."""
    whole = (0.0, 0.0, 0.0, 0.0)
    return [
        Place(
            uri=uri.strip(),
            box=(boxes[index][0], boxes[index][1], boxes[index][2], boxes[index][3]) if index < len(boxes) else whole,
            theta=thetas[index] if index < len(thetas) else 0.0,
            side=side,
            index=index,
        )
        for index, uri in enumerate(uris)
    ]


def _wrong(message: str, field: str) -> ApiFailure:
    return ApiFailure(422, "BAD_REQUEST", message, field=field)
