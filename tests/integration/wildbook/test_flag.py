"""The flag: what it costs while it is off (nothing), and what its values may be."""

from __future__ import annotations

import pytest

OFF = {
    "absent": {},
    "false": {"pairx_explain": False},
    "text": {"pairx_explain": "false"},
    "number": {"pairx_explain": 0},
    "none": {"pairx_explain": None},
    "empty": {"pairx_explain": ""},
    "alias": {"MiewId_pairx_explain": False},
    "with options": {"pairx_explain": False, "pairx_k_lines": 3, "pairx_top_k": "many"},
    "options alone": {"pairx_k_colors": [1, 2], "pairx_palette": "reference"},
    "misspelt": {"pairx_explian": True},
    "nonsense": {"pairx_layers": {"a": [None]}, "pairx_k_lines": 10**400, "pairx_mode": float("nan")},
    "nonsense and off": {"pairx_explain": "no", "pairx_options": [[[]]], "MiewId_pairx_top_k": -1},
}


def without_echo(result):
    return {key: value for key, value in result.items() if key != "query_config_dict"}


@pytest.mark.parametrize("options", OFF.values(), ids=OFF)
def test_flag_off_leaves_configuration_result_and_pictures_as_without_us(host, options):
    import utool

    now = host.ask(**options)
    assert now.config == host.before.config and now.config_row == host.before.config_row
    assert utool.to_json(without_echo(now.result)) == utool.to_json(without_echo(host.before.result))
    assert now.thumbs == host.before.thumbs
    assert "pairx" not in now.entry


def test_flag_off_leaves_the_hosts_own_parameters_to_the_host(host):
    from pairx_plugin.hosts.wildbook import seams

    seams_of = ((host.plugin.MiewIdConfig, "get_param_info_list"), (host.plugin.MiewIdRequest, "new"))
    asked = {"pairx_alpha": 0.3, "pairx_shortlist_k": 7, "pairx_layer_key": "backbone.blocks.4", "use_knn": False}
    attached = host.request(**asked).get_cfgstr()
    before = [vars(owner)[name] for owner, name in seams_of]
    assert all(seams.detach(owner, name) for owner, name in seams_of)
    try:
        assert host.request(**asked).get_cfgstr() == attached
    finally:
        for (owner, name), function in zip(seams_of, before):
            setattr(owner, name, function)


def test_flag_off_reads_networks_as_often_as_without_us(host):
    from pairx_plugin.hosts.wildbook import seams

    loads = host.loads
    host.graph()
    as_attached, loads = host.loads - loads, host.loads
    stage = host.plugin.MiewIdRequest
    before = {name: vars(stage)[name] for name in ("execute", "postprocess_execute")}
    for name in before:
        assert seams.detach(stage, name)
    try:
        host.graph()
    finally:
        for name, function in before.items():
            setattr(stage, name, function)
    assert as_attached == host.loads - loads == 1  # for the network's address alone


def test_flag_on_has_a_reference_of_its_own_and_the_same_scores(host):
    now = host.ask(pairx_explain=True)
    assert ",pairx_explain=True" in now.config
    assert now.config.replace(",pairx_explain=True", "") == host.before.config
    assert now.entry["dannot_extern_reference"] != host.before.entry["dannot_extern_reference"]
    for scores in ("annot_score_list", "score_list", "name_score_list"):
        assert (now.entry[scores] == host.before.entry[scores]).all()
    assert now.entry["dannot_extern_list"] == host.before.entry["dannot_extern_list"]


@pytest.mark.parametrize("flag", [True, 1, "true", "on", "YES"])
def test_spellings_of_yes_share_one_reference(host, flag):
    assert host.request(pairx_explain=flag).get_cfgstr() == host.request(pairx_explain=True).get_cfgstr()


def test_spellings_of_a_value_share_one_reference(host):
    one = host.request(pairx_explain=True, pairx_k_lines=7, pairx_layers=["backbone.blocks.2"])
    other = host.request(pairx_explain="true", pairx_k_lines="7", pairx_layer_key="backbone.blocks.2")
    assert "pairx_k_lines=7" in one.get_cfgstr() and "pairx_layers=backbone.blocks.2" in one.get_cfgstr()
    without_layer_key = other.get_cfgstr().replace(",pairx_layer_key=backbone.blocks.2", "")
    host_default = ",pairx_layer_key=backbone.blocks.5"  # the real plugin shows a default of its own
    assert without_layer_key == one.get_cfgstr().replace(host_default, "")


