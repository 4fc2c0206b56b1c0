"""Settings go to a plugin as a request, and come back as they were."""

from __future__ import annotations

import json

import pytest

from pairx_hooks import ExplanationRequest
from pairx_plugin.errors import SettingsError
from pairx_plugin.hook_requests import request_of, settings_of
from pairx_plugin.settings import Settings


def test_settings_survive_the_way_there_and_back():
    settings = Settings(layers=("a", "b"), k_lines=3, top_k=7, pictures=("clean",), options={"sane_masks": 12})
    request = request_of(settings)
    assert request.top_k == 7 and request.layers == ("a", "b") and "k_lines" in request.settings
    assert settings_of(request) == settings
    assert settings_of(ExplanationRequest.from_json(json.loads(json.dumps(request.to_json())))) == settings


def test_flag_is_the_host_s_and_is_not_handed_on():
    assert "explain" not in request_of(Settings(explain=True)).settings
    assert settings_of(request_of(Settings(explain=True))) == Settings()


def test_host_may_decide_how_many():
    assert request_of(Settings(top_k=5), top_k=2).top_k == 2


def test_request_of_a_host_that_names_little_is_the_default():
    assert settings_of(ExplanationRequest()) == Settings(picture_format=ExplanationRequest().picture_format)


def test_unknown_name_is_refused():
    with pytest.raises(SettingsError, match="k_lines"):
        settings_of(ExplanationRequest(settings={"k_line": 3}))
