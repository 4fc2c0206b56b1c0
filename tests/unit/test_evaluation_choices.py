"""Which pairs, which variants, how thoroughly, and results that outlive an interruption."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pairx_plugin.chips import Chip
from pairx_plugin.errors import ExplainerNotFound, SettingsError
from pairx_plugin.evaluation.pair_choice import choose_pairs
from pairx_plugin.evaluation.plan import MEASURES, UNASKED, Plan
from pairx_plugin.evaluation.results_file import ResultsFile
from pairx_plugin.evaluation.subjects import Subject
from pairx_plugin.evaluation.variants import parse_variant, plain_variant

pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")


def subject(number, name, species="cat", viewpoint="left"):
    pixels = np.full((16, 16, 3), number, np.uint8)
    return Subject(
        subject_id=f"{name}_{number}", name=name, species=species, viewpoint=viewpoint, chip=Chip.from_array(pixels)
    )


@pytest.fixture()
def animals():
    """Four individuals of two species, three photographs each, with embeddings on a circle."""
    subjects = [subject(i, f"{'ab'[i % 2]}{i // 6}", "cat" if i < 6 else "dog") for i in range(12)]
    angles = np.random.default_rng(0).uniform(0, 0.5, 12)
    return subjects, np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_pairs_stay_within_a_species_and_matched_ones_are_as_similar(animals):
    choice = choose_pairs(*animals, n_pairs=6, seed=1)
    by_id = {pair.pair_id: pair for pair in choice.pairs}
    same = [pair for pair in choice.pairs if pair.same]
    assert len(same) == 6 and choice.n_matched + choice.n_unmatched == 6 and choice.n_matched >= 2
    species = {item.subject_id: item.species for item in animals[0]}
    for pair in choice.pairs:
        assert species[pair.query_id] == species[pair.candidate_id]
        assert (pair.query_id[:2] == pair.candidate_id[:2]) == pair.same
        if pair.matched_with:
            other = by_id[pair.matched_with]
            assert other.same != pair.same and other.stratum == pair.stratum
            assert abs(other.similarity - pair.similarity) <= choice.tolerance
    assert len({pair.matched_with for pair in same if pair.matched_with}) == choice.n_matched


def test_few_pairs_still_show_many_individuals_and_come_out_alike_twice(animals):
    choice = choose_pairs(*animals, n_pairs=4, seed=2)
    assert len({pair.individual for pair in choice.pairs if pair.same}) >= 3
    assert choose_pairs(*animals, n_pairs=4, seed=2) == choice


def test_more_pairs_keep_those_there_were(animals):
    # what was measured of a pair and its stranger is kept, so neither may change with the number of pairs
    few, many = (
        {pair.pair_id: pair for pair in choose_pairs(*animals, n_pairs=n, seed=3).pairs if pair.same} for n in (3, 8)
    )
    assert set(few) < set(many)
    assert all(many[name].other_id == pair.other_id for name, pair in few.items())
    plans = [Plan(n_pairs=3), Plan(n_pairs=8, n_photographs=100, measures=("sanity",))]
    assert plans[0].decides() == plans[1].decides() != Plan(n_steps=50).decides()


def test_third_animal_is_neither_of_the_two():
    # with two individuals of a species there is a stranger to both in no pair of two of them
    subjects = [subject(i, "abc"[i % 3]) for i in range(6)]
    embeddings = np.tile([[1.0, 0.0]], (6, 1))
    for pair in choose_pairs(subjects, embeddings, n_pairs=3).pairs:
        names = {pair.query_id[0], pair.candidate_id[0]}
        assert pair.other_id[0] not in names


def test_variant_is_read_with_its_settings():
    found = parse_variant("fine:explainer=pairx,mode=corrected,layers=a+b,options.weights=rank", {"pairx", "sane"})
    assert (found.name, found.explainer, found.settings.mode) == ("fine", "pairx", "corrected")
    assert found.settings.layers == ("a", "b") and found.settings.options == {"weights": "rank"}
    assert found.settings.k_colors == 0
    assert parse_variant("sane", {"pairx", "sane"}).explainer == "sane"
    assert parse_variant("mine:mode=corrected", {"pairx"}).explainer == "pairx"
    assert plain_variant("pairx", seed=4).settings.seed == 4


@pytest.mark.parametrize(
    "text, error, words",
    [
        ("a b:mode=corrected", SettingsError, "NAME:KEY=VALUE"),
        ("x:mode", SettingsError, "no KEY=VALUE"),
        ("x:mode=fast", SettingsError, "reference, corrected"),
        ("x:palette=safe", SettingsError, "changes no figure"),
        ("x:explainer=pairy", ExplainerNotFound, "pairx"),
    ],
)
def test_wrong_variant_says_what_would_do(text, error, words):
    with pytest.raises(error, match=words):
        parse_variant(text, {"pairx"})


def test_full_profile_is_the_protocols_own():
    plan = Plan.of_profile("full", n_pairs=3, measures=None)
    assert plan.n_steps == 100 and plan.fills == ("blur", "mean", "road", "white", "grey") and plan.depths[-1] == 1.0
    assert plan.measures == UNASKED == MEASURES[:-1] and plan.n_pairs == 3
    for profile, changes in (("ful", {}), ("quick", {"measures": ("santy",)}), ("quick", {"n_pairs": 0}),
                             ("quick", {"n_photographs": 1})):
        with pytest.raises(SettingsError):
            Plan.of_profile(profile, **changes)


KEY = ("pairx", "a | b", "sanity")


def test_results_go_on_where_they_were_cut_off(tmp_path):
    path = tmp_path / "run" / "results.jsonl"
    first = ResultsFile(path, {"model": "m"})
    first.add(KEY, {"figures": {"x": 1.0}})
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"variant": "pairx", "pair": "c | d", "mea')  # the process died here
    second = ResultsFile(path, {"model": "m"})
    assert second.done(KEY) and second.results[KEY]["figures"] == {"x": 1.0} and len(second.results) == 1
    second.add(("pairx", "c | d", "sanity"), {"figures": {}})
    assert len(ResultsFile(path, {"model": "m"}).results) == 2


def test_failed_result_is_tried_again_and_the_later_line_counts(tmp_path):
    path = tmp_path / "results.jsonl"
    file = ResultsFile(path, {})
    file.add(KEY, {"figures": {}, "failed": "[INTERNAL] no"})
    again = ResultsFile(path, {})
    assert not again.done(KEY)
    again.add(KEY, {"figures": {"x": 2.0}})
    assert ResultsFile(path, {}).done(KEY)


def test_results_of_something_else_are_refused(tmp_path):
    path = tmp_path / "results.jsonl"
    ResultsFile(path, {"model": "m", "data": "d"}).add(KEY, {"figures": {}})
    with pytest.raises(SettingsError, match="another data.*--fresh"):
        ResultsFile(path, {"model": "m", "data": "e"})
    path.write_text(json.dumps({"anything": 1}) + "\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="no file of results"):
        ResultsFile(path, {})
