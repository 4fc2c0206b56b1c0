"""The shipped sample: its files, tables and boxes, and that they agree with each other and with the
generator."""

import csv
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import pairx_sample_data
from pairx_plugin.report.outlines import outline_of
from pairx_sample_data import load_annotations, load_attributes, path_of, root
from pairx_sample_data.chips import cut_chip, to_chip, to_photograph
from pairx_sample_data.correspondence import load_maps
from pairx_sample_data.generate import ANNOTATION_COLUMNS, ATTRIBUTE_COLUMNS, generate
from pairx_sample_data.outlines import outline_text, packed, run_lengths
from pairx_sample_data.photographs import Box
from pairx_sample_data.population import SEED_RANGES, SPECIES, individuals

ROWS = load_annotations()


def test_importing_the_package_imports_no_heavy_library():
    code = (
        "import sys, pairx_sample_data; pairx_sample_data.load_annotations();"
        "print(sorted({'numpy', 'PIL', 'torch', 'timm', 'cv2'} & set(sys.modules)))"
    )
    path = json.dumps([p for p in sys.path if p])
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == "[]"


def test_annotations_have_miewid_columns_in_miewid_order():
    with open(path_of("annotations"), newline="") as file:
        reader = csv.DictReader(file)
        first = next(reader)
    assert tuple(reader.fieldnames) == ANNOTATION_COLUMNS
    miewid = "theta,viewpoint,name,file_name,species,file_path,x,y,w,h".split(",")
    assert ANNOTATION_COLUMNS == (*miewid, "segmentation")
    assert first["file_path"] == "photographs/" + first["file_name"]


def test_sample_holds_sixteen_individuals_of_four_species_with_four_photographs_each():
    names = [row.name for row in ROWS]
    assert len(ROWS) == len({row.file_name for row in ROWS}) == 64
    assert {names.count(name) for name in names} == {4}
    assert len(set(names)) == 16
    assert {row.species for row in ROWS} == set(SPECIES)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file_name)
def test_photograph_is_rgb_jpeg_of_640_pixels_and_its_box_lies_where_documented(row):
    with Image.open(row.file_path) as picture:
        picture.load()
        assert (picture.format, picture.mode) == ("JPEG", "RGB")
        width, height = picture.size
    assert max(width, height) == 640
    assert row.w > 60 and row.h > 60
    if row.theta == 0:
        assert row.x >= 0 and row.y >= 0 and row.x + row.w <= width and row.y + row.h <= height
    assert 0 <= row.x + row.w / 2 <= width and 0 <= row.y + row.h / 2 <= height


def test_boxes_are_upright_or_turned_by_more_than_miewid_overlooks_both_ways():
    thetas = [row.theta for row in ROWS]
    assert sum(theta > 0.15 for theta in thetas) >= 5
    assert sum(theta < -0.15 for theta in thetas) >= 5
    assert sum(theta != 0 for theta in thetas) == 23
    assert all(theta == 0 or 0.1 < abs(theta) < 0.7 for theta in thetas)


def test_turned_boxes_hold_the_visible_animal_in_the_turned_frame():
    maps = load_maps()
    for row in ROWS:
        rows, columns = np.nonzero(maps[row.file_name].mask)
        dx, dy = columns + 0.5 - (row.x + row.w / 2), rows + 0.5 - (row.y + row.h / 2)
        along = dx * math.cos(row.theta) + dy * math.sin(row.theta)
        across = dy * math.cos(row.theta) - dx * math.sin(row.theta)
        inside = (np.abs(along) <= row.w / 2 + 1) & (np.abs(across) <= row.h / 2 + 1)
        assert inside.mean() > 0.97, row.file_name
        assert np.ptp(along) > 0.80 * row.w and np.ptp(across) > 0.70 * row.h, row.file_name


@pytest.mark.parametrize("row", ROWS[::9], ids=lambda row: row.file_name)
def test_outlines_of_the_table_are_the_masks_to_the_pixel(row):
    mask = load_maps()[row.file_name].mask
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    outline = outline_of(row.segmentation, mask.shape)
    told = outline.holds(np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1))
    assert np.array_equal(told.reshape(mask.shape), mask)


