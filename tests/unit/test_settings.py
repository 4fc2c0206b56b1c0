from __future__ import annotations

import dataclasses

import pytest

from pairx_plugin.errors import SettingsError
from pairx_plugin.settings import Settings
from pairx_plugin.settings_files import read_settings_file


def test_strings_of_files_and_environment_are_read_as_values():
    settings = Settings.from_mapping(
        {"pairx_explain": "yes", "pairx_k_lines": " 12 ", "pairx_layers": "a.b, c", "host_setting": object()},
        prefix="pairx_",
    )
    assert (settings.explain, settings.k_lines, settings.layers) == (True, 12, ("a.b", "c"))
    assert Settings.from_environment({"PAIRX_K_COLORS": "3", "HOME": "/"}).k_colors == 3


def test_values_are_laid_over_a_base():
    base = Settings(k_lines=7, palette="reference")
    assert Settings.from_mapping({"k_lines": 9}, base=base) == Settings(k_lines=9, palette="reference")


@pytest.mark.parametrize(
    "values, says",
    [
        ({"k_line": 3}, "nearest: 'k_lines'"),
        ({"k_lines": -1}, "0 to 10000"),
        ({"mode": "correct"}, "nearest: 'corrected'"),
        ({"k_colors": "five"}, "whole number"),
        ({"k_colors": 2.5}, "whole number"),
        ({"k_colors": True}, "whole number"),
        ({"k_colors": float("nan")}, "whole number"),
        ({"k_colors": float("inf")}, "whole number"),
        ({"pixel_tolerance": "much"}, "a number"),
        ({"pixel_tolerance": 0.5}, "0.0 to 0.1"),
        ({"pixel_tolerance": float("nan")}, "0.0 to 0.1"),
        ({"layers": 3}, "list of names"),
        ({"layers": [""]}, "list of names"),
        ({"explain": "maybe"}, "true or false"),
        ({"explain": None}, "true or false"),
        ({"explainer": " "}, "non-empty"),
        ({"options": [1]}, "mapping"),
        ({"pictures": ["matches", "heat"]}, "heatmask"),
    ],
)
def test_bad_values_are_named_with_what_would_do(values, says):
    with pytest.raises(SettingsError) as caught:
        Settings.from_mapping(values)
    assert says in str(caught.value) and repr(next(iter(values)))[1:-1] in str(caught.value)


def test_every_setting_explains_itself():
    for field in dataclasses.fields(Settings):
        assert field.metadata["help"], field.name
        if field.type in ("int", "float"):
            assert field.metadata["least"] < field.metadata["most"], field.name


def test_params_are_what_evidence_depends_on():
    assert Settings(top_k=3, palette="reference", batch_size=4).params() == Settings().params()
    assert Settings(k_colors=3).params() != Settings().params()
    assert {"layers", "mode", "seed", "options"} <= set(Settings().params())


def test_settings_survive_json():
    settings = Settings(layers=("a", "b"), options={"x": 1})
    assert Settings.from_mapping(settings.to_json()) == settings


@pytest.mark.parametrize(
    "content, says", [(b"pairx_explain = yes", "not TOML"), (b"\xff\xfe", "not TOML"), (None, "cannot read")]
)
def test_unreadable_files_are_named(tmp_path, content, says):
    path = tmp_path / "host.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=says) as caught:
        read_settings_file(path)
    assert "host.toml" in str(caught.value)


def test_file_is_read(tmp_path):
    path = tmp_path / "host.toml"
    path.write_text('pairx_explain = true\npairx_layers = ["a"]\n', encoding="utf-8")
    settings = Settings.from_mapping(read_settings_file(path), prefix="pairx_")
    assert settings.explain and settings.layers == ("a",)
