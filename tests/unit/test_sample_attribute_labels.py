"""What the sample data know of their photographs, as labels."""

from __future__ import annotations

import pytest

from pairx_sample_data import load_attributes
from pairx_sample_data.attribute_labels import LABELS, CoatFacts, coat_facts, labels_of, load_labelled

MIDDLING = CoatFacts(tone=0.37, busyness=0.083)


@pytest.fixture(scope="module")
def row() -> dict[str, str]:
    return dict(load_attributes()["striped_horse_001_1.jpg"])


def test_every_photograph_has_every_label() -> None:
    labelled = load_labelled()
    assert len(labelled) == 64 and all(tuple(labels) == LABELS for _, labels in labelled)
    assert not any(labels["pattern", "dark_coat"] and labels["pattern", "pale_coat"] for _, labels in labelled)


def test_mark_that_the_photograph_hardly_shows_is_unknown(row: dict[str, str]) -> None:
    shown = labels_of({**row, "marks": "scar;notch", "marks_visible": "scar"}, MIDDLING)
    assert (shown["mark", "scar"], shown["mark", "notch"], shown["mark", "blotch"]) == (True, None, False)


def test_slight_blur_is_unknown(row: dict[str, str]) -> None:
    blurs = [labels_of({**row, "blur_px": value}, MIDDLING)["nuisance", "defocus"] for value in ("0.4", "1.5", "2.5")]
    assert blurs == [False, None, True]


def test_coats_count_as_dark_where_eyes_can_tell(row: dict[str, str]) -> None:
    dark, pale = CoatFacts(tone=0.2, busyness=0.083), CoatFacts(tone=0.5, busyness=0.083)
    assert labels_of(row, dark)["pattern", "dark_coat"] and labels_of(row, pale)["pattern", "pale_coat"]
    assert not labels_of(row, MIDDLING)["pattern", "dark_coat"] and not labels_of(row, MIDDLING)["pattern", "pale_coat"]
    assert not labels_of({**row, "species": "spotted_cat"}, dark)["pattern", "dark_coat"]


def test_pattern_viewpoint_and_scene_are_one_of_each(row: dict[str, str]) -> None:
    labels = labels_of({**row, "occlusion": "grass;twigs"}, MIDDLING)
    true = {name for (_, name), value in labels.items() if value}
    assert true >= {"stripes", "left", "woodland", "harsh", "grass", "twigs", "motion_blur"}
    assert not true & {"rosettes", "right", "reef", "soft", "fish"}


def test_coat_is_measured_on_the_animal_alone() -> None:
    facts = coat_facts("striped_horse", 50_000)
    assert facts == coat_facts("striped_horse", 50_000) and 0.3 < facts.tone < 0.5 and 0.09 < facts.busyness < 0.14
