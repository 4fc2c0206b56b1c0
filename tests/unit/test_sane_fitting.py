"""What attribute heads are fitted and weighed by: individuals, thresholds, concepts, rankings, regions, intervals."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra 'attributes'")
from pairx_plugin.explainers.sane.training.concepts import binomial_p, concept_shares  # noqa: E402
from pairx_plugin.explainers.sane.training.fitting import fit_attribute  # noqa: E402
from pairx_plugin.explainers.sane.training.informativeness import (  # noqa: E402
    informativeness,
    naming_threshold,
    species_pairs,
)
from pairx_plugin.explainers.sane.training.ranking_weights import (  # noqa: E402
    CENTRE,
    RankedPair,
    simplex,
    tune_ranking,
)
from pairx_plugin.explainers.sane.training.removal import region_of  # noqa: E402
from pairx_plugin.explainers.sane.training.resampling import interval  # noqa: E402


def test_fit_is_judged_on_individuals_that_were_left_out() -> None:
    """Features that tell individuals apart and nothing of the attribute must not look good."""
    rng = np.random.default_rng(1)
    own = rng.normal(size=(30, 40))
    individuals = np.repeat(np.arange(30), 4)
    pooled = (own[individuals] + 0.05 * rng.normal(size=(120, 40))).astype(np.float32)
    labels = [bool(value) for value in (rng.random(30) < 0.4)[individuals]]
    fit = fit_attribute(pooled, labels, [str(who) for who in individuals], folds=5, seed=0)
    scores = pooled @ fit.weights + fit.bias
    assert np.mean((scores > 0) == labels) > 0.95  # on what it was fitted to
    assert fit.average_precision < 0.8 and np.nanmean(fit.left_out) == pytest.approx(np.mean(labels), abs=0.1)


def test_unknown_labels_are_left_out_of_the_fit() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(60) < 0.5
    pooled = np.stack([truth + 0.1 * rng.normal(size=60), rng.normal(size=60)], 1).astype(np.float32)
    labels = [None if index % 7 == 0 else bool(value) for index, value in enumerate(truth)]
    fit = fit_attribute(pooled, labels, [str(index) for index in range(60)], folds=3, seed=0)
    assert np.array_equal(np.isnan(fit.left_out), [label is None for label in labels])
    assert fit.average_precision > 0.95 and fit.weights[0] > abs(fit.weights[1])


def test_informativeness_counts_within_species() -> None:
    who, species = list("aabbccdd"), ["s"] * 4 + ["t"] * 4
    assert informativeness([True, True, False, False] * 2, who, species) == pytest.approx(1.0)
    assert informativeness([True] * 4 + [False] * 4, who, species) == 0.0  # the species tell it
    assert informativeness([True, False] * 4, who, species) == pytest.approx(0.0)
    assert informativeness([None] * 8, who, species) == 0.0


def test_threshold_is_the_least_that_is_right_often_enough() -> None:
    probability = np.linspace(0.99, 0.5, 40)
    labels = [index < 24 for index in range(40)]
    pairs = [(index, index) for index in range(40)]
    threshold = naming_threshold(probability, labels, pairs, 0.8)
    above = [label for value, label in zip(probability, labels) if threshold is not None and value >= threshold]
    assert len(above) == 30 and sum(above) / len(above) == 0.8
    assert naming_threshold(probability, [False] * 40, pairs, 0.8) is None
    assert naming_threshold(probability, labels, pairs[:9], 0.8) is None  # ten pairs at least
    assert naming_threshold(probability / 4, [True] * 40, pairs, 0.8) is None  # never less likely than not


def test_pairs_stay_within_species() -> None:
    pairs = species_pairs(list("aabbcc"), ["s"] * 4 + ["t"] * 2, seed=0)
    assert [pair for pair in pairs if pair[0] // 2 == pair[1] // 2] == [(0, 1), (2, 3), (4, 5)]
    assert len(pairs) == 6 and all((first < 4) == (second < 4) for first, second in pairs)


def test_concepts_are_neutral_unless_they_differ_from_chance() -> None:
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(40, 5))
    gradients[:, 0] = np.abs(gradients[:, 0]) + 0.5
    weights = np.eye(5)[:2]
    shares = concept_shares(gradients, weights, np.ones(5), seed=0)
    assert shares[0] == 1.0 and shares[1] == 0.5
    assert concept_shares(np.zeros((0, 5)), weights, np.ones(5), seed=0).tolist() == [0.5, 0.5]


def test_binomial_p_is_exact() -> None:
    assert binomial_p(5, 5, 0.5) == pytest.approx(2 / 32) and binomial_p(2, 4, 0.5) == pytest.approx(1.0)
    assert binomial_p(0, 10, 0.3) == pytest.approx(0.7**10 + sum(_binomial(k, 10, 0.3) for k in range(7, 11)), rel=1e-6)


def _binomial(k: int, n: int, p: float) -> float:
    from math import comb

    return comb(n, k) * p**k * (1 - p) ** (n - k)


def test_ranking_prefers_what_is_true_and_matters() -> None:
    terms = np.array([[0.9, 0.1, 0.5], [0.7, 0.8, 0.5]])  # the surer one is wrong, the overlapping one is right
    pair = RankedPair(terms=terms, true=np.array([False, True]), lost=np.array([0.1, 0.1]))
    weights = tune_ranking([pair])
    assert int(np.argmax(terms @ weights)) == 1 and min(weights) >= 0 and sum(weights) == pytest.approx(1)
    assert tune_ranking([]) == CENTRE and len(simplex(10)) == 66
    alone = RankedPair(terms=terms[:1], true=np.array([True]), lost=np.array([0.1]))
    assert tune_ranking([alone]) == CENTRE  # where there is nothing to choose nothing is learnt


def test_region_is_the_asked_share_of_the_strongest_cells() -> None:
    values = np.arange(100.0, dtype=np.float32).reshape(10, 10)
    region = region_of(values, 0.15)
    assert region.sum() == 15 and region[9].all() and region_of(values[:1, :2], 0.01).sum() == 1


def test_interval_resamples_individuals() -> None:
    figure = interval([[1.0] * 50, [0.0] * 50], seed=0)
    assert figure is not None and figure["mean"] == 0.5 and (figure["low"], figure["high"]) == (0.0, 1.0)
    assert figure["n"] == 100 and figure["n_individuals"] == 2 and interval([], seed=0) is None
