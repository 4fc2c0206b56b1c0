"""Palettes: hues that stay apart for colour-blind readers, and pens that stay apart without colour."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from pairx_plugin.errors import SettingsError
from pairx_plugin.rendering.labels import readable_on
from pairx_plugin.rendering.palettes import PALETTES, REFERENCE, SAFE, palette_named

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
# IEEE TVCG 15(6), 2009: the matrices of severity 1.0, for linear RGB.
MACHADO = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
NORMAL = np.eye(3).tolist()
# IEC 61966-2-1 (sRGB) to CIE XYZ under D65
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def to_lab(rgb: tuple[int, int, int], matrix: list[list[float]]) -> tuple[float, float, float]:
    share = np.array(rgb) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(matrix) @ linear, 0.0, 1.0)
    white = TO_XYZ.sum(axis=1)
    ratio = TO_XYZ @ seen / white
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return float(116 * f[1] - 16), float(500 * (f[0] - f[1])), float(200 * (f[1] - f[2]))


def ciede2000(lab_0: tuple[float, float, float], lab_1: tuple[float, float, float]) -> float:
    """Sharma, Wu and Dalal, "The CIEDE2000 Color-Difference Formula", Color Research 30(1), 2005."""
    (l0, a0, b0), (l1, a1, b1) = lab_0, lab_1
    mean_c = (math.hypot(a0, b0) + math.hypot(a1, b1)) / 2
    g = 0.5 * (1 - math.sqrt(mean_c**7 / (mean_c**7 + 25**7)))
    a0, a1 = a0 * (1 + g), a1 * (1 + g)
    c0, c1 = math.hypot(a0, b0), math.hypot(a1, b1)
    h0, h1 = math.degrees(math.atan2(b0, a0)) % 360, math.degrees(math.atan2(b1, a1)) % 360
    turn = 0.0 if c0 * c1 == 0 else (h1 - h0 + 180) % 360 - 180
    d_l, d_c, d_h = l1 - l0, c1 - c0, 2 * math.sqrt(c0 * c1) * math.sin(math.radians(turn / 2))
    m_l, m_c = (l0 + l1) / 2, (c0 + c1) / 2
    m_h = h0 + h1 if c0 * c1 == 0 else (h0 + turn / 2) % 360
    t = (
        1
        - 0.17 * math.cos(math.radians(m_h - 30))
        + 0.24 * math.cos(math.radians(2 * m_h))
        + 0.32 * math.cos(math.radians(3 * m_h + 6))
        - 0.20 * math.cos(math.radians(4 * m_h - 63))
    )
    s_l = 1 + 0.015 * (m_l - 50) ** 2 / math.sqrt(20 + (m_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * m_c, 1 + 0.015 * m_c * t
    rotation = 30 * math.exp(-(((m_h - 275) / 25) ** 2))
    r_t = -2 * math.sqrt(m_c**7 / (m_c**7 + 25**7)) * math.sin(math.radians(2 * rotation))
    parts = d_l / s_l, d_c / s_c, d_h / s_h
    return math.sqrt(sum(part**2 for part in parts) + r_t * parts[1] * parts[2])


def closest(hues: tuple[tuple[int, int, int], ...], matrix: list[list[float]]) -> float:
    labs = [to_lab(hue, matrix) for hue in hues]
    return min(ciede2000(*pair) for pair in itertools.combinations(labs, 2))


@pytest.mark.parametrize(
    ("lab_0", "lab_1", "distance"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.0, 2.0), (50.0, 0.0, 0.0), 2.3669),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((50.0, 2.5, 0.0), (50.0, 3.2592, 0.3350), 1.0),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_colour_distance_gives_the_published_values(lab_0, lab_1, distance):
    assert ciede2000(lab_0, lab_1) == pytest.approx(distance, abs=1e-4)
    assert ciede2000(lab_1, lab_0) == pytest.approx(distance, abs=1e-4)


@pytest.mark.parametrize("vision", list(MACHADO))
def test_the_safe_hues_stay_apart_for_colour_blind_readers(vision):
    assert closest(SAFE.hues, MACHADO[vision]) >= 12.0


def test_the_safe_hues_keep_the_distances_they_were_chosen_for():
    found = [closest(SAFE.hues, MACHADO[vision]) for vision in ("protan", "deutan", "tritan")]
    assert found == pytest.approx([18.2, 20.5, 12.1], abs=0.1)


def test_the_check_would_reject_the_public_codes_colours():
    assert min(closest(REFERENCE.hues, matrix) for matrix in MACHADO.values()) < 12.0


@pytest.mark.parametrize("vision", [NORMAL, *MACHADO.values()], ids=["normal", *MACHADO])
def test_the_two_signs_of_a_map_stay_apart(vision):
    assert closest((SAFE.positive, SAFE.negative), vision) >= 20.0


def test_fifteen_matches_have_pens_of_their_own_and_the_rest_share_one():
    pens = [SAFE.pen(index) for index in range(40)]
    assert len({(pen.colour, pen.dash) for pen in pens[:15]}) == SAFE.distinct == 15
    assert not any(pen.shared for pen in pens[:15])
    assert all(pen == pens[15] and pen.shared and pen.colour == SAFE.neutral for pen in pens[15:])


def test_the_leading_five_matches_have_the_widest_unbroken_lines():
    assert [SAFE.pen(index).dash for index in range(5)] == [()] * 5
    assert min(SAFE.pen(index).weight for index in range(5)) > max(
        SAFE.pen(index).weight for index in range(5, 16)
    )


def test_the_reference_palette_begins_again_after_six():
    assert REFERENCE.pen(6).colour == REFERENCE.pen(0).colour == (128, 128, 128)
    assert REFERENCE.pen(6).shared and not REFERENCE.pen(5).shared


def test_colours_of_maps_begin_again_where_pens_go_neutral():
    assert SAFE.hue(17) == SAFE.hues[2]


def test_a_palette_is_found_by_name_and_a_wrong_name_says_the_nearest():
    assert palette_named("safe") is SAFE and set(PALETTES) == {"safe", "reference"}
    with pytest.raises(SettingsError, match="'saef'; nearest: 'safe'; choose from: safe, reference"):
        palette_named("saef")


@pytest.mark.parametrize("hue", [*SAFE.hues, SAFE.neutral], ids=str)
def test_a_number_on_its_plate_has_contrast(hue):
    def luminance(rgb):
        share = np.array(rgb) / 255.0
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    dark, light = sorted([luminance(hue), luminance(readable_on(hue))])
    assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, 1.4.3