def test_run_lengths_begin_beside_the_animal_and_are_packed_as_coco_packs_them():
    assert run_lengths(np.zeros((3, 2), bool)) == [6]
    assert run_lengths(np.ones((3, 2), bool)) == [0, 6]
    assert run_lengths(np.array([[1, 0], [1, 1]], bool)) == [0, 2, 1, 1]
    assert packed([6, 1, 40, 4, 5, 4, 5, 4, 21]) == "61X13mN000`0"  # a square that others' packers are tested with, too
    mask = np.random.default_rng(0).random((37, 53)) < 0.5
    told = outline_of(outline_text(mask), (37, 53))
    places = np.argwhere(np.ones_like(mask))
    assert np.array_equal(told.holds(places[:, ::-1] + 0.5), mask.ravel())


def test_table_without_outlines_is_still_read(tmp_path):
    with open(path_of("annotations"), newline="") as old, open(tmp_path / "annotations.csv", "w", newline="") as new:
        csv.writer(new).writerows(row[:-1] for row in csv.reader(old))
    assert {row.segmentation for row in load_annotations(tmp_path)} == {""}


def test_attributes_agree_with_annotations_and_use_known_words():
    attributes = load_attributes()
    assert list(attributes) == [row.file_name for row in ROWS]
    words = {
        "pattern": {"stripes", "rosettes", "spots", "pigment_patches"},
        "light": {"soft", "harsh", "dark", "bright", "dappled"},
    }
    for row in ROWS:
        facts = attributes[row.file_name]
        assert tuple(facts) == ATTRIBUTE_COLUMNS
        assert (facts["name"], facts["species"], facts["viewpoint"]) == (row.name, row.species, row.viewpoint)
        assert all(facts[key] in allowed for key, allowed in words.items())
        assert set(facts["marks_visible"].split(";")) <= set(facts["marks"].split(";")) | {"none"}
        assert 0 <= float(facts["occluded_fraction"]) < 0.9
        assert (row.theta == 0) == (abs(float(facts["roll"])) < 0.08)


def test_marks_and_pattern_belong_to_the_individual():
    attributes = load_attributes().values()
    for key in ("marks", "pattern", "species", "seed"):
        assert len({(facts["name"], facts[key]) for facts in attributes}) == 16
    assert len({facts["marks"] for facts in attributes}) > 3


def test_occluded_fraction_follows_from_the_stored_visibility():
    maps = load_maps()
    for name, facts in load_attributes().items():
        hidden = 1 - maps[name].visible.sum() / maps[name].coat.sum()
        assert abs(hidden - float(facts["occluded_fraction"])) <= 0.0006


def test_sets_of_individuals_are_disjoint_by_seed():
    sets = [set(SEED_RANGES[which]) for which in ("shipped", "measured", "training", "held_out")]
    assert len(set.union(*sets)) == sum(len(seeds) for seeds in sets)
    shipped = {int(facts["seed"]) for facts in load_attributes().values()}
    trained = {animal.seed for animal in individuals("training", 700)}
    measured = {animal.seed for animal in individuals("measured", 80)}
    assert shipped <= sets[0] and trained <= sets[2] and measured <= sets[1]
    assert len(trained) == 700 and len(measured) == 80


def test_unknown_set_or_too_many_individuals_is_refused():
    with pytest.raises(ValueError, match="shipped, measured, held_out, training"):
        individuals("private", 1)
    with pytest.raises(ValueError, match="holds 0 to 1000"):
        individuals("shipped", 1001)
    with pytest.raises(KeyError, match="no sample file called 'weights'"):
        path_of("weights")


def test_generator_writes_the_shipped_arrays_again(tmp_path):
    assert generate(tmp_path, count=2, shots=2) == 4
    shipped = {row.file_name: row for row in ROWS}
    again, shipped_maps = load_maps(tmp_path), load_maps()
    for row in load_annotations(tmp_path):
        original = shipped[row.file_name]
        assert (row.x, row.y, row.w, row.h, row.theta) == (
            original.x,
            original.y,
            original.w,
            original.h,
            original.theta,
        )
        assert row.segmentation == original.segmentation != ""
        assert np.array_equal(again[row.file_name].grid, shipped_maps[row.file_name].grid)
        assert np.array_equal(again[row.file_name].mask, shipped_maps[row.file_name].mask)
        with Image.open(row.file_path) as new, Image.open(original.file_path) as old:
            # Another Pillow may round the JPEG differently, never the picture by more than a few levels.
            difference = np.asarray(new, np.int16) - np.asarray(old, np.int16)
        assert np.abs(difference).mean() < 1.0


