"""The flag and its sub-options, read from what a request of Wildbook holds."""

import numpy as np
import pytest

from pairx_plugin.hosts.wildbook.options import (
    FLAG,
    OFF,
    Reranking,
    canonical,
    flag_is_on,
    option_defaults,
    read_options,
    server_options,
    with_server_options,
)
from pairx_plugin.settings import Settings


@pytest.mark.parametrize("value", [True, 1, "true", "Yes", "on", "banana", [0], np.ones(3)], ids=repr)
def test_flag_counts_as_on_unless_it_says_off(value):
    assert flag_is_on(value)


@pytest.mark.parametrize("value", [False, 0, None, "", "false", "No", " off ", "null", [], {}], ids=repr)
def test_flag_says_off(value):
    assert not flag_is_on(value)
    assert read_options({FLAG: value, "pairx_k_lines": "nonsense"}) == OFF


def test_every_setting_but_flag_and_pictures_is_an_option_with_its_default():
    defaults = option_defaults()
    for name in set(Settings.names()) - {"explain", "pictures"}:
        assert canonical(f"pairx_{name}", getattr(Settings(), name)) == defaults[f"pairx_{name}"]
    assert not {"pairx_explain", "pairx_pictures"} & set(defaults)


def test_values_are_read_whatever_their_spelling():
    options = read_options(
        {FLAG: "yes", "pairx_k_lines": "7", "MiewId_pairx_top_k": 3.0, "pairx_options": '{"sane": {"n": 2}}', "a": 0}
    )
    assert options.failure is None and options.warnings == ()
    assert (options.settings.k_lines, options.settings.top_k) == (7, 3)
    assert options.settings.options == {"sane": {"n": 2}}
    assert options.settings.pictures == ("matches", "heatmask", "clean")


def test_layer_key_of_the_host_is_one_layer_and_layers_come_first():
    assert read_options({FLAG: 1, "pairx_layer_key": "a.b"}).settings.layers == ("a.b",)
    assert read_options({FLAG: 1, "pairx_layer_key": "a", "pairx_layers": "b,c"}).settings.layers == ("b", "c")


def test_value_whose_repr_fails_is_refused_as_well():
    class Hostile:
        def __repr__(self):
            raise RuntimeError("no")

    options = read_options({FLAG: True, "pairx_k_lines": Hostile()})
    assert options.explain and options.failure is not None


def test_flag_whose_own_methods_fail_counts_as_on():
    class Hostile(str):
        def strip(self, *args):
            raise RuntimeError("no")

    assert read_options({FLAG: Hostile("no")}).explain


def test_misspelt_option_is_a_warning_and_not_a_failure():
    options = read_options({FLAG: True, "pairx_k_line": 3})
    assert options.failure is None and "nearest: 'pairx_k_lines'" in options.warnings[0].message


def test_reranking_is_off_unless_asked_for():
    assert read_options({FLAG: True}).reranking is None
    asked = read_options({FLAG: True, "pairx_rerank": "true", "pairx_alpha": "0.5", "pairx_shortlist_k": 4})
    assert asked.reranking == Reranking(alpha=0.5, shortlist_k=4)


def test_parameters_of_the_host_that_nothing_comes_of_are_told_where_they_were_changed():
    asked = {FLAG: True, "pairx_rerank": True, "pairx_sigmoid_k": 10.0, "pairx_sigmoid_x0": "0.7"}
    (warning,) = read_options(asked).warnings
    assert warning.code == "SETTING_WITHOUT_EFFECT" and "'pairx_sigmoid_x0'" in warning.message
    assert read_options({**asked, "pairx_rerank": False}).warnings == ()


def test_server_options_are_those_variables_that_are_options():
    found = server_options({"PAIRX_TOP_K": "9", "UTOOL_PAIRX_EXPLAIN": "1", "PAIRX_WILDBOOK": "1", "PAIRX_ENV": "x"})
    assert found == {FLAG: "1", "pairx_top_k": "9"}
    assert server_options({"UTOOL_PAIRX_EXPLAIN": "1", "PAIRX_EXPLAIN": "0"}) == {FLAG: "0"}


def test_default_layer_key_of_the_host_is_no_wish_in_a_stored_configuration():
    assert read_options({FLAG: True, "pairx_layer_key": "the.hosts.default", "pairx_layers": ""}).settings.layers == ()


@pytest.mark.parametrize("value, asked", [(np.bool_(True), True), (np.int64(0), False), (1.0, True), ("off", False)])
def test_reranking_is_asked_for_by_whatever_says_yes(value, asked):
    options = read_options({FLAG: True, "pairx_rerank": value})
    assert options.failure is None and (options.reranking is not None) == asked


def test_none_leaves_an_option_to_the_server_and_says_off_of_the_flag():
    server = {FLAG: "1", "pairx_top_k": "9", "pairx_layers": "a"}
    said = with_server_options({"pairx_top_k": None, "pairx_layer_key": None, "pairx_k_lines": 4}, server)
    assert read_options(said).settings.top_k == 9 and read_options(said).settings.layers == ("a",)
    assert read_options(with_server_options({FLAG: None}, server)) == OFF


@pytest.mark.parametrize("value", ["x" * 1_000_000, ["y"] * 200_000], ids=["text", "list"])
def test_refusal_of_an_endless_value_is_short_and_says_what_would_do(value):
    message = read_options({FLAG: True, "pairx_k_lines": value}).failure.message
    assert len(message) < 1500 and "whole number" in message
    message = read_options({FLAG: True, "pairx_mode": "x" * 1_000_000}).failure.message
    assert len(message) < 1500 and message.endswith("reference, corrected")
