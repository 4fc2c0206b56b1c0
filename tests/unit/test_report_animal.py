"""Where the animal is, as data sets write it down, and which links end outside of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pairx_hooks import Annotation
from pairx_plugin.chips import cut_chip
from pairx_plugin.report.animal import with_inside
from pairx_plugin.report.messages import Messages
from pairx_plugin.report.outlines import outline_of
from pairx_plugin.report.reading import read_record
from pairx_plugin.report.words import Words

SIZE = (40, 60)  # height, width of the photograph
SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]
WORDS = Words(Messages("en"))


def mask() -> np.ndarray:
    """A disk, a bar, and a lonely pixel in the last corner."""
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    found = (rows - 20) ** 2 + (cols - 25) ** 2 < 90
    found[3:5, 40:55] = True
    found[-1, -1] = True
    return found


def run_lengths(pixels: np.ndarray) -> list[int]:
    """Lengths of runs column by column, beginning with those beside the animal, counted one pixel after another."""
    runs, now = [0], False
    for value in pixels.T.ravel().tolist():
        if value != now:
            runs.append(0)
            now = value
        runs[-1] += 1
    return runs


def packed(runs: list[int]) -> str:
    """COCO's packed run lengths, written bit by bit."""
    text = ""
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            bits, value = value & 0x1F, value >> 5
            more = not (value == 0 and not bits & 0x10) and not (value == -1 and bits & 0x10)
            text += chr((bits | (0x20 if more else 0)) + 48)
            if not more:
                break
    return text


def grid_of_points() -> np.ndarray:
    x, y = np.meshgrid(np.arange(SIZE[1]) + 0.5, np.arange(SIZE[0]) + 0.5)
    return np.stack([x.ravel(), y.ravel()], axis=1)


@pytest.mark.parametrize("form", ["plain", "packed", "bytes", "text"])
def test_run_lengths_are_the_mask_pixel_by_pixel(form):
    runs = run_lengths(mask())
    counts = {"plain": runs, "packed": packed(runs), "bytes": packed(runs).encode(), "text": packed(runs)}[form]
    value = {"size": list(SIZE), "counts": counts}
    outline = outline_of(json.dumps(value) if form == "text" else value, SIZE)
    assert outline.holds(grid_of_points()).reshape(SIZE).tolist() == mask().tolist()
    outside = np.array([[-1.0, 5.0], [5.0, -1.0], [60.5, 39.5], [59.5, 40.5]])
    assert outline.holds(outside).tolist() == [False] * 4


def test_polygons_are_joined_and_may_have_dents():
    arrow = [[0, 0, 20, 0, 20, 20, 10, 8, 0, 20], [40, 0, 50, 0, 45, 10]]
    outline = outline_of(arrow, SIZE)
    points = np.array([[10, 4], [10, 15], [2, 15], [45, 3], [41, 8], [30, 5]], float)
    assert outline.holds(points).tolist() == [True, False, True, True, False, False]
    flat = outline_of(json.dumps(arrow[0]), SIZE)
    assert flat.holds(points).tolist() == [True, False, True, False, False, False]


@pytest.mark.parametrize(
    "value",
    [
        None, "", "masks/1.png", "[1, 2", "{}", [], [[1, 2, 3, 4]], [[1, 2, 3, 4, 5, 6, 7]], [["a"] * 6], 7, True,
        [[0, 0, float("nan"), 0, 5, 5]], {"size": [40, 60]}, {"size": [60, 40], "counts": [2400]},
        {"size": [40, 60], "counts": [2399]}, {"size": [40, 60], "counts": [-1, 2401]},
        {"size": [40, 60], "counts": "\x01"},
        {"size": [40, 60], "counts": "o"}, {"size": "xx", "counts": [2400]}, [[0, 0, 9, 0, 9, 9], "x"],
    ],
    ids=repr,
)
def test_what_cannot_be_read_is_no_outline(value):
    assert outline_of(value, SIZE) is None


