"""Plausibility in five words, by a stated rule.

The rule looks at three figures: how many of the tested links fit one pose, how many fit when the same points are paired
at random, and how many were tested. Animals of a species that stand alike have links that fit one pose, too, so the
shares were set by what pairs of two individuals among the best-ranked candidates of the sample data reach (note 0015).
On another network and other animals nobody has measured them, so such a band is *uncalibrated*: it says how far the
links agree with each other, never how probable it is that two photographs show one individual.

Where a host has calibrated on its own decisions (:mod:`pairx_plugin.calibration`), the band says instead how much
likelier such figures are among confirmed pairs than among rejected ones.
"""

from __future__ import annotations

from enum import Enum

__all__ = [
    "CHANCE_AT_LEAST",
    "RATIOS",
    "SOME_FACTOR",
    "SOME_SHARE",
    "STRONG_FACTOR",
    "STRONG_SHARE",
    "Band",
    "band_of",
    "band_of_ratio",
]

CHANCE_AT_LEAST = 4  # any four links fit some pose
SOME_FACTOR, SOME_SHARE = 1.5, 0.85
STRONG_FACTOR, STRONG_SHARE = 2.0, 0.95
RATIOS = (1.0, 3.0, 10.0)  # likelihood ratios from which a calibrated band is weak, some, strong


class Band(str, Enum):
    """How far the links of a pair tell of one pose."""

    STRONG = "strong"
    SOME = "some"
    WEAK = "weak"
    NONE = "none"
    NOT_ASSESSED = "not_assessed"

    @property
    def level(self) -> int | None:
        """3 for strong to 0 for none; None where it was not assessed."""
        return {Band.STRONG: 3, Band.SOME: 2, Band.WEAK: 1, Band.NONE: 0}.get(self)


def band_of(n_inliers: int | None, n_chance: int | None, n_tested: int | None) -> Band:
    """Return the band.

    ``not assessed`` without figures; ``none`` where no more links fit than by chance; ``strong`` from twice as many
    as by chance, if that is at least 95 % of the tested ones; ``some`` from one and a half times, if that is at least
    85 %; ``weak`` between. Chance counts as four at least.

    Args:
        n_inliers: links that fit one pose.
        n_chance: the most that fit it when the same points are paired at random.
        n_tested: links that were tested.

    >>> band_of(19, 6, 20).value, band_of(17, 6, 20).value, band_of(16, 6, 20).value, band_of(6, 6, 20).value
    ('strong', 'some', 'weak', 'none')
    """
    if n_inliers is None or n_chance is None or not n_tested:
        return Band.NOT_ASSESSED
    chance = max(n_chance, CHANCE_AT_LEAST)
    if n_inliers <= chance:
        return Band.NONE
    for band, factor, share in ((Band.STRONG, STRONG_FACTOR, STRONG_SHARE), (Band.SOME, SOME_FACTOR, SOME_SHARE)):
        if n_inliers >= factor * chance and n_inliers >= share * n_tested:
            return band
    return Band.WEAK


def band_of_ratio(likelihood_ratio: float) -> Band:
    """Return the calibrated band: ``strong`` from ten, ``some`` from three, ``weak`` from one, else ``none``.

    Args:
        likelihood_ratio: how much likelier the figures are among confirmed pairs than among rejected ones.

    >>> band_of_ratio(12.0).value, band_of_ratio(3.0).value, band_of_ratio(1.5).value, band_of_ratio(0.4).value
    ('strong', 'some', 'weak', 'none')
    """
    weak, some, strong = RATIOS
    if likelihood_ratio >= strong:
        return Band.STRONG
    if likelihood_ratio >= some:
        return Band.SOME
    return Band.WEAK if likelihood_ratio >= weak else Band.NONE
