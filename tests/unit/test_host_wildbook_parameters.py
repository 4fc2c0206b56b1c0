"""The flag and its sub-options among the parameters of Wildbook's configuration, whatever their values."""

import datetime
import decimal
import json
import uuid

import numpy as np
import pytest
import torch
from wildbook_configuration import Config, Request, attached

from pairx_plugin.errors import SettingsError
from pairx_plugin.hosts.wildbook.options import FLAG, OFF, option_defaults, read_options
from pairx_plugin.hosts.wildbook.parameters import options_of, with_our_values
from pairx_plugin.settings import Settings


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
        ({FLAG: True, "pairx_calibration": "a\0b"}, "names no file"),
        ({FLAG: True, "pairx_layers": 11_000 * "x"}, "10000 at most"),
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


class Hostile:
    """Fails whatever is asked of it, as a foreign object may."""

    def _fail(self, *args):
        raise RuntimeError("no")

    __repr__ = __str__ = __bool__ = __eq__ = __int__ = __float__ = __iter__ = _fail
    __hash__ = object.__hash__


class Exiting(Hostile):
    def _fail(self, *args):
        raise SystemExit(3)

    __repr__ = __str__ = __bool__ = __eq__ = __int__ = __float__ = __iter__ = _fail
    __hash__ = object.__hash__


def nested(depth):
    value = "x"
    for _ in range(depth):
        value = [value]
    return value


ROUND = []
ROUND.append(ROUND)
NONSENSE = {
    "none": None,
    "nan": float("nan"),
    "infinity": float("-inf"),
    "list": [1, "a", None],
    "empty list": [],
    "mapping": {"a": [{"b": (1, 2)}]},
    "set": {1},
    "huge": 10**400,
    "beyond printing": 10**10_000,
    "negative": -(10**30),
    "bytes": b"5",
    "byte array": bytearray(b"\xff"),
    "numpy integer": np.int64(5),
    "numpy float": np.float32(0.5),
    "numpy nan": np.float64("nan"),
    "numpy truth": np.bool_(True),
    "numpy text": np.str_("5"),
    "array": np.ones(3),
    "array of objects": np.array([object()]),
    "tensor": torch.ones(2),
    "round": ROUND,
    "deep": nested(10_000),
    "object": object(),
    "function": len,
    "hostile": Hostile(),
    "exiting": Exiting(),
    "complex": 1j,
    "decimal": decimal.Decimal("sNaN"),
    "time": datetime.datetime(2026, 1, 1),
    "uuid": uuid.UUID(int=1),
    "half a character": "\ud800",
    "zero byte": "a\0b",
    "long": "x" * 100_000,
    "digits": "\u0663",
    "spaces": "  5 ",
    "yes": True,
    "no": False,
    "number": 3.0,
    "nothing": "",
}


@pytest.mark.parametrize("server", [{}, {FLAG: "1"}], ids=["by request", "by server"])
@pytest.mark.parametrize("value", NONSENSE.values(), ids=NONSENSE)
def test_no_value_of_any_option_ends_a_request_or_spoils_what_the_host_keeps(server, value):
    make = attached(server)
    for key in (FLAG, *option_defaults(), "MiewId_pairx_k_lines", "pairx_unheard_of"):
        request = make(**{FLAG: True, key: value})
        options = options_of(request)
        assert len(request.config.string().encode("utf-8")) < 5_000  # the host hashes and stores it
        told = [options.failure] if options.failure else []
        for item in (*told, *options.warnings):
            assert 20 < len(json.dumps(item.to_json(), allow_nan=False)) < 4_000
        json.dumps([options.settings.to_json(), options.settings.params()], allow_nan=False)
        if key in (FLAG, "pairx_alpha", "pairx_rerank"):
            continue  # with the flag off the host's own parameters are the host's, strict types included
        request = make(**{FLAG: False, key: value})
        assert request.config.string() == Config().string() and options_of(request) == OFF
