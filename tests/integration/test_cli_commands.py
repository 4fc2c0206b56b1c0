"""The commands, called in this process: what they print, what they write, how they end."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pairx_plugin.cli.documentation import command_names, command_table
from pairx_plugin.cli.failures import exit_code, is_input_code
from pairx_plugin.cli.options import parse_box, parse_model_options, parse_pairs, parse_size, usable_folder
from pairx_plugin.errors import ChipNotFound, HostError, HostUnavailable, PropagationError, SettingsError, StoreError
from pairx_plugin.models import LayerInfo

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")


def test_debug_shows_the_traceback(call: Callable[..., Any], tmp_path: Path) -> None:
    done = call("--debug", "report", tmp_path / "nothing")
    assert isinstance(done.exception, HostError)


def test_interrupt_ends_with_130(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pairx_plugin.cli.hooks.build_manager", interrupted)
    done = call("hooks")
    assert done.exit_code == 130 and done.stderr.strip() == "interrupted"


def test_full_disk_is_told_without_traceback(call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pairx_plugin.cli.hooks.build_manager", full)
    done = call("hooks")
    assert done.exit_code == 1 and "No space left on device" in done.stderr and len(done.stderr.splitlines()) == 1


def test_mistake_of_ours_is_one_line_unless_the_traceback_is_asked_for(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: Any, **__: Any) -> None:
        raise TypeError("'int' object is not iterable")

    monkeypatch.setattr("pairx_plugin.cli.hooks.build_manager", mistaken)
    done = call("hooks")
    assert done.exit_code == 1 and done.stdout == ""
    assert done.stderr.startswith("error [INTERNAL]: TypeError: 'int' object is not iterable; run again with --debug")
    assert isinstance(call("--debug", "hooks").exception, TypeError)


@pytest.mark.parametrize("arguments", [("layers",), ("layers", "--nonsense"), ("nonsense",)], ids=" ".join)
def test_wrong_usage_is_told_by_the_help_and_not_as_a_mistake_of_ours(
    call: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    done = call(*arguments)
    assert done.exit_code == 2 and "Usage:" in done.stderr and "INTERNAL" not in done.stderr


def test_layers_suggests_one_and_says_why(call: Callable[..., Any]) -> None:
    done = call("layers", "timm:resnet18", "--input-size", "96x128", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    suggested = [layer for layer in answer["layers"] if layer["suggested"]]
    assert [layer["key"] for layer in suggested] == ["layer1"]
    assert suggested[0]["grid"] == [24, 32] and suggested[0]["receptive_field"] == [43, 43]
    assert "coarsest grid" in suggested[0]["reason"]
    assert [layer["key"] for layer in answer["layers"]] == ["layer1", "layer2", "layer3", "layer4"]
    assert all(layer["is_stage"] for layer in answer["layers"])
    assert answer["input_size"] == [96, 128]
    everything = json.loads(call("layers", "timm:resnet18", "--input-size", "96x128", "--all", "--json").stdout)
    assert len(everything["layers"]) == answer["n_layers"] > len(answer["layers"])
    assert sum(layer["is_stage"] for layer in everything["layers"]) == 4
    table = call("layers", "timm:resnet18", "--input-size", "96x128").stdout
    assert "layer4" in table and "suggested" in table and "--all shows the rest" in table


def test_layers_says_what_each_mode_of_the_rules_finds(call: Callable[..., Any]) -> None:
    found = json.loads(call("layers", "timm:resnet18", "--input-size", "64", "--json").stdout)["canonization"]
    assert {mode: report["merged_batch_norms"] for mode, report in found.items()} == {"reference": 20, "corrected": 20}
    corrected = found["corrected"]
    assert corrected["shared_sums"] == 8 and corrected["names"]["shared_sums"] == ["layer1.0", "layer4.1"]
    table = " ".join(call("layers", "timm:convnext_atto", "--input-size", "64").stdout.split())
    assert "mode reference: none. Mode 'reference' gives the public code's numbers, which knows no timm" in table
    assert "mode corrected: timm ConvNeXt; layer norms 17, shared sums 12." in table


def test_layers_without_stages_are_those_of_known_receptive_field(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    infos = [
        LayerInfo(key=key, type_name="Conv2d", grid=(9, 9), channels=1, stride=(1.0, 1.0), receptive_field=field)
        for key, field in (("first", (3, 3)), ("second", None), ("third", (5, 5)))
    ]
    monkeypatch.setattr("pairx_plugin.models.layers.list_layers", lambda *_: infos)
    shown = json.loads(call("layers", "timm:resnet18", "--json").stdout)["layers"]
    assert [layer["key"] for layer in shown] == ["first", "third"]
    infos[:] = [dataclasses.replace(info, receptive_field=None) for info in infos]
    shown = json.loads(call("layers", "timm:resnet18", "--json").stdout)["layers"]
    assert [layer["key"] for layer in shown] == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("mieuwid",), "MODEL_UNKNOWN", "known: sample"),
        (("timm:resnet18", "--input-size", "9000000"), "MODEL_INVALID", "on an image of 9000000 x 9000000 pixels"),
        (("timm:resnet18", "--model-option", "default_layer=layer9"), "LAYER_UNKNOWN", "nearest: 'layer"),
        (("timm:resnet18", "--model-option", "default_layer=3"), "LAYER_UNKNOWN", "'3'"),
        (("timm:resnet18", "--model-option", "checkpoint=123"), "MODEL_UNKNOWN", "no checkpoint file '123'"),
        (("timm:resnet18", "--model-option", "pretrained=maybe"), "SETTING_INVALID", "true or false, not 'maybe'"),
        (("timm:resnet18", "--model-option", "pretraned=true"), "SETTING_INVALID", "nearest: 'pretrained'"),
        (("timm:resnet18", "--model-option", "mean=5"), "SETTING_INVALID", "three numbers"),
        (("timm:resnet18", "--model-option", "mean=1,2,x"), "SETTING_INVALID", "not '1,2,x'"),
        (("timm:resnet18", "--input-size", "64", "--model-option", "input_size=32"), "SETTING_INVALID", "twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_layers_of_a_model_that_does_not_load_is_bad_input(
    call: Callable[..., Any], arguments: tuple[str, ...], code: str, words: str
) -> None:
    done = call("layers", *arguments)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith(f"error [{code}]: ") and words in done.stderr and len(done.stderr.splitlines()) == 1


def test_note_on_random_weights_names_options_that_work(
    call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torch

    create, asked = timm.create_model, []

    def recorded(name: str, pretrained: bool = False, **options: Any) -> Any:
        asked.append(pretrained)
        return create(name, **options)  # without a network there is nothing to fetch

    torch.save(create("resnet18", num_classes=0).state_dict(), tmp_path / "weights.pt")
    monkeypatch.setattr(timm, "create_model", recorded)
    small = ("timm:resnet18", "--input-size", "64", "--json")
    (note,) = json.loads(call("layers", *small).stdout)["notes"]
    named = re.findall(r"--model-option (\w+=\w+)", note)
    assert note.startswith("The weights are random") and named == ["pretrained=true", "checkpoint=PATH"]
    for option in (named[0], named[1].replace("PATH", str(tmp_path / "weights.pt"))):
        done = call("layers", *small, "--model-option", option)
        assert done.exit_code == 0 and json.loads(done.stdout)["notes"] == [], done.output
    for word in ("off", "no", "false", "0"):
        done = call("layers", *small, "--model-option", f"pretrained={word}")
        assert json.loads(done.stdout)["notes"] == [note]
    assert asked == [False, True, False, False, False, False, False]


def test_hooks_lists_what_each_plugin_provides(call: Callable[..., Any]) -> None:
    answer = json.loads(call("hooks", "--json").stdout)
    ours = next(plugin for plugin in answer["plugins"] if plugin["name"] == "pairx")
    provided = {"grad_cam", "pairx", "point_to_point", "similarity_attention"}
    assert provided <= set(ours["explainers"]) and "explain_ranked_query" in ours["hooks"] and ours["error"] is None
    assert provided <= {entry["explainer_id"] for entry in answer["explainers"]} and answer["failures"] == []
    assert "PAIR-X" in call("hooks").stdout


def test_paragraphs_of_a_help_are_as_wide_as_the_terminal(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    lines = [line.strip() for line in call("sweep", "--help").stdout.splitlines()]
    (told,) = [line for line in lines if line.startswith("Every layer shows its lines")]
    assert "and against it. One forward pass serves all layers." in told and told.endswith("takes minutes.")


def test_every_command_has_a_help_of_full_sentences(call: Callable[..., Any]) -> None:
    assert set(command_names()) == {
        "benchmark", "calibrate", "choose-layer", "demo", "evaluate", "explain", "run", "report", "serve", "serve-api",
        "sweep", "layers", "hooks", "measure-attributes", "train-attributes",
    }
    for name in command_names():
        text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", call(name, "--help").stdout).split())
        assert "Usage:" in text and "." in text


def test_table_of_commands_has_a_row_each_with_its_arguments() -> None:
    rows = command_table().splitlines()
    assert rows[0] == "| Command | What it does |" and len(rows) == 2 + len(command_names())
    assert rows[3].startswith("| `pairx-plugin explain QUERY CANDIDATE...` | Explain why a network finds")
    assert all(row.endswith(". |") for row in rows[2:])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("x"), 2),
        (ChipNotFound("x"), 2),
        (HostError("x"), 2),
        (HostUnavailable("x"), 1),
        (PropagationError("x"), 1),
        (StoreError("x"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_code_says_whose_fault_it_is(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_codes_of_input_errors_are_told_from_others() -> None:
    assert is_input_code("IMAGE_UNREADABLE") and is_input_code("LAYER_UNKNOWN")
    assert not is_input_code("PROPAGATION_FAILED") and not is_input_code("ODD")


def test_output_folder_is_found_under_the_home_and_refused_where_it_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert usable_folder(Path("~/deep/er")) == tmp_path / "deep" / "er" and list(tmp_path.iterdir()) == []
    assert usable_folder(Path("here")) == Path("here")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file' is no folder"):
        usable_folder(tmp_path / "file" / "deep")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # rights bind no administrator
    with pytest.raises(StoreError, match="may not be written to"):
        usable_folder(tmp_path / "deep")


def test_options_are_read_from_text() -> None:
    assert parse_size("440x320") == (440, 320) and parse_size("64") == (64, 64) and parse_size(None) is None
    assert parse_box("1, 2.5,3,4", "--bbox-query") == (1.0, 2.5, 3.0, 4.0) and parse_box(" ", "x") is None
    pairs = parse_pairs(["pretrained=true", "n=3", "name = a=b", "x=none", "m=-2", "y=off"], "--set")
    assert pairs == {"pretrained": True, "n": 3, "name": "a=b", "x": None, "m": -2, "y": False}
    texts = ["revision=12", "mean=0.5,0.5,1", "checkpoint=no", "config=None", "device=0", "input_size=32x48"]
    assert parse_model_options(texts, input_size=None) == {
        **{"revision": "12", "mean": (0.5, 0.5, 1.0), "checkpoint": "no", "config": None, "device": 0},
        "input_size": (32, 48),
    }
