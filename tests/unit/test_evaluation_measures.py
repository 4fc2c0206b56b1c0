"""Measures of the protocol on explanations made by hand: what is averaged, and what is counted as what."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pairx_plugin.chips import Chip
from pairx_plugin.evaluation.measures.faithfulness import measure_faithfulness
from pairx_plugin.evaluation.measures.sanity import measure_sanity
from pairx_plugin.evaluation.measures.stability import measure_stability
from pairx_plugin.evaluation.pair_choice import EvaluationPair
from pairx_plugin.evaluation.plan import Plan
from pairx_plugin.evaluation.subjects import Subject
from pairx_plugin.evaluation.variants import plain_variant
from pairx_plugin.evidence import Matches

pytest.importorskip("scipy", reason="needs the extra 'evaluate'")
RISING = np.arange(9, dtype=np.float32).reshape(3, 3)
PAIR = EvaluationPair(
    pair_id="q | c", query_id="q", candidate_id="c", individual="a", same=True, similarity=0.9, stratum="", other_id="o"
)


def made(map_0, map_1, top=None):
    """An explanation with these maps, the same three matches, and a first attribute."""
    cells = np.array([[0, 0], [1, 1], [2, 2]], np.int32)
    matches = Matches(cells_0=cells, cells_1=cells, distance=np.zeros(3, np.float32), relevance=np.array([3.0, 2, 1]))
    named = () if top is None else (SimpleNamespace(name=top),)
    return SimpleNamespace(
        maps=(map_0, map_1), leading=matches.leading, evidence=SimpleNamespace(attributes=named),
        layer=SimpleNamespace(matches=matches, grid_0=(3, 3), grid_1=(3, 3)),
    )


def bench_of(answer, **plan):
    """A bench that answers every explanation with `answer(query, candidate, seed, model)`."""
    pictures = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3)).astype(np.uint8)
    subjects = {
        name: Subject(subject_id=name, name=name, chip=Chip.from_array(picture))
        for name, picture in zip("qco", pictures)
    }
    return SimpleNamespace(
        plan=Plan(**plan),
        pair=lambda pair: (subjects["q"], subjects["c"]),
        other=lambda pair: subjects["o"],
        rivals=lambda pair: [],
        randomised=lambda share: f"drawn anew {share}",
        rng=lambda *names: np.random.default_rng(0),
        explain=lambda variant, query, candidate, rivals=(), model=None, seed=0: answer(query, candidate, seed, model),
        scores=lambda chips, partner: np.array([float(chip[..., 0].mean()) / 255 for chip in chips]),
        embedding=lambda chip: np.array([1.0, 0.0]),
        embed=lambda chips: np.tile([1.0, 0.0], (len(chips), 1)),
    )


def test_correlations_of_opposite_sign_do_not_take_each_other_away():
    def answer(query, candidate, seed, model):
        return made(RISING, RISING) if model is None else made(RISING, -RISING)

    found = measure_sanity(bench_of(answer, depths=(0.5, 1.0)), plain_variant("pairx"), PAIR)
    assert found.figures["randomised_rho"] == 1.0
    assert [row[:2] for row in found.details["randomisation"]] == [[0.5, 1.0], [1.0, 1.0]]


def test_full_depth_decides_and_every_depth_is_kept():
    def answer(query, candidate, seed, model):
        return made(RISING, RISING) if model != "drawn anew 1.0" else made(RISING[::-1, ::-1].T, RISING)

    found = measure_sanity(bench_of(answer, depths=(0.5, 1.0)), plain_variant("pairx"), PAIR)
    by_depth = dict(row[:2] for row in found.details["randomisation"])
    assert by_depth[0.5] == 1.0 and found.figures["randomised_rho"] == by_depth[1.0] == pytest.approx(0.8)


def test_every_seed_of_the_plan_is_compared_and_averaged():
    asked = []

    def answer(query, candidate, seed, model):
        asked.append(seed)
        return made(RISING, RISING, "scar") if seed != 2 else made(-RISING, -RISING, "notch")

    found = measure_stability(bench_of(answer, n_seeds=2), plain_variant("pairx"), PAIR)
    assert {0, 1, 2} == set(asked)
    assert found.figures["seed_rho"] == 0.0 and found.figures["seed_attribute"] == 0.5  # of 1 and -1, of one and none
    assert found.figures["seed_jaccard"] == 1.0


def test_first_attribute_is_followed_through_every_change():
    def answer(query, candidate, seed, model):
        return made(RISING, RISING, "scar")

    found = measure_stability(bench_of(answer), plain_variant("pairx"), PAIR)
    changes = ("noise", "jpeg", "shift", "seed", "swap", "flip")
    assert {found.figures[f"{name}_attribute"] for name in changes} == {1.0}
    silent = measure_stability(bench_of(lambda *asked: made(RISING, RISING)), plain_variant("pairx"), PAIR)
    assert not [name for name in silent.figures if name.endswith("_attribute")]


def test_each_fill_of_the_plan_has_figures_of_its_own():
    bench = bench_of(lambda *asked: made(RISING, RISING), fills=("blur", "mean", "white", "grey"), n_steps=4)
    found = measure_faithfulness(bench, plain_variant("pairx"), PAIR)
    # the score is the brightness, which blur and mean leave as it is, and which white and grey change
    for suffix in ("", "_mean"):
        assert found.dropped[f"insertion_less_deletion{suffix}"] == "SIMILARITY_HARDLY_CHANGES"
    for suffix in ("_white", "_grey"):
        areas = [found.figures[f"{kind}{suffix}"] for kind in ("insertion", "deletion")]
        assert all(0.0 <= value <= 1.0 for value in areas)
        assert found.figures[f"insertion_less_deletion{suffix}"] == pytest.approx(areas[0] - areas[1])
    assert found.dropped["pair_necessity"] == "TOO_FEW_MATCHES"
