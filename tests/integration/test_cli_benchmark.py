"""``pairx-plugin benchmark``, with a network and a public code that take no time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from pairx_plugin.cli.app import app

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")

SMALL = ("--quick", "--model", "seeded:tf_efficientnetv2_b0", "--input-size", "64", "--layer", "backbone.blocks.1")
FEW = ("--repeats", "1", "--candidates", "2", "--lengths", "2,3", "--threads", "1")

# Finds what compat finds, from the functions that the public code is made of.
STAND_IN = '''
import numpy as np

from pairx_plugin import compat


def get_intermediate_feature_maps_and_embedding(*args):
    raise AssertionError("not asked")


get_intermediate_relevances = get_feature_matches = get_pixel_relevances = get_intermediate_feature_maps_and_embedding


def draw_matches_and_color_maps(*args):
    return np.zeros((2, 2, 3), np.uint8)


def pairx(device, imgs_0, imgs_1, model, layer_keys, k_lines, k_colors):
    found = compat.pairx(device, imgs_0, imgs_1, model, layer_keys, k_lines, k_colors)
    for layer in found.values():
        layer["intermediate_relevances"] = tuple(side * FACTOR for side in layer["intermediate_relevances"])
    return found


def explain(imgs_0, imgs_1, imgs_np_0, imgs_np_1, model, layer_keys, k_lines=20, k_colors=10):
    print("explaining on", model.device)
    pairx(None, imgs_0, imgs_1, model, layer_keys, k_lines, k_colors)
    return [draw_matches_and_color_maps() for _ in imgs_np_0]
'''


@pytest.fixture(autouse=True)
def no_public_code_of_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairx_plugin.benchmark.reference._installed", lambda: None)


def public_code(folder: Path, code: str = STAND_IN, factor: float = 1.0) -> Path:
    package = folder / "src" / "pairx"
    package.mkdir(parents=True)
    (package / "core.py").write_text(f"FACTOR = {factor}\n{code}")
    return folder


def call(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["benchmark", *map(str, arguments)], env={"COLUMNS": "200"})


def rows_of(answer: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in answer["rows"]}


def test_side_by_side_in_one_process_with_speed_exactness_and_stages(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    chosen = ("--row", "pair", "--row", "ranking", "--row", "lines", "--row", "batch", "--row", "flatness")
    done = call(*SMALL, *FEW, *chosen, "--reference", public_code(tmp_path), "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    rows = rows_of(answer)
    assert list(rows) == ["pair", "ranking", "lines", "flatness", "batch"]
    for key in ("pair", "ranking", "lines", "batch"):
        row = rows[key]
        assert len(row["ours"]["values"]) == len(row["public"]["values"]) == len(row["ratio"]["values"]) == 1
        assert row["ratio"]["values"] == pytest.approx(
            [public / ours for ours, public in zip(row["ours"]["values"], row["public"]["values"])]
        )
        assert row["exactness"]["relevance"] <= 1e-5 and row["exactness"]["is_met"], key
        assert row["exactness"]["matches_agreeing"] == row["exactness"]["matches"] >= 20
        assert row["wanted"] is None and row["failures"] == {}  # a trial
    stages = {key: set(rows[key]["stages"]["ours"]) for key in ("pair", "ranking")}
    assert stages["pair"] == {"preparing", "forward", "relevance", "matching", "pixels", "rendering"}
    assert stages["ranking"] == stages["pair"] | {"other"}
    assert rows["pair"]["exactness"]["pixel_maps"] == 2 * 10 and rows["lines"]["exactness"]["pixel_maps"] == 0
    assert set(rows["flatness"]["details"]["seconds_per_candidate"]) == {"2", "3"}
    assert answer["public_code"]["folder"] == str(tmp_path / "src" / "pairx")
    assert torch.get_num_threads() == threads


def test_other_numbers_of_the_public_code_are_seen(tmp_path: Path) -> None:
    done = call(*SMALL, *FEW, "--row", "pair", "--reference", public_code(tmp_path, factor=1.25), "--json")
    exactness = rows_of(json.loads(done.stdout))["pair"]["exactness"]
    assert exactness["relevance"] == pytest.approx(0.2, rel=1e-3) and exactness["is_met"] is False


def test_time_of_the_public_code_is_scaled_to_the_whole_ranking(tmp_path: Path) -> None:
    more = ("--candidates", "3", "--reference-pairs", "1", "--row", "lines")
    done = call(*SMALL, *FEW, *more, "--reference", public_code(tmp_path))
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    assert "the public code explained 1 of the 3 pairs; its time is scaled to all of them" in text


@pytest.mark.slow
def test_memory_is_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    output = tmp_path / "figures" / "benchmark.json"
    more = ("--row", "memory", "--row", "kept", "--output", output)
    done = call(*SMALL, *FEW, *more, "--reference", public_code(tmp_path))
    assert done.exit_code == 0, done.output
    rows = rows_of(json.loads(output.read_text()))
    memory, kept = rows["memory"], rows["kept"]
    assert memory["unit"] == "bytes" and 1e8 < memory["ours"]["median"] < 3e9 and memory["public"]["median"] > 1e8
    processes = memory["details"]["processes"]
    assert processes["ours"]["n"] == 2 and processes["ours"]["before"]["resident"] <= memory["ours"]["median"]
    assert processes["ours"]["after"] <= memory["ours"]["median"] and "GB afterwards" in memory["notes"][1]
    assert kept["details"]["weights"] > 2e7  # 5.9 million parameters
    assert kept["details"]["after_it_is_gone"] == 0 and kept["details"]["merges"] is False
    assert kept["figure"] == kept["ours"]["median"] / kept["details"]["weights"] and kept["is_met"] is True
    assert "peak memory, ranking of 2" in " ".join(done.stdout.split())


def test_without_the_public_code_ours_is_measured_alone() -> None:
    done = call(*SMALL, *FEW, "--row", "pair")
    assert done.exit_code == 0, done.output
    text = " ".join(done.stdout.split())
    assert "one cold pair, 10 colours" in text and "name a checkout of it with --reference" in text
    assert "pair ours" in text and "pair public" not in text


def test_public_code_that_fails_costs_its_own_figures_only(tmp_path: Path) -> None:
    code = STAND_IN.replace("    print(", "    raise MemoryError('no room')\n    print(")
    done = call(*SMALL, *FEW, "--row", "pair", "--reference", public_code(tmp_path, code), "--json")
    assert done.exit_code == 3
    row = rows_of(json.loads(done.stdout))["pair"]
    assert row["failures"] == {"public": "MemoryError: no room"}
    assert len(row["ours"]["values"]) == 1 and row["public"] is None and row["ratio"] is None


def test_candidates_that_cannot_be_explained_are_no_quick_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise ValueError("lost")

    monkeypatch.setattr("pairx_plugin.explainers.pairx.match_cells", broken)
    done = call(*SMALL, *FEW, "--row", "lines", "--json")
    assert done.exit_code == 1
    failure = rows_of(json.loads(done.stdout))["lines"]["failures"]["ours"]
    assert "2 of 2 candidates could not be explained" in failure and "lost" in failure


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--reference", "no/such/folder"), "SETTING_INVALID", "checkout of WildMeOrg/pairx"),
        (("--row", "pears"), "SETTING_INVALID", "choose from"),
        (("--lengths", "5,many"), "SETTING_INVALID", "5,20,200"),
        (("--repeats", "0"), "SETTING_INVALID", "'repeats'"),
        (("--device", "abacus"), "SETTING_INVALID", "abacus"),
        (("--layer", "blocks.77"), "LAYER_UNKNOWN", "blocks.77"),
        (("--model", "seeded:efficientnetv7"), "MODEL_UNKNOWN", "efficientnetv7"),
        (("--model", "timm:vit_tiny_patch16_224", "--row", "pair"), "MODEL_UNSUPPORTED", "Vision Transformer"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments: tuple[str, ...], code: str, words: str) -> None:
    done = call("--quick", *arguments)
    assert done.exit_code == 2, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"error [{code}]: ") and words in lines[0]


def test_output_that_cannot_be_written_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file" / "deep.json", tmp_path):
        done = call("--output", place)
        assert done.exit_code == 1 and "error [STORE_FAILED]" in done.stderr and "--output" in done.stderr


def test_json_of_a_process_is_alone_on_the_standard_output(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pairx_plugin", "benchmark", *SMALL, *FEW, "--row", "pair", "--json"]
    command += ["--reference", str(public_code(tmp_path))]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "pairx.benchmark/1" and done.stderr == ""
