"""Variants against each other on the same pairs, and the figures of each stratum."""

from __future__ import annotations

import csv
import io
from types import SimpleNamespace

import numpy as np
import pytest

from pairx_plugin.evaluation.differences import LEAST_INDIVIDUALS, difference, differences, standing
from pairx_plugin.evaluation.figure_names import FIGURES
from pairx_plugin.evaluation.pair_choice import EvaluationPair, PairChoice
from pairx_plugin.evaluation.plan import Plan
from pairx_plugin.evaluation.running import EvaluationRun
from pairx_plugin.evaluation.strata import by_stratum
from pairx_plugin.evaluation.summary import summarise
from pairx_plugin.evaluation.tables import differences_csv, strata_csv
from pairx_plugin.evaluation.variants import plain_variant

pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")
FIGURE = {figure.key: figure for figure in FIGURES}
N = 20


def run_of(figures, *, n=N, n_individuals=N, baselines=()):
    """A run whose measures gave ``figures[variant][measure][figure]``, values pair by pair; None is dropped.

    Every pair of one individual has a matched pair of two, whose values follow behind those of the first n.
    """
    pairs = []
    for same in (True, False):
        for i in range(n):
            pair_id, other = f"{'s' if same else 'd'}{i}", f"{'d' if same else 's'}{i}"
            pairs.append(
                EvaluationPair(pair_id=pair_id, query_id="q", candidate_id="c", individual=f"i{i % n_individuals}",
                               same=same, similarity=0.5, stratum="cat, same view" if i % 2 else "cat, other view",
                               matched_with=other)
            )
    results = {}
    for variant, measures in figures.items():
        for measure, own in measures.items():
            for index, pair in enumerate(pairs):
                there = {key: values[index] for key, values in own.items() if index < len(values)}
                if there:
                    results[variant, pair.pair_id, measure] = {
                        "figures": {key: value for key, value in there.items() if value is not None},
                        "dropped": {key: "NO_MATCHES" for key, value in there.items() if value is None},
                        "details": {"doubts": ["NOT_SURE"]} if measure == "plausibility" else {},
                    }
    return EvaluationRun(
        bench=SimpleNamespace(), plan=Plan(measures=("plausibility", "correspondence", "faithfulness", "sanity")),
        variants=tuple(plain_variant("pairx" if name not in baselines else name, baseline=name in baselines)
                       if name in ("pairx", *baselines) else _named(name) for name in figures),
        subject_set=SimpleNamespace(), choice=PairChoice(pairs=tuple(pairs), n_matched=n, n_unmatched=0,
                                                         tolerance=0.01, cosine_auc=0.5),
        results=results, failures={}, identity={}, seconds=0.0,
    )


def _named(name):
    import dataclasses

    return dataclasses.replace(plain_variant("pairx"), name=name)