def annotation(name: str, **more) -> Annotation:
    return Annotation(annotation_id=name, image=f"{name}.jpg", **more)


def image(role: str, chip) -> dict:
    width, height = chip.image_size
    return {
        "role": role, "width": width, "height": height, "bbox": list(chip.bbox), "theta": chip.theta,
        "chip": {"width": chip.width, "height": chip.height, "to_image": list(chip.to_image)},
    }


def record(query, candidate, places, inlier=None, grid=(400, 400)) -> dict:
    return {
        "layer_key": "x",
        "grid": {"0": list(grid), "1": list(grid)},
        "images": [image("query", query), image("candidate", candidate)],
        "matches": [
            {"rank": rank, "kpts0": list(a), "kpts1": list(b), "inlier": inlier}
            for rank, (a, b) in enumerate(places, 1)
        ],
        "num_matches": len(places),
        "plausibility": {"n_inliers": 1, "reasons": [{"code": "POSE_CONSISTENT", "values": {"n": 1, "of": 1}}]},
    }


PHOTOGRAPH = np.full((*SIZE, 3), 120, np.uint8)


def inside(found: dict) -> list[tuple]:
    return [(match.get("inside0"), match.get("inside1")) for match in found["matches"]]


def test_ends_are_looked_up_in_the_photograph_through_a_turned_box():
    chip = cut_chip(PHOTOGRAPH, bbox=(5, 5, 40, 20), theta=0.4)
    query = annotation("a", bbox=(5, 5, 40, 20), theta=0.4, extra={"segmentation": SQUARE})
    places = [(place, place) for place in ((0.5, 0.5), (0.98, 0.98), (0.3, 0.9), (0.1, 0.1))]
    points = chip.image_points([place for place, _ in places])
    wanted = [bool(10 < x < 30 and 10 < y < 30) for x, y in points]
    assert set(wanted) == {True, False}
    found = with_inside(record(chip, chip, places), query, annotation("b", bbox=(5, 5, 40, 20), theta=0.4))
    assert [pair[0] for pair in inside(found)] == wanted
    assert [pair[1] for pair in inside(found)] == [None] * 4  # nobody says where the candidate's animal is


@pytest.mark.parametrize(
    ("grid", "wanted"),
    [
        ((40, 60), [True, False, False]),  # cells of one pixel
        ((4, 4), [True, True, False]),  # cells of 15 x 10 pixels: the second one's reaches over the outline
        ((4, 400), [True, False, False]),  # low and narrow cells do not
        (None, [True, False, False]),
    ],
)
def test_end_is_beside_the_animal_where_no_part_of_its_cell_is_on_it(grid, wanted):
    chip = cut_chip(PHOTOGRAPH)
    own = annotation("a", extra={"segmentation": SQUARE})  # from 10 to 30 both ways
    places = [(20 / 60, 20 / 40), (35 / 60, 20 / 40), (45 / 60, 20 / 40)]
    made = record(chip, chip, [(place, place) for place in places], grid=grid or (1, 1))
    if grid is None:
        del made["grid"]
    assert inside(with_inside(made, own, own)) == [(value, value) for value in wanted]


def test_beyond_the_photograph_is_outside_without_any_outline():
    chip = cut_chip(PHOTOGRAPH, bbox=(-20, 0, 40, 40))
    own = annotation("a", bbox=(-20, 0, 40, 40))
    found = with_inside(record(chip, chip, [((0.25, 0.5), (0.75, 0.5))]), own, own)
    assert inside(found) == [(False, None)]
    (reason,) = [item for item in found["plausibility"]["reasons"] if item["code"] == "OUTSIDE_ANIMAL"]
    assert reason["values"] == {"n": 1, "of": 1, "of_pose": 0}


def test_beyond_the_annotations_own_box_is_outside_where_the_chip_shows_more():
    chip = cut_chip(np.full((80, 120, 3), 90, np.uint8), max_side=60)  # the whole photograph, shrunk
    own = annotation("a", bbox=(60, 0, 60, 80), theta=0.0)
    found = with_inside(record(chip, chip, [((0.25, 0.5), (0.75, 0.5))]), own, own)
    assert inside(found) == [(False, None)]