def test_chip_corners_follow_the_documented_formula():
    image = np.zeros((120, 160, 3), np.uint8)
    theta, box = 0.4, Box(x=40, y=30, w=70, h=50, theta=0.4)
    i, j = 20.0, -12.0
    x = box.x + box.w / 2 + math.cos(theta) * i - math.sin(theta) * j
    y = box.y + box.h / 2 + math.sin(theta) * i + math.cos(theta) * j
    rows, columns = np.mgrid[:120, :160]
    image[np.hypot(columns + 0.5 - x, rows + 0.5 - y) < 3] = 255
    chip = cut_chip(image, box, (50, 70))[..., 0].astype(float)
    rows, columns = np.mgrid[:50, :70] + 0.5
    assert abs((chip * columns).sum() / chip.sum() - (35 + i)) < 0.3
    assert abs((chip * rows).sum() / chip.sum() - (25 + j)) < 0.3


def test_points_go_to_the_chip_and_back_and_its_corners_are_the_boxs():
    box, size = Box(x=40, y=30, w=70, h=50, theta=-0.3), (100, 210)
    points = np.random.default_rng(0).uniform(0, 150, (20, 2))
    assert np.allclose(to_photograph(to_chip(points, box, size), box, size), points)
    corner = to_photograph([[210.0, 0.0]], box, size)[0]
    expected = (
        75 + math.cos(-0.3) * 35 - math.sin(-0.3) * -25,
        55 + math.sin(-0.3) * 35 + math.cos(-0.3) * -25,
    )
    assert np.allclose(corner, expected)


def test_chip_is_white_where_the_box_overhangs():
    chip = cut_chip(np.zeros((40, 40, 3), np.uint8), Box(x=-20, y=10, w=40, h=20, theta=0.0), (20, 40))
    assert (chip[:, :18] == 255).all() and (chip[:, 22:] == 0).all()


def test_committed_sample_stays_below_twenty_megabytes():
    total = sum(
        path.stat().st_size
        for path in root().rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    assert 5e6 < total < 20e6
    assert path_of("checkpoint").stat().st_size <= 15_000_000


def test_public_names_exist():
    assert all(hasattr(pairx_sample_data, name) for name in pairx_sample_data.__all__)


def test_readme_examples_run_and_say_what_is_true():
    pytest.importorskip("timm")
    pytest.importorskip("safetensors")
    blocks = re.findall(r"```python\n(.*?)```", (root() / "README.md").read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["first"].name == "striped_horse_001" and names["facts"]["pattern"] == "stripes"
    assert np.isfinite(names["there"]).all() and len(names["points_0"]) == len(names["points_1"]) > 500
    assert names["network"].training is False


def test_readme_figures_are_those_of_figures_json():
    figures = json.loads(path_of("figures").read_text())
    text = (root() / "README.md").read_text(encoding="utf-8")
    table = text[text.index("[[[cog") : text.index("[[[end]]]")]
    for which in ("shipped", "measured", "held_out"):
        part = figures[which]
        size = f"{part['n_individuals']} | {part['n_photographs']}"
        assert f"{size} | {part['rank_1']:.1%} | {part['map']:.3f} |" in table
        for species, own in part["per_species"].items():
            assert f"`{species}` | | {own['n_queries']} | {own['rank_1']:.1%} | {own['map']:.3f} |" in table


def test_readme_names_every_file_column_and_array():
    text = (root() / "README.md").read_text(encoding="utf-8")
    with np.load(path_of("maps")) as archive:
        wanted = set(archive.files)
    wanted |= {path_of(what).name for what in ("checkpoint", "config", "figures", "maps", "training_log")}
    wanted |= set(ATTRIBUTE_COLUMNS)
    wanted |= {path.stem for path in root().glob("*.py")} - {"__init__"}
    missing = {word for word in wanted if word not in text}
    assert not missing
