"""The columns of `attributes.csv` as labels that are true, false or unknown, each with the group that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np

from . import SampleAnnotation, load_annotations, load_attributes
from .coats import PATTERNS, paint_coat
from .marks import KINDS

__all__ = ["LABELS", "CoatFacts", "coat_facts", "labels_of", "load_labelled"]

VIEWPOINTS = ("left", "right", "frontleft", "frontright", "backleft", "backright", "back")
COVERS = ("grass", "twigs", "fish", "bubbles", "spray", "water_line")
BACKGROUNDS = ("savanna", "woodland", "reef", "open_water", "sea")
LIGHTS = ("soft", "harsh", "dappled", "dark", "bright")

LABELS: Tuple[Tuple[str, str], ...] = (
    *(("mark", kind) for kind in KINDS),
    *(("pattern", pattern) for pattern in PATTERNS.values()),
    *(("pattern", word) for word in ("dark_coat", "pale_coat", "plain_coat", "busy_coat")),
    *(("viewpoint", word) for word in VIEWPOINTS),
    *(("nuisance", word) for word in (*COVERS, *BACKGROUNDS, *LIGHTS, "defocus", "motion_blur")),
)
"""(group, name) of every label."""

DEFOCUS = (1.0, 2.0)
"""Standard deviation of a defocus in pixels of a 640 px photograph: sharp up to the first, blurred from the second."""
MOTION = (1.0, 4.0)
"""Length of a motion blur in the same pixels: sharp up to the first, blurred from the second."""

TONE = {"striped_horse": (0.358, 0.397), "ridge_whale": (0.239, 0.338)}
"""Mean lightness of a coat: dark up to the first, pale from the second; the terciles of 50 individuals each.
Coats of the other species are too much alike for eyes to tell, so none of them counts as dark or pale."""
BUSYNESS = {"star_shark": (0.0801, 0.0867), "ridge_whale": (0.0387, 0.0507)}
"""Mean step of lightness from pixel to pixel: plain up to the first, busy from the second, likewise."""
_COAT_WIDTH = 256


@dataclass(frozen=True)
class CoatFacts:
    """What a coat looks like as a whole: mean lightness, and mean step of lightness, of the inside of the
    animal."""

    tone: float
    busyness: float


def coat_facts(species: str, seed: int) -> CoatFacts:
    """Measure an individual's coat, drawn 256 pixels wide."""
    coat = paint_coat(species, seed, _COAT_WIDTH)
    lightness, inside = coat.albedo.mean(2), coat.alpha > 0.5
    for _ in range(2):
        core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        inside = np.pad(core, 1)
    steps = np.hypot(*np.gradient(lightness))
    return CoatFacts(tone=float(lightness[inside].mean()), busyness=float(steps[inside].mean()))


def labels_of(row: Mapping[str, str], coat: CoatFacts) -> Dict[Tuple[str, str], Optional[bool]]:
    """Labels of one row of `attributes.csv`; None where a label can be neither denied nor claimed.

    A mark that the individual has and the photograph hardly shows is unknown, as is a slight blur.
    """
    marks, visible = row["marks"].split(";"), row["marks_visible"].split(";")
    covers = row["occlusion"].split(";")
    labels: Dict[Tuple[str, str], Optional[bool]] = {}
    for kind in KINDS:
        labels["mark", kind] = True if kind in visible else None if kind in marks else False
    labels.update({("pattern", word): row["pattern"] == word for word in PATTERNS.values()})
    for low, high, value, limits in (
        ("dark_coat", "pale_coat", coat.tone, TONE.get(row["species"])),
        ("plain_coat", "busy_coat", coat.busyness, BUSYNESS.get(row["species"])),
    ):
        labels["pattern", low] = limits is not None and value <= limits[0]
        labels["pattern", high] = limits is not None and value >= limits[1]
    labels.update({("viewpoint", word): row["viewpoint"] == word for word in VIEWPOINTS})
    labels.update({("nuisance", word): word in covers for word in COVERS})
    labels.update({("nuisance", word): row["background"] == word for word in BACKGROUNDS})
    labels.update({("nuisance", word): row["light"] == word for word in LIGHTS})
    labels["nuisance", "defocus"] = _between(float(row["blur_px"]), *DEFOCUS)
    labels["nuisance", "motion_blur"] = _between(float(row["motion_px"]), *MOTION)
    return labels


def load_labelled(
    folder: Optional[Path] = None,
) -> List[Tuple[SampleAnnotation, Dict[Tuple[str, str], Optional[bool]]]]:
    """Every annotation of the sample data, or of a folder that `generate --out` wrote, with its labels."""
    attributes = load_attributes(folder)
    coats: Dict[Tuple[str, int], CoatFacts] = {}
    found = []
    for item in load_annotations(folder):
        row = attributes[item.file_name]
        who = (row["species"], int(row["seed"]))
        if who not in coats:
            coats[who] = coat_facts(*who)
        found.append((item, labels_of(row, coats[who])))
    return found


def _between(value: float, low: float, high: float) -> Optional[bool]:
    return False if value <= low else True if value >= high else None