NONSENSE = {
    "flag": ({"pairx_explain": "banana"}, "banana"),
    "word": ({"pairx_explain": True, "pairx_k_lines": "many"}, "whole number"),
    "range": ({"pairx_explain": True, "pairx_k_colors": -1}, "0 to 1000"),
    "nan": ({"pairx_explain": True, "pairx_top_k": float("nan")}, "whole number"),
    "choice": ({"pairx_explain": True, "pairx_mode": "refrence"}, "reference"),
    "object": ({"pairx_explain": True, "pairx_seed": object()}, "whole number"),
    "alpha of the host": ({"pairx_explain": True, "pairx_alpha": "a lot"}, "0 to 1"),
    "layer of the host": ({"pairx_explain": True, "pairx_layer_key": 5}, "layers"),
    "both layers": ({"pairx_explain": True, "pairx_layers": "a", "pairx_layer_key": 5}, "layers"),
    "half a character": ({"pairx_explain": True, "pairx_explainer": "\ud800"}, "cannot be written"),
    "nan within": ({"pairx_explain": True, "pairx_options": '{"a": NaN}'}, "cannot be read"),
    "object within": ({"pairx_explain": True, "pairx_options": {"a": object()}}, "cannot be read"),
    "endless file": ({"pairx_explain": True, "pairx_calibration": "/dev/zero"}, "no file"),
    "our own word": ({"pairx_explain": True, "pairx_refused": [1, 2]}, "[1, 2]"),
}


@pytest.mark.parametrize("options, words", NONSENSE.values(), ids=NONSENSE)
def test_nonsense_costs_the_explanation_and_never_the_query(host, encoded, options, words):
    now = host.ask(**options)
    answer = encoded(now.entry["pairx"])
    assert answer["status"] == "failed" and answer["explanations"] == []
    assert answer["failure"]["code"] == "SETTING_INVALID" and words in answer["failure"]["message"]
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    assert now.thumbs == host.before.thumbs


def test_unknown_option_is_named_with_the_one_that_was_meant(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1, pairx_k_line=3)
    (warning,) = entry["pairx"]["warnings"]
    assert warning["code"] == "SETTING_UNKNOWN" and "nearest: 'pairx_k_lines'" in warning["message"]
    assert entry["pairx"]["n_explained"] == 1


def test_unknown_layer_and_explainer_fail_by_candidate_with_the_names_that_would_do(host):
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1, pairx_layers="backbone.blocks.99")
    (record,) = entry["pairx"]["explanations"]
    assert record["status"] == "failed" and record["errors"][0]["code"] == "LAYER_UNKNOWN"
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1, pairx_explainer="pairs")
    (record,) = entry["pairx"]["explanations"]
    assert record["errors"][0]["code"] == "EXPLAINER_UNKNOWN" and "pairx" in record["errors"][0]["message"]


def test_installing_again_attaches_nothing_twice(host):
    from pairx_plugin.hosts.wildbook import install

    again = install(ibs=host.ibs)
    assert again is host.installation
    assert [item for item in again.attached if "postprocess_execute" in item] == ["MiewIdRequest.postprocess_execute"]
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    assert entry["pairx"]["n_explained"] == 1


def test_host_that_cannot_be_attached_to_is_left_as_it_is(host):
    from types import ModuleType

    from pairx_plugin.errors import HostError
    from pairx_plugin.hosts.wildbook import install

    other = ModuleType("other_plugin")
    other.MiewIdConfig = type("MiewIdConfig", (object,), {"get_param_info_list": lambda self: []})
    other.MiewIdRequest = type("MiewIdRequest", (object,), {"new": classmethod(lambda cls: None)})  # never executed
    other.read_config_and_load_model = other._load_data = lambda *args: None
    before = dict(vars(other.MiewIdConfig)), dict(vars(other.MiewIdRequest))
    with pytest.raises(HostError, match="MiewIdRequest.execute"):
        install(other)
    assert (dict(vars(other.MiewIdConfig)), dict(vars(other.MiewIdRequest))) == before
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    assert entry["pairx"]["n_explained"] == 1
