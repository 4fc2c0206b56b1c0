"""The generator: the same seed gives the same picture, another seed another animal, and photographs vary as
promised."""

import numpy as np
import pytest

from pairx_sample_data.coats import PATTERNS, paint_coat
from pairx_sample_data.fields import gaussian_blur, resize_field, sample_bilinear, turn_image
from pairx_sample_data.marks import KINDS, draw_marks
from pairx_sample_data.population import SPECIES, individuals
from pairx_sample_data.photographs import take


@pytest.mark.parametrize("species", SPECIES)
def test_same_seed_gives_the_same_coat_and_photograph(species):
    first, second = (paint_coat(species, 7, 160) for _ in range(2))
    assert np.array_equal(first.albedo, second.albedo) and first.marks == second.marks
    one, two = (take(first, (1, 2), 120, 0.5, False) for _ in range(2))
    assert np.array_equal(one.image, two.image)
    assert one.box == two.box and one.attributes == two.attributes
    assert not np.array_equal(one.image, take(first, (1, 3), 120, 0.5, False).image)


@pytest.mark.parametrize("species", SPECIES)
def test_individuals_differ_in_coat_far_more_than_one_individual_at_two_resolutions(species):
    coats = [paint_coat(species, seed, 240) for seed in (1, 2)]
    inside = (coats[0].alpha > 0.99) & (coats[1].alpha > 0.99)
    between = np.abs(coats[0].albedo - coats[1].albedo)[inside].mean()
    large = paint_coat(species, 1, 480).albedo
    shrunk = np.stack([resize_field(gaussian_blur(large[..., c], 0.8), inside.shape) for c in range(3)], -1)
    within = np.abs(coats[0].albedo - shrunk)[inside].mean()
    assert between > 2.5 * within


@pytest.mark.parametrize("species", ["striped_horse", "spotted_cat", "star_shark"])
def test_body_is_the_species_own_so_that_only_coat_and_marks_identify(species):
    unmarked = [
        seed for seed in range(40) if not draw_marks(np.random.default_rng((seed, 12)), species, 1.5)
    ][:2]
    first, second = (paint_coat(species, seed, 160) for seed in unmarked)
    assert np.array_equal(first.alpha, second.alpha) and np.array_equal(first.height, second.height)


def test_flukes_have_an_edge_of_their_own():
    assert (
        np.abs(paint_coat("ridge_whale", 1, 160).alpha - paint_coat("ridge_whale", 2, 160).alpha).sum() > 20
    )


def test_marks_of_every_kind_occur_and_some_animals_have_none():
    drawn = [
        draw_marks(np.random.default_rng(seed), species, 1.5) for seed in range(60) for species in PATTERNS
    ]
    assert {mark.kind for marks in drawn for mark in marks} == set(KINDS)
    assert 0.25 < np.mean([not marks for marks in drawn]) < 0.55


def test_mirrored_animal_is_labelled_right_and_faces_right():
    coat = paint_coat("striped_horse", 3, 160)
    for mirror, side in ((False, "left"), (True, "right")):
        photo = take(coat, (4, 4), 160, 0.2, mirror)
        assert photo.attributes["viewpoint"].endswith(side)
        head, tail = photo.pose.project(np.array([0.12, 0.8]), np.array([0.3, 0.4]))[0]
        assert bool(head > tail) is mirror


def test_hard_photographs_hide_more_of_the_animal_than_easy_ones():
    coat = paint_coat("spotted_cat", 5, 160)
    hidden = {
        hardness: np.mean(
            [float(take(coat, (n,), 120, hardness, False).attributes["occluded_fraction"]) for n in range(10)]
        )
        for hardness in (0.0, 1.0)
    }
    assert hidden[1.0] > hidden[0.0] + 0.02


def test_right_and_left_individuals_both_occur_and_flukes_have_no_side():
    animals = individuals("training", 80)
    assert not any(animal.right for animal in animals if animal.species == "ridge_whale")
    assert 10 < sum(animal.right for animal in animals) < 50


def test_bilinear_sampling_reads_between_pixels():
    image = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    assert sample_bilinear(image, np.array([1.5]), np.array([0.5]))[0, 0] == pytest.approx(3.5)


def test_turning_an_image_moves_a_point_clockwise():
    image = np.zeros((41, 41), np.float32)
    image[20, 35] = 1
    row, column = np.unravel_index(turn_image(image, np.pi / 2, (41, 41)).argmax(), (41, 41))
    assert (row, column) == (35, 20)
