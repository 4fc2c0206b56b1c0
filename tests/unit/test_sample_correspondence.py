"""True correspondences: the stored maps against the transforms that drew the photographs."""

import dataclasses

import numpy as np
import pytest

from pairx_sample_data import load_annotations
from pairx_sample_data.correspondence import PhotographMap, common_points, correspondences, load_maps
from pairx_sample_data.photographs import coat_coordinates
from pairx_sample_data.poses import LIMITS, draw_pose

MAPS = load_maps()


def _points_on_the_coat(stored: PhotographMap, count: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).uniform(0, 1, (count, 2))
    cell = (points * stored.coat.shape[0]).astype(int)
    return points[stored.coat[cell[:, 1], cell[:, 0]]]


@pytest.mark.parametrize("species", sorted(LIMITS))
def test_stored_grid_agrees_with_the_transform_to_a_quarter_pixel(species):
    for number in range(12):
        rng = np.random.default_rng((number, 5))
        pose = draw_pose(rng, species, (640, 430), 1.0, mirror=number % 2 == 0)
        blank = np.ones((128, 128), bool)
        stored = PhotographMap(
            grid=pose.control_grid(), coat=blank, visible=blank, mask=np.ones((430, 640), bool)
        )
        coat = rng.uniform(0, 1, (2000, 2))
        exact = np.stack(pose.project(coat[:, 0], coat[:, 1]), -1)
        assert np.linalg.norm(stored.project(coat) - exact, axis=1).max() < 0.25


@pytest.mark.parametrize("species", sorted(LIMITS))
def test_pixels_were_painted_with_the_coat_that_the_transform_sends_there(species):
    pose = draw_pose(np.random.default_rng(3), species, (320, 216), 1.0, mirror=False)
    u, v = coat_coordinates(pose, 320, 216)
    x, y = pose.project(u, v)
    rows, columns = np.mgrid[:216, :320] + 0.5
    on_plane = (u > 0) & (u < 1) & (v > 0) & (v < 1)
    assert on_plane.mean() > 0.2
    assert np.quantile(np.hypot(x - columns, y - rows)[on_plane], 0.999) < 0.05


@pytest.mark.parametrize("row", load_annotations(), ids=lambda row: row.file_name)
def test_locating_a_projected_point_gives_it_back(row):
    stored = MAPS[row.file_name]
    coat = _points_on_the_coat(stored, 300)
    found = stored.locate(stored.project(coat))
    assert np.isfinite(found).all()
    assert np.linalg.norm(stored.project(found) - stored.project(coat), axis=1).max() < 0.011


def test_correspondence_there_and_back_is_the_identity():
    first, second = MAPS["striped_horse_002_1.jpg"], MAPS["striped_horse_002_3.jpg"]
    points = first.project(_points_on_the_coat(first, 400))
    there = correspondences(first, second, points)
    kept = np.isfinite(there).all(1)
    assert kept.mean() > 0.5
    back = correspondences(second, first, there[kept])
    assert np.nanmax(np.linalg.norm(back - points[kept], axis=1)) < 0.1


def test_common_points_are_correspondences():
    first, second = MAPS["star_shark_001_1.jpg"], MAPS["star_shark_001_2.jpg"]
    points_0, points_1 = common_points(first, second, step=4)
    assert len(points_0) > 50
    assert np.nanmax(np.linalg.norm(correspondences(first, second, points_0) - points_1, axis=1)) < 0.1


def test_background_hidden_and_unknown_points_have_no_correspondence():
    first, second = MAPS["spotted_cat_001_1.jpg"], MAPS["spotted_cat_001_2.jpg"]
    away = np.array([[0.5, 0.5], [639.5, 0.5], [-50.0, 9000.0], [np.nan, 3.0]])
    assert np.isnan(correspondences(first, second, away)).all()
    blind = dataclasses.replace(second, visible=np.zeros_like(second.visible))
    on_animal = first.project(_points_on_the_coat(first, 50))
    assert np.isfinite(correspondences(first, second, on_animal)).any()
    assert np.isnan(correspondences(first, blind, on_animal)).all()


@pytest.mark.parametrize("row", load_annotations()[::3], ids=lambda row: row.file_name)
def test_mask_and_visibility_tell_the_same_animal(row):
    stored = MAPS[row.file_name]
    height, width = stored.size
    m = stored.visible.shape[0]
    rows, columns = np.nonzero(stored.visible)
    x, y = stored.project((np.stack([columns, rows], -1) + 0.5) / m).T
    inside = stored.mask[np.clip(y.astype(int), 0, height - 1), np.clip(x.astype(int), 0, width - 1)]
    assert inside.mean() > 0.97
    mask_y, mask_x = np.nonzero(stored.mask)
    chosen = np.random.default_rng(1).choice(len(mask_x), 300)
    pixels = np.stack([mask_x, mask_y], -1)[chosen] + 0.5
    assert stored.shows(stored.locate(pixels)).mean() > 0.93