def test_finished_chips_whose_place_is_unknown_are_not_judged():
    from pairx_plugin.chips import Chip

    chip = Chip.from_array(np.full((30, 30, 3), 90, np.uint8))
    own = annotation("a", bbox=(200, 200, 30, 30), extra={"segmentation": SQUARE})
    assert inside(with_inside(record(chip, chip, [((0.5, 0.5), (0.5, 0.5))]), own, own)) == [(None, None)]


def test_record_without_places_or_with_an_answer_is_left_alone():
    chip = cut_chip(PHOTOGRAPH)
    own = annotation("a", extra={"segmentation": SQUARE})
    assert with_inside({}, own, own) == {}
    assert with_inside({"matches": [1, 2]}, own, own) == {"matches": [1, 2]}
    told = record(chip, chip, [((0.9, 0.9), (0.9, 0.9))])
    told["matches"][0] |= {"inside0": True, "inside1": None}
    once = with_inside(told, own, annotation("b"))
    assert inside(once) == [(True, None)]
    lost = record(chip, chip, [((0.9, 0.9), (0.9, 0.9))])
    del lost["matches"][0]["kpts0"], lost["images"][1]["chip"]
    assert inside(with_inside(lost, own, own)) == [(None, None)]
    again = with_inside(with_inside(record(chip, chip, [((0.9, 0.9), (0.1, 0.1))]), own, own), own, own)
    assert [item["code"] for item in again["plausibility"]["reasons"]].count("OUTSIDE_ANIMAL") == 1


def layer(ends, inlier=None):
    matches = [
        {"rank": rank, "kpts0": [0.5, 0.5], "kpts1": [0.5, 0.5], "inside0": a, "inside1": b, "inlier": inlier}
        for rank, (a, b) in enumerate(ends, 1)
    ]
    return read_record({"layer_key": "x", "matches": matches, "num_matches": len(matches)})


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        ([(False, True), (True, True)], "Of 2 links, 1 ends outside the animal."),
        ([(False, None), (None, False), (True, True)], "Of 3 links, 2 end outside the animal."),
        ([(True, True)] * 2, "All of the links (2) lie on the animal."),
        ([(True, None)], "In the query no link ends outside the animal; nobody has said where it is in the candidate."),
        ([(None, True)], "In the candidate no link ends outside the animal; nobody has said where it is in the query."),
    ],
)
def test_words_say_how_many_end_outside_as_far_as_it_is_known(ends, sentence):
    assert sentence in WORDS.plausibility(layer(ends).layers[0])


def test_words_say_nothing_where_nothing_is_known():
    found = layer([(None, None)] * 3)
    assert not any("animal" in sentence for sentence in WORDS.plausibility(found.layers[0]))
    assert WORDS.doubts(found, (), ()) == []


def test_doubts_name_a_pose_that_may_be_the_backgrounds():
    ends = [(False, True)] * 3 + [(True, True)] * 5
    assert WORDS.doubts(layer(ends), (), ()) == [
        "3 of 8 links end outside the animal, so much of this evidence is about something else in the picture."
    ]
    assert WORDS.doubts(layer(ends, inlier=True), (), ()) == [
        "3 of the 8 links that fit the pose end outside the animal, so the pose may be that of the background."
    ]
    assert WORDS.doubts(layer(ends[1:]), (), ()) == []


def test_reason_of_a_record_is_told_once_only():
    found = layer([(False, True), (True, True)])
    record_of = {
        "layer_key": "x",
        "matches": [{"rank": 1, "inside0": False, "inside1": True}],
        "plausibility": {"reasons": [{"code": "OUTSIDE_ANIMAL", "values": {"n": 1, "of": 1, "of_pose": 0}}]},
    }
    told = WORDS.plausibility(read_record(record_of).layers[0])
    assert told == ["Of 1 links, 1 ends outside the animal."]
    assert found.layers[0].n_outside == 1
