"""The commands, called in this process: what they print, what they write, how they end."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pairx_plugin.cli import app
from pairx_plugin.cli.documentation import command_names, command_table
from pairx_plugin.cli.failures import exit_code, is_input_code
from pairx_plugin.cli.options import parse_box, parse_pairs, parse_size
from pairx_plugin.errors import ChipNotFound, HostError, HostUnavailable, PropagationError, SettingsError, StoreError

SMALL = [
    "--model",
    "timm:resnet18",
    "--input-size",
    "64",
    "--k-colors",
    "1",
    "--k-lines",
    "8",
]

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(3)
    for name in ("query", "first", "second", "third"):
        noise = random.integers(0, 256, (9, 12, 3), np.uint8)
        Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def explain(photographs: Path, output: Path, *names: str, more: tuple[Any, ...] = ()) -> Any:
    paths = [photographs / name for name in names]
    return call("explain", *paths, *SMALL, "--output", output, *more)


def test_explain_writes_pictures_records_and_report(photographs: Path, tmp_path: Path) -> None:
    done = explain(photographs, tmp_path, "query.png", "first.png", more=("--format", "png", "--json"))
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    pair = answer["explanations"][0]
    assert (answer["model_id"], pair["rank"], pair["status"]) == ("timm:resnet18", 1, "ready")
    assert -1.0 <= pair["similarity"] <= 1.0
    assert sorted(pair["pictures"]) == ["clean", "heatmask", "matches"]
    for path in pair["pictures"].values():
        with Image.open(path) as image:
            assert image.format == "PNG" and image.width > 64
    record = json.loads(Path(pair["record"]).read_text())
    assert record["schema"] == "pairx.explanation/1"
    assert record["score"] == pair["similarity"] and record["score_scale"] == "cosine"
    assert [asset["url"] for asset in record["assets"]] == ["matches.png", "heatmask.png", "clean.png"]
    assert len(record["matches"]) <= 8
    page = Path(answer["report"]).read_text()
    assert "first.png" in page and "The weights are random" in page


def test_candidate_that_cannot_be_read_is_told_and_the_others_go_on(photographs: Path, tmp_path: Path) -> None:
    done = explain(photographs, tmp_path, "query.png", "gone.png", "first.png", "broken.jpg", more=("--json",))
    assert done.exit_code == 3
    pairs = json.loads(done.stdout)["explanations"]
    assert [pair["status"] for pair in pairs] == ["failed", "ready", "failed"]
    assert [pair["rank"] for pair in pairs] == [1, 2, 3]
    assert [pair["failure"] and pair["failure"]["code"] for pair in pairs] == [
        "IMAGE_NOT_FOUND",
        None,
        "IMAGE_UNREADABLE",
    ]
    page = (tmp_path / "report.html").read_text()
    assert "gone.png" in page and "The photograph cannot be opened." in page


def test_boxes_cut_the_animal_out(photographs: Path, tmp_path: Path) -> None:
    boxes = (
        "--bbox-query",
        "10,20,60,40",
        "--theta-query",
        "0.2",
        "--bbox-candidate",
        "",
        "--bbox-candidate",
        "5,5,50,50",
    )
    done = explain(
        photographs, tmp_path, "query.png", "first.png", "second.png", more=(*boxes, "--json", "--no-report")
    )
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    images = [json.loads(Path(pair["record"]).read_text())["images"] for pair in answer["explanations"]]
    assert images[0][0]["bbox"] == [10, 20, 60, 40] and images[0][0]["theta"] == 0.2
    assert [pair[1]["bbox"] for pair in images] == [[0, 0, 120, 90], [5, 5, 50, 50]]
    assert answer["report"] is None and not (tmp_path / "report.html").exists()


def test_one_view_and_one_layer_can_be_chosen(photographs: Path, tmp_path: Path) -> None:
    more = ("--view", "clean", "--layer", "layer2", "--layer", "layer1", "--json")
    done = explain(photographs, tmp_path, "query.png", "first.png", more=more)
    pair = json.loads(done.stdout)["explanations"][0]
    assert list(pair["pictures"]) == ["clean"]
    record = json.loads(Path(pair["record"]).read_text())
    assert record["layer_key"] == "layer2"
    assert [layer["layer_key"] for layer in record["other_layers"]] == ["layer1"]


def test_table_for_people_names_the_files(photographs: Path, tmp_path: Path) -> None:
    done = explain(photographs, tmp_path, "query.png", "first.png")
    assert done.exit_code == 0
    assert "first.png" in done.stdout and "report.html" in done.stdout and "uncalibrated" in done.stdout


@pytest.mark.parametrize(
    ("names", "more", "code", "words"),
    [
        (("gone.png", "first.png"), (), "IMAGE_NOT_FOUND", "gone.png"),
        (("broken.jpg", "first.png"), (), "IMAGE_UNREADABLE", "broken.jpg"),
        (("query.png", "gone.png"), (), "IMAGE_NOT_FOUND", "nothing was explained"),
        (("query.png", "first.png"), ("--layer", "layer9"), "LAYER_UNKNOWN", "nearest: 'layer"),
        (("query.png", "first.png"), ("--explainer", "pairy"), "EXPLAINER_UNKNOWN", "nearest: 'pairx'"),
        (("query.png", "first.png"), ("--model", "timm:resnet18x"), "MODEL_UNKNOWN", "resnet18"),
        (("query.png", "first.png"), ("--model", "no.safetensors"), "MODEL_UNKNOWN", "no.safetensors"),
        (("query.png", "first.png"), ("--k-lines", "-1"), "SETTING_INVALID", "k_lines"),
        (("query.png", "first.png"), ("--set", "k_line=3"), "SETTING_INVALID", "nearest: 'k_lines'"),
        (("query.png", "first.png"), ("--set", "palette"), "SETTING_INVALID", "NAME=VALUE"),
        (("query.png", "first.png"), ("--view", "lines"), "SETTING_INVALID", "matches"),
        (("query.png", "first.png"), ("--bbox-query", "1,2,3"), "SETTING_INVALID", "x,y,w,h"),
        (("query.png", "first.png"), ("--bbox-query", "1,2,nan,4"), "SETTING_INVALID", "nan"),
        (("query.png", "first.png"), ("--bbox-query", "900,900,50,50"), "CHIP_INVALID", "900"),
        (("query.png", "first.png"), ("--theta-candidate", "0", "--theta-candidate", "1"), "SETTING_INVALID", "once"),
        (("query.png", "first.png"), ("--input-size", "9x"), "SETTING_INVALID", "440x440"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    photographs: Path, tmp_path: Path, names: tuple[str, ...], more: tuple[str, ...], code: str, words: str
) -> None:
    done = explain(photographs, tmp_path, *names, more=(*more, "--json"))
    assert done.exit_code == 2, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"error [{code}]: ") and words in lines[0]
    assert "Traceback" not in done.output


def test_output_folder_that_cannot_be_made_is_told(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = explain(photographs, tmp_path / "file" / "deep", "query.png", "first.png")
    assert done.exit_code == 1
    assert "error [STORE_FAILED]" in done.stderr and "--output" in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = call("--debug", "report", tmp_path / "nothing")
    assert isinstance(done.exception, HostError)


def test_interrupt_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pairx_plugin.cli.hooks.build_manager", interrupted)
    done = call("hooks")
    assert done.exit_code == 130 and done.stderr.strip() == "interrupted"


def test_full_disk_is_told_without_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pairx_plugin.cli.hooks.build_manager", full)
    done = call("hooks")
    assert done.exit_code == 1 and "No space left on device" in done.stderr and len(done.stderr.splitlines()) == 1


def test_layers_suggests_one_and_says_why() -> None:
    done = call("layers", "timm:resnet18", "--input-size", "96x128", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    suggested = [layer for layer in answer["layers"] if layer["suggested"]]
    assert [layer["key"] for layer in suggested] == ["layer1"]
    assert suggested[0]["grid"] == [24, 32] and suggested[0]["receptive_field"] == [43, 43]
    assert "coarsest grid" in suggested[0]["reason"]
    assert [layer["key"] for layer in answer["layers"]] == ["layer1", "layer2", "layer3", "layer4"]
    assert answer["input_size"] == [96, 128]
    everything = json.loads(call("layers", "timm:resnet18", "--input-size", "96x128", "--all", "--json").stdout)
    assert len(everything["layers"]) == answer["n_layers"] > len(answer["layers"])
    table = call("layers", "timm:resnet18", "--input-size", "96x128").stdout
    assert "layer4" in table and "suggested" in table and "--all shows the rest" in table


def test_layers_of_an_unknown_model_is_bad_input() -> None:
    done = call("layers", "mieuwid")
    assert done.exit_code == 2 and "error [MODEL_UNKNOWN]" in done.stderr


def test_hooks_lists_what_each_plugin_provides() -> None:
    answer = json.loads(call("hooks", "--json").stdout)
    ours = next(plugin for plugin in answer["plugins"] if plugin["name"] == "pairx")
    assert ours["explainers"] == ["pairx"] and "explain_ranked_query" in ours["hooks"] and ours["error"] is None
    assert answer["explainers"][0]["explainer_id"] == "pairx" and answer["failures"] == []
    assert "PAIR-X" in call("hooks").stdout


def test_every_command_has_a_help_of_full_sentences() -> None:
    assert set(command_names()) == {"demo", "explain", "run", "report", "layers", "hooks"}
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


def test_options_are_read_from_text() -> None:
    assert parse_size("440x320") == (440, 320) and parse_size("64") == (64, 64) and parse_size(None) is None
    assert parse_box("1, 2.5,3,4", "--bbox-query") == (1.0, 2.5, 3.0, 4.0) and parse_box(" ", "x") is None
    pairs = parse_pairs(["pretrained=true", "n=3", "name = a=b", "x=none", "m=-2"], "--set")
    assert pairs == {"pretrained": True, "n": 3, "name": "a=b", "x": None, "m": -2}
