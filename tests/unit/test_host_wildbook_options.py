"""The flag and its sub-options, read from what a request of Wildbook holds."""

import json

import numpy as np
import pytest

from pairx_plugin.errors import SettingsError
from pairx_plugin.hosts.wildbook.options import (
    FLAG,
    OFF,
    Reranking,
    canonical,
    flag_is_on,
    option_defaults,
    read_options,
    server_options,
)
from pairx_plugin.hosts.wildbook.parameters import options_of, with_our_parameters, with_our_values
from pairx_plugin.settings import Settings


class ParamInfo:
    """What the host's configuration asks of a parameter, as utool's class has it."""

    def __init__(self, varname, default=None, type_="infer", hideif=None):
        self.varname, self.default, self.hideif = varname, default, hideif
        self.type_ = (type(default) if default is not None else None) if type_ == "infer" else type_

    def item(self, config):
        value = getattr(config, self.varname)
        hidden = self.hideif(config) if callable(self.hideif) else self.hideif is not None and value == self.hideif
        return [] if hidden else [f"{self.varname}={value}"]


class Config:
    """The host's configuration: known keys only, strict types, and a string that its caches are named by."""

    def __init__(self, **values):
        listed = {item.varname: item for item in self.get_param_info_list()}
        for name, item in listed.items():
            setattr(self, name, item.default)
        for key, value in values.items():
            key = key[len("MiewId_"):] if key.startswith("MiewId_") else key
            if key in listed:
                if listed[key].type_ is not None and value is not None and type(value) is not listed[key].type_:
                    raise TypeError(f"{key} is {value!r}")
                setattr(self, key, value)

    def get_param_info_list(self):
        rerank = [ParamInfo("pairx_alpha", 0.8), ParamInfo("pairx_rerank", False)]
        return [ParamInfo("use_knn", True, hideif=True), *rerank]

    def string(self):
        return ",".join(part for item in self.get_param_info_list() for part in item.item(self))


class Request:
    """The host's request: made of a configuration, whose values it remembers and whose source it forgets."""

    config_class = Config

    @classmethod
    def new(cls, depc, qaids, daids, cfgdict=None, tablename=None):
        request = cls()
        request.config = cls.config_class(**(cfgdict or {}))
        request.params = dict(vars(request.config))
        return request


def attached(server=None):
    server = server or {}
    config = type("Attached", (Config,), {})
    config.get_param_info_list = with_our_parameters(Config.get_param_info_list, ParamInfo, server)
    request = type("AttachedRequest", (Request,), {"config_class": config})
    request.new = classmethod(with_our_values(Request.new.__func__, server))
    return lambda **values: request.new(None, [1], [2], values, tablename="MiewId")


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


@pytest.mark.parametrize(
    "values, words",
    [
        ({FLAG: "banana"}, "true or false"),
        ({FLAG: True, "pairx_k_lines": "x"}, "whole number"),
        ({FLAG: True, "pairx_k_lines": True}, "whole number"),
        ({FLAG: True, "pairx_mode": "refrence"}, "nearest: 'reference'"),
        ({FLAG: True, "pairx_options": "{"}, "JSON object"),
        ({FLAG: True, "pairx_seed": object()}, "whole number"),
        ({FLAG: True, "pairx_alpha": 1.5}, "from 0 to 1"),
        ({FLAG: True, "pairx_alpha": float("nan")}, "from 0 to 1"),
        ({FLAG: True, "pairx_shortlist_k": 2.5}, "whole number"),
        ({FLAG: True, "pairx_rerank": "maybe"}, "true or false"),
        ({FLAG: True, "pairx_explainer": "\ud800"}, "cannot be written"),
        ({FLAG: True, "pairx_layers": "a", "pairx_layer_key": 5}, "layers"),
        ({FLAG: True, "pairx_layers": "a", "pairx_layer_key": "\udfff"}, "cannot be written"),
        ({FLAG: True, "pairx_options": '{"a": NaN}'}, "cannot be read"),
        ({FLAG: True, "pairx_options": {"a": object()}}, "cannot be read"),
        ({FLAG: True, "pairx_options": {1: 2, None: 3}}, "cannot be read"),
        ({FLAG: True, "pairx_calibration": "/dev/zero"}, "no file"),
        ({FLAG: True, "pairx_layer_choice": "/"}, "no file"),
        ({FLAG: True, "pairx_refused": np.ones(2)}, "array"),
        ({FLAG: True, "pairx_refused": "\ud800"}, "ud800"),
    ],
    ids=lambda item: ascii(item)[:30],
)
def test_what_does_not_fit_is_refused_in_words(values, words):
    options = read_options(values)
    assert options.explain and options.failure.code == SettingsError.code and words in options.failure.message
    assert options.settings == Settings()
    request = attached()(**values)
    assert options_of(request).failure.message == options.failure.message
    request.config.string().encode("utf-8")  # the host hashes it


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


