"""Calibration: fitted on other individuals than it is measured on, kept beside its database, used where it fits."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from pairx_plugin.calibration import FIGURES, IDENTITY_PARAMS, Calibration, annotate, applied, figures_of
from pairx_plugin.errors import CalibrationRefused, SettingsError
from pairx_plugin.report.bands import Band
from pairx_plugin.report.messages import Messages
from pairx_plugin.report.reading import read_record
from pairx_plugin.report.words import Words
from pairx_plugin.settings import Settings

PARAMS = {"mode": "reference", "channel_reduction": "sum_abs", "similarity_seed": "cosine", "k_lines": 20}


def made(**changes) -> Calibration:
    values = {
        "model_sha256": "sha256:m",
        "layer_key": "blocks.3",
        "explainer": "pairx",
        "explainer_version": "1",
        "params": PARAMS,
        "method": "logistic",
        "means": (0.5, 0.5, 0.0, 0.2),
        "scales": (0.25, 0.25, 0.5, 0.1),
        "weights": (0.0, 2.0, 0.0, 0.0),
        "intercept": 0.0,
        "n_same": 75,
        "n_different": 25,
        "n_individuals": 40,
        "auc": 0.8,
        "auc_low": 0.7,
        "auc_high": 0.9,
        "brier": 0.15,
        "calibration_error": 0.04,
        "bins": ((0.2, 0.1, 30), (0.8, 0.9, 70)),
    }
    return Calibration(**{**values, **changes})


def record(inlier_fraction=0.75, **changes):
    figures = {
        "irm_rob": 0.5, "inlier_fraction": inlier_fraction, "match_coverage": 0.2, "n_inliers": 15, "n_chance": 6,
        "n_tested": 20, "reasons": [],
    }
    whole = {
        "model_sha256": "sha256:m", "layer_key": "blocks.3", "algorithm": "pairx", "params": dict(PARAMS),
        "provenance": {"explainer_version": "1"}, "plausibility": figures, "matches": [], "warnings": [],
        "other_layers": [],
    }
    return {**whole, **changes}


def test_probability_is_the_logistic_curve_of_the_figures():
    # one standard deviation above the mean, weight 2
    known = figures_of(record()["plausibility"])
    assert made().probability(known) == pytest.approx(1 / (1 + math.exp(-2)))
    assert made(intercept=-1.0).probability(known) == pytest.approx(1 / (1 + math.exp(-1)))


def test_likelihood_ratio_takes_the_share_of_right_pairs_out():
    known = figures_of(record(inlier_fraction=0.5)["plausibility"])  # the curve says 0.5, and 3 of 4 pairs were right
    assert made().likelihood_ratio(known) == pytest.approx(1 / 3)
    assert made(n_same=50, n_different=50).likelihood_ratio(known) == pytest.approx(1.0)


def test_isotonic_knots_replace_the_curve():
    steps = made(knots=((-1.0, 0.1), (1.0, 0.5), (3.0, 0.9)))
    for fraction, wanted in ((0.0, 0.1), (0.625, 0.5), (0.75, 0.7), (5.0, 0.9)):
        assert steps.probability(figures_of(record(fraction)["plausibility"])) == pytest.approx(wanted)


def test_file_comes_back_and_damage_is_told(tmp_path):
    path = made(knots=((0.0, 0.1), (1.0, 0.9))).write(tmp_path / "r.calibration.json")
    assert Calibration.from_file(path) == made(knots=((0.0, 0.1), (1.0, 0.9)))
    assert Calibration.from_file(path).digest == made(knots=((0.0, 0.1), (1.0, 0.9))).digest
    for text, words in (("{", "not JSON"), ('{"schema": "x"}', "is not of schema pairx.calibration/1")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError, match=words):
            Calibration.from_file(path)
    broken = {**made().to_json(), "scales": [0.0, 1.0, 1.0, 1.0]}
    path.write_text(json.dumps(broken), encoding="utf-8")
    with pytest.raises(SettingsError, match="damaged"):
        Calibration.from_file(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        Calibration.from_file(tmp_path / "none.json")


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"model_sha256": "sha256:other"}, "MODEL_DIFFERS"),
        ({"layer_key": "blocks.4"}, "LAYER_DIFFERS"),
        ({"algorithm": "sane"}, "EXPLAINER_DIFFERS"),
        ({"provenance": {"explainer_version": "2"}}, "EXPLAINER_DIFFERS"),
        ({"params": {**PARAMS, "mode": "corrected"}}, "SETTINGS_DIFFER"),
    ],
)
def test_calibration_of_something_else_is_ignored_with_a_doubt(tmp_path, changes, reason):
    path = str(made().write(tmp_path / "c.json"))
    found = annotate(record(**changes), path)
    said = found["plausibility"]["calibration"]
    assert said["status"] == "stale" and said["reason"] == reason and said["probability"] is None
    assert [doubt["code"] for doubt in found["warnings"]] == ["CALIBRATION_STALE"]
    assert Words(Messages()).band(read_record(found).layers[0].figures) is Band.WEAK  # by the uncalibrated rule


def test_record_says_calibrated_or_not(tmp_path):
    path = str(made().write(tmp_path / "c.json"))
    assert annotate(record(), "")["plausibility"]["calibration"]["status"] == "uncalibrated"
    assert annotate(record(), "none")["plausibility"]["calibration"]["status"] == "uncalibrated"
    said = annotate(record(), path)["plausibility"]["calibration"]
    assert said["status"] == "calibrated" and said["prevalence"] == 0.75
    assert said["probability"] == pytest.approx(1 / (1 + math.exp(-2)))
    useless = str(made(auc_low=0.45).write(tmp_path / "u.json"))
    said = annotate(record(), useless)["plausibility"]["calibration"]
    assert (said["status"], said["reason"]) == ("uncalibrated", "FIGURES_DO_NOT_SEPARATE")
    gone = annotate(record(), str(tmp_path / "gone.json"))
    assert gone["plausibility"]["calibration"]["status"] == "unreadable"
    assert gone["warnings"][0]["code"] == "CALIBRATION_UNREADABLE"
    few = record()["plausibility"] | {"irm_rob": None}
    assert applied(path, record(), "blocks.3", few).status == "not_assessed"
    json.dumps(annotate(record(), path), allow_nan=False)


def test_reader_is_told_what_was_measured(tmp_path):
    path = str(made(n_same=50, n_different=50).write(tmp_path / "c.json"))
    words = Words(Messages())
    (layer,) = read_record(annotate(record(), path)).layers
    assert words.band(layer.figures) is Band.SOME  # e^2, between 3 and 10
    assert words.calibration(layer.figures) == "calibrated"
    assert "88% were confirmed; of all reviewed pairs, 50%" in " ".join(words.plausibility(layer))
    (plain,) = read_record(annotate(record(), "")).layers
    assert words.calibration(plain.figures) == "uncalibrated" and "confirmed" not in " ".join(words.plausibility(plain))


def test_setting_counts_by_content_and_not_by_path(tmp_path):
    one, two = made().write(tmp_path / "one.json"), made().write(tmp_path / "two.json")
    assert "calibration" not in Settings().params() and "calibration" not in Settings(calibration="none").params()
    assert Settings(calibration=str(one)).params() == Settings(calibration=str(two)).params()
    made(intercept=1.0).write(two)
    assert Settings(calibration=str(one)).params() != Settings(calibration=str(two)).params()
    with pytest.raises(SettingsError, match="path of a file"):
        Settings(calibration=3)


def judged(n, seed, separation=2.0, n_individuals=40, **changes):
    from pairx_plugin.evaluation.calibrating import JudgedPair

    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(n):
        same = number % 2 == 0
        first, second = rng.choice(n_individuals, 2, replace=False)
        fraction = float(np.clip(0.5 + (0.1 if same else -0.1) * separation + rng.normal(0, 0.15), 0, 1))
        figures = {
            "irm_rob": float(rng.uniform(0.2, 0.8)), "inlier_fraction": fraction, "n_inliers": round(20 * fraction),
            "n_chance": 6, "n_tested": 20, "match_coverage": float(rng.uniform(0.1, 0.3)),
        }
        pairs.append(
            JudgedPair(
                individual_0=f"a{first}",
                individual_1=f"a{first}" if same else f"a{second}",
                same=same,
                record=record(plausibility=figures, **changes),
            )
        )
    return pairs


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_fit_tells_right_pairs_and_says_so_of_unseen_individuals(method):
    pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
    from pairx_plugin.evaluation.calibrating import fit_calibration

    found = fit_calibration(judged(300, 0), method=method)
    assert found.separates and found.auc > 0.85 and found.brier < 0.2 and found.calibration_error < 0.15
    assert (found.n_same, found.n_different, found.n_individuals) == (150, 150, 40)
    assert (found.explainer, found.layer_key, dict(found.params)) == ("pairx", "blocks.3", PARAMS)
    low, high = (found.probability({**dict.fromkeys(FIGURES, 0.3), "inlier_fraction": v, "inlier_excess": v - 0.3})
                 for v in (0.2, 0.9))
    assert low < 0.2 and high > 0.8
    assert dataclasses.replace(fit_calibration(judged(300, 0), method=method), created="") == dataclasses.replace(
        found, created=""
    )


def test_figures_that_tell_nothing_do_not_separate():
    pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
    from pairx_plugin.evaluation.calibrating import fit_calibration

    found = fit_calibration(judged(300, 1, separation=0.0))
    assert not found.separates and found.auc < 0.65


def test_held_out_probabilities_are_not_biased_by_what_is_left_out():
    pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
    from pairx_plugin.evaluation.calibrating import fit_calibration

    for seed in range(3):
        found = fit_calibration(judged(300, seed))
        said = sum(predicted * count for predicted, _, count in found.bins)
        were = sum(observed * count for _, observed, count in found.bins)
        assert abs(said - were) / 300 < 0.045


def test_held_out_figures_see_neither_animal_of_a_pair(monkeypatch):
    pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
    from pairx_plugin.evaluation import calibrating

    pairs, seen = judged(200, 2), []
    fit = calibrating._fit

    def watched(values, same, method, share=None):
        seen.append(len(values))
        return fit(values, same, method, share)

    monkeypatch.setattr(calibrating, "_fit", watched)
    calibrating.fit_calibration(pairs)
    assert len(seen) == 6 and max(seen) == 200  # five folds, and all of them for the curve that is kept
    assert all(count < 200 * 4 / 5 for count in seen if count != 200)  # more is left out than the fold itself


@pytest.mark.parametrize(
    "pairs, words",
    [
        (lambda: judged(40, 0), "40 usable decisions, 100 needed"),
        (lambda: judged(200, 0)[::2], "0 rejected pairs, 30 needed"),
        (lambda: judged(200, 0, n_individuals=4), "4 individuals, 10 needed"),
        (lambda: [dataclasses.replace(pair, record={}) for pair in judged(200, 0)], "200 decisions left out"),
    ],
    ids=["few", "one kind", "few individuals", "no figures"],
)
def test_too_little_is_refused_with_what_is_missing(pairs, words):
    pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
    from pairx_plugin.evaluation.calibrating import fit_calibration

    with pytest.raises(CalibrationRefused, match=words):
        fit_calibration(pairs())


def test_pairs_of_several_layers_are_not_mixed():
    pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
    from pairx_plugin.evaluation.calibrating import fit_calibration, identities

    pairs = judged(120, 0) + judged(60, 1, layer_key="blocks.4")
    assert [count for _, count in identities(pairs)] == [120, 60]
    assert identities(pairs)[0][0][1] == "blocks.3" and len(identities(pairs)[0][0]) == 4 + len(IDENTITY_PARAMS)
    with pytest.raises(SettingsError, match="several networks, layers or settings"):
        fit_calibration(pairs)
