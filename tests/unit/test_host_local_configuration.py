"""The sample host's configuration: paths, defaults, unknown keys, and the plugin's keys that it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pairx_plugin.errors import SettingsError
from pairx_plugin.hosts.local import LocalHostConfig


def write(folder: Path, text: str) -> Path:
    path = folder / "host.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_relative_paths_start_from_the_file_and_the_database_lies_beside_the_output(tmp_path: Path) -> None:
    config = LocalHostConfig.from_file(
        write(tmp_path, 'annotations = "data/a.csv"\noutput = "made/reviews"\n')
    )
    assert config.annotations == tmp_path / "data/a.csv"
    assert config.images == tmp_path / "data"
    assert config.output == tmp_path / "made/reviews"
    assert config.database == f"sqlite:///{tmp_path}/made/reviews.sqlite3"
    assert config.embedding_cache == tmp_path / "made/reviews/embeddings"
    assert (config.model, config.queries, config.explain) == ("sample", "all", False)


def test_every_key_of_the_host_is_read(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(b"")
    text = """
annotations = "a.csv"
images = "photos"
output = "out"
database = "sqlite:///reviews.sqlite3"
model = "net.safetensors"
queries = ["one.png", "Ngaio"]
n_candidates = 7
batch_size = 3
chip_side = 256
embedding_cache = false
pairx_explain = true
pairx_top_k = 2
"""
    config = LocalHostConfig.from_file(write(tmp_path, text))
    assert config.images == tmp_path / "photos"
    assert config.database == f"sqlite:///{tmp_path}/reviews.sqlite3"
    assert config.model == str(tmp_path / "net.safetensors")
    assert config.queries == ("one.png", "Ngaio")
    assert (config.n_candidates, config.batch_size, config.chip_side) == (7, 3, 256)
    assert config.embedding_cache is None
    assert config.explain and config.settings().top_k == 2


@pytest.mark.parametrize(
    "url", ["sqlite:////abs/r.sqlite3", "sqlite:///:memory:", "postgresql://u:p@server/db"]
)
def test_absolute_addresses_of_databases_stay_as_they_are(url: str) -> None:
    assert LocalHostConfig.from_mapping({"annotations": "a.csv", "database": url}).database == url


def test_a_folder_named_like_a_model_does_not_hide_the_model(tmp_path: Path) -> None:
    (tmp_path / "sample").mkdir()
    assert LocalHostConfig.from_mapping({"annotations": "a.csv"}, folder=tmp_path).model == "sample"


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("anotations", "annotations"), ("n_candidate", "n_candidates"), ("parix_explain", "pairx_explain")],
)
def test_an_unknown_key_names_the_nearest_one(key: str, nearest: str) -> None:
    with pytest.raises(SettingsError, match=f"unknown key '{key}'.*nearest: '{nearest}'"):
        LocalHostConfig.from_mapping({"annotations": "a.csv", key: 1})


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "lacks 'annotations'"),
        ({"annotations": ""}, "'annotations' must be a non-empty text"),
        ({"annotations": "a.csv", "n_candidates": 0}, "'n_candidates' must be a whole number from 1"),
        ({"annotations": "a.csv", "batch_size": "8"}, "'batch_size' must be a whole number"),
        ({"annotations": "a.csv", "batch_size": True}, "'batch_size' must be a whole number"),
        ({"annotations": "a.csv", "chip_side": 1}, "'chip_side' must be a whole number from 32"),
        ({"annotations": "a.csv", "queries": "one_per_nam"}, "nearest: 'one_per_name'"),
        ({"annotations": "a.csv", "queries": []}, "'queries' is an empty list"),
        ({"annotations": "a.csv", "queries": [1]}, "'queries' must be"),
        ({"annotations": "a.csv", "output": 3}, "'output' must be a non-empty text, not 3"),
    ],
)
def test_a_value_that_does_not_fit_is_named(values: dict[str, object], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        LocalHostConfig.from_mapping(values)


def test_a_file_that_is_missing_or_no_toml_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read the configuration"):
        LocalHostConfig.from_file(tmp_path / "none.toml")
    with pytest.raises(SettingsError, match="is not TOML"):
        LocalHostConfig.from_file(write(tmp_path, "annotations = \n"))


NONSENSE = {"pairx_k_lines": "many", "pairx_frobnicate": [1], "pairx_mode": 3.5}


def test_nonsense_for_the_plugin_is_kept_and_not_read_while_the_flag_is_off() -> None:
    config = LocalHostConfig.from_mapping({"annotations": "a.csv", "pairx_explain": False, **NONSENSE})
    assert not config.explain
    assert config.pairx == {"pairx_explain": False, **NONSENSE}


def test_nonsense_for_the_plugin_is_an_error_when_it_is_asked_for() -> None:
    config = LocalHostConfig.from_mapping({"annotations": "a.csv", "pairx_explain": True, "pairx_k_line": 3})
    with pytest.raises(SettingsError, match="unknown setting 'pairx_k_line'.*nearest: 'k_lines'"):
        config.settings()


@pytest.mark.parametrize(
    ("value", "on"),
    [(True, True), (False, False), ("true", True), ("off", False), ("No", False), (0, False), (1, True)],
)
def test_the_flag_is_read_as_other_settings_are(value: object, on: bool) -> None:
    assert LocalHostConfig.from_mapping({"annotations": "a.csv", "pairx_explain": value}).explain is on


@pytest.mark.parametrize("value", ["maybe", 0.5, [True], {}])
def test_a_flag_that_is_neither_on_nor_off_is_reported_and_not_passed_over(value: object) -> None:
    config = LocalHostConfig.from_mapping({"annotations": "a.csv", "pairx_explain": value})
    assert config.explain
    with pytest.raises(SettingsError, match="'explain' must be true or false"):
        config.settings()


def test_a_misspelt_flag_raises_a_doubt_and_other_keys_do_not() -> None:
    doubt = LocalHostConfig.from_mapping({"annotations": "a.csv", "pairx_explian": True}).doubt()
    assert doubt is not None and "'pairx_explian'" in doubt and "'pairx_explain'" in doubt
    assert LocalHostConfig.from_mapping({"annotations": "a.csv", "pairx_explainer": "pairx"}).doubt() is None
    assert LocalHostConfig.from_mapping({"annotations": "a.csv", **NONSENSE}).doubt() is None
    assert LocalHostConfig.from_mapping({"annotations": "a.csv", "pairx_explain": False}).doubt() is None


def test_the_record_of_a_configuration_is_json_and_holds_no_password(tmp_path: Path) -> None:
    values = {
        "annotations": "a.csv",
        "database": "postgresql://ana:secret@server/db",
        "pairx_options": {"alpha": 0.5, "beta": float("nan")},
        "queries": ["x"],
    }
    record = LocalHostConfig.from_mapping(values, folder=tmp_path).to_json()
    text = json.dumps(record, allow_nan=False)
    assert "secret" not in text
    assert record["pairx"]["pairx_options"] == {"alpha": 0.5, "beta": "nan"}
    assert record["queries"] == ["x"] and record["annotations"] == str(tmp_path / "a.csv")