OFF_VALUES = [{}, {FLAG: False}, {FLAG: "no"}, {FLAG: None}, {"pairx_k_lines": object()}, {"MiewId_pairx_explain": 0}]


@pytest.mark.parametrize("values", OFF_VALUES, ids=["nothing", "false", "no", "none", "strange", "prefixed"])
def test_flag_off_leaves_the_configuration_string_as_it_was(values):
    request = attached()(**values)
    assert request.config.string() == Config().string()
    assert options_of(request) == OFF


def test_flag_off_leaves_the_hosts_own_parameters_and_their_strictness_to_the_host():
    assert attached()(pairx_alpha=0.3).config.string() == Config(pairx_alpha=0.3).string()
    with pytest.raises(TypeError):
        attached()(pairx_alpha="much")


def test_flag_on_shows_itself_and_what_is_not_default():
    make = attached()
    assert make(pairx_explain=True).config.string() == Config().string() + ",pairx_explain=True"
    told = make(pairx_explain=1, pairx_k_lines="5", pairx_k_colors="5").config.string()
    assert told == Config().string() + ",pairx_explain=True,pairx_k_lines=5"


def test_flag_on_coerces_the_hosts_own_parameters_before_its_strict_types_see_them():
    request = attached()(pairx_explain=True, pairx_rerank="yes", pairx_alpha=1)
    assert request.config.pairx_alpha == 1.0 and request.config.pairx_rerank is True
    assert options_of(request).reranking.alpha == 1.0


def test_refused_values_reach_no_strict_type_and_are_told_again_after_the_request_was_stored():
    request = attached()(pairx_explain=True, pairx_alpha="much")
    assert options_of(request).failure is not None
    stored = Request()
    stored.params = json.loads(json.dumps(request.params))
    assert options_of(stored).failure.message == options_of(request).failure.message
    assert "pairx_refused=" in request.config.string()


def test_stored_request_asks_for_the_same():
    request = attached()(pairx_explain=True, pairx_layer_key="a.b", pairx_k_lines=3, pairx_options={"x": {"y": 1}})
    stored = Request()
    stored.params = dict(request.params)
    assert options_of(stored).settings == options_of(request).settings


def test_server_default_is_overruled_by_the_request():
    make = attached({FLAG: "1", "pairx_top_k": "9"})
    assert options_of(make()).settings.top_k == 9
    assert "pairx_explain=True,pairx_top_k=9" in make().config.string()
    assert options_of(make(pairx_top_k=2)).settings.top_k == 2
    assert make(pairx_explain=False).config.string() == Config().string()


def test_layer_key_of_a_request_rules_out_the_servers_layers():
    make = attached({"pairx_layers": "from.the.server"})
    assert options_of(make(pairx_explain=True)).settings.layers == ("from.the.server",)
    assert options_of(make(pairx_explain=True, pairx_layer_key="a.b")).settings.layers == ("a.b",)


def test_default_layer_key_of_the_host_is_no_wish_in_a_stored_configuration():
    assert read_options({FLAG: True, "pairx_layer_key": "the.hosts.default", "pairx_layers": ""}).settings.layers == ()


def test_broken_list_of_options_leaves_the_hosts_and_explains_nothing(monkeypatch):
    from pairx_plugin.hosts.wildbook import parameters

    make = attached()
    monkeypatch.setattr(parameters, "_ours", lambda *_: 1 / 0)
    request = make(pairx_explain=True)
    assert request.config.string() == Config().string() and options_of(request) == OFF


def test_callers_values_are_not_changed():
    values = {FLAG: "true", "pairx_k_lines": "5"}
    kept = dict(values)
    cls = type("AttachedRequest", (Request,), {})
    with_our_values(Request.new.__func__, {})(cls, None, [1], [2], values)
    assert values == kept