def hard_and_easy(seed=0):
    """Values that differ much more between pairs than between variants."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, N)


def test_small_difference_is_seen_on_the_same_pairs_where_two_intervals_overlap():
    base = hard_and_easy()
    better = base + 0.03 + np.random.default_rng(1).normal(0, 0.01, N)
    run = run_of({"pairx": {"correspondence": {"true_pck_10": base}},
                  "corrected": {"correspondence": {"true_pck_10": better}}})
    table = summarise(run)
    cells = [table.cell(name, "true_pck_10").interval for name in ("pairx", "corrected")]
    assert cells[0].high > cells[1].low  # side by side the two tell nothing
    (found,) = (item for item in differences(run, "pairx") if item.figure == "true_pck_10")
    assert found.verdict == "better" and found.interval.low > 0.02
    assert found.interval.value == pytest.approx(0.03, abs=0.01)
    assert difference(run, "pairx", "corrected", FIGURE["true_pck_10"]).verdict == "worse"


def test_less_is_better_where_the_figure_says_so():
    base = hard_and_easy()
    run = run_of({"pairx": {"sanity": {"randomised_rho": base}}, "other": {"sanity": {"randomised_rho": base - 0.1}}})
    assert difference(run, "other", "pairx", FIGURE["randomised_rho"]).verdict == "better"


@pytest.mark.parametrize("n_individuals, gap", [(LEAST_INDIVIDUALS - 1, 0.2), (N, 0.0)], ids=["few", "equal"])
def test_few_individuals_and_equal_variants_leave_it_open(n_individuals, gap):
    base = hard_and_easy()
    run = run_of({"pairx": {"correspondence": {"true_pck_10": base}},
                  "other": {"correspondence": {"true_pck_10": base + gap}}}, n_individuals=n_individuals)
    assert difference(run, "other", "pairx", FIGURE["true_pck_10"]).verdict == "open"


def test_only_pairs_that_both_have_count():
    base, other = list(hard_and_easy()), list(hard_and_easy() + 0.1)
    base[0], other[1], other[2] = None, None, 50.0
    base[2] = None
    run = run_of({"pairx": {"correspondence": {"true_pck_10": base}},
                  "other": {"correspondence": {"true_pck_10": other}}})
    found = difference(run, "other", "pairx", FIGURE["true_pck_10"]).interval
    assert found.n == N - 3 and found.value == pytest.approx(0.1)


def test_areas_are_compared_on_the_same_couples():
    rng = np.random.default_rng(4)
    noise = rng.normal(0, 1, 2 * N)
    parting = np.concatenate([np.ones(N), np.zeros(N)]) * 3.0
    run = run_of({"pairx": {"plausibility": {"inlier_excess": noise}},
                  "parting": {"plausibility": {"inlier_excess": noise + parting}}})
    found = difference(run, "parting", "pairx", FIGURE["auc_inlier_excess"])
    table = summarise(run)
    assert found.interval.value == pytest.approx(
        table.value("parting", "auc_inlier_excess") - table.value("pairx", "auc_inlier_excess")
    )
    assert found.verdict == "better" and found.interval.n == N
    assert table.doubts == {"pairx": {"NOT_SURE": 2 * N}, "parting": {"NOT_SURE": 2 * N}}


def test_variant_beats_the_baselines_only_where_it_beats_every_one():
    base = hard_and_easy()
    run = run_of(
        {
            "pairx": {"correspondence": {"true_pck_10": base, "mass_lift": base}},
            "null_edges": {"correspondence": {"true_pck_10": base - 0.2, "mass_lift": base - 0.2}},
            "null_centre": {"correspondence": {"true_pck_10": [None] * N, "mass_lift": base + 0.2}},
        },
        baselines=("null_edges", "null_centre"),
    )
    (found,) = standing(run, [FIGURE["true_pck_10"], FIGURE["mass_lift"], FIGURE["true_visible"]])
    assert found.variant == "pairx"
    assert (found.beats_nulls, found.compared) == (("true_pck_10",), ("true_pck_10", "mass_lift"))
    assert found.better is None and found.worse is None
    shown = [(item.variant, item.figure, item.verdict) for item in differences(run, "pairx")]
    assert shown == [("null_edges", "true_pck_10", "worse"), ("null_edges", "mass_lift", "worse"),
                     ("null_centre", "mass_lift", "better")]


def test_strata_have_figures_of_their_own_and_one_alone_has_none():
    values = np.where(np.arange(2 * N) % 2, 0.8, 0.2)
    parted = np.where((np.arange(2 * N) < N) & (np.arange(2 * N) % 2 == 1), 1.0, 0.0)
    run = run_of({"pairx": {"correspondence": {"true_pck_10": values[:N]}, "plausibility": {"inlier_excess": parted}}})
    found = {(cell.figure, cell.stratum): cell.interval for cell in by_stratum(run)}
    assert found["true_pck_10", "cat, same view"].value == pytest.approx(0.8)
    assert found["true_pck_10", "cat, other view"].value == pytest.approx(0.2)
    assert found["auc_inlier_excess", "cat, same view"].value == 1.0
    assert found["auc_inlier_excess", "cat, other view"].value == 0.5
    assert len(list(csv.DictReader(io.StringIO(strata_csv(run))))) == len(found)
    alike = run_of({"pairx": {"correspondence": {"true_pck_10": values[:1]}}}, n=1)
    assert by_stratum(alike) == ()


def test_table_of_differences_says_what_they_are_taken_from():
    base = hard_and_easy()
    run = run_of({"pairx": {"faithfulness": {"deletion": base}}, "other": {"faithfulness": {"deletion": base + 0.1}}})
    (row,) = csv.DictReader(io.StringIO(differences_csv(summarise(run))))
    assert (row["variant"], row["base"], row["figure"], row["verdict"]) == ("other", "pairx", "deletion", "worse")
    assert float(row["difference"]) == pytest.approx(0.1) and int(row["n"]) == N
