"""What can be planned, and that a plan travels."""

from __future__ import annotations

import json

import pytest

from pairx_plugin.benchmark.plan import ROWS, Plan
from pairx_plugin.errors import SettingsError


@pytest.mark.parametrize(
    "plan", [Plan(), Plan.small(rows=("flag", "pair"), seed=3), Plan(model="sample", layer=None, input_size=None)]
)
def test_plan_travels_as_json(plan):
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_default_is_the_network_and_the_ranking_of_the_table():
    plan = Plan()
    assert (plan.model, plan.input_size, plan.layer) == (
        "seeded:efficientnetv2_rw_m", (440, 440), "backbone.blocks.3",
    )
    assert (plan.n_candidates, plan.lengths, plan.device) == (20, (5, 20, 200), "cpu")


def test_batches_are_left_out_on_a_cpu_unless_asked_for():
    assert Plan().chosen_rows == tuple(row for row in ROWS if row != "batch")
    assert Plan(device="cuda").chosen_rows == tuple(ROWS)
    assert Plan(rows=("flag", "batch", "pair")).chosen_rows == ("pair", "batch", "flag")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"repeats": 0}, "'repeats' .* at least 1, not 0"),
        ({"n_candidates": True}, "'n_candidates'"),
        ({"host_runs": 2}, "at least 3"),
        ({"seed": -1}, "'seed'"),
        ({"lengths": (5,)}, "two or more"),
        ({"lengths": (5, 5)}, "different"),
        ({"lengths": (1, 5)}, "at least 2"),
        ({"rows": ("pairs",)}, "nearest: 'pair'"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_measured_is_refused(change, words):
    with pytest.raises(SettingsError, match=words):
        Plan(**change)
