"""Commands around attributes: the explainer `sane` on the sample data, and heads that somebody trains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")

import pairx_sample_data  # noqa: E402
from pairx_plugin.explainers.sane.attribute_head import read_head  # noqa: E402

PHOTOGRAPHS = pairx_sample_data.path_of("photographs")
COARSE = ("--explainer", "sane", "--set", "options.sane_cells=2", "--set", "options.sane_window=0.5")


def box(name: str) -> str:
    item = next(item for item in pairx_sample_data.load_annotations() if item.file_name == name)
    return f"{item.x},{item.y},{item.w},{item.h}"


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Eight animals with two photographs each, half of them half red."""
    rng = np.random.default_rng(0)
    rows = ["file_path,name,species,mark:red"]
    for individual in range(8):
        for shot in range(2):
            picture = rng.integers(60, 120, (40, 40, 3), dtype=np.uint8)
            if individual % 2:
                picture[10:30, 10:30] = (240, 20, 20)
            Image.fromarray(picture).save(tmp_path / f"{individual}_{shot}.png")
            rows.append(f"{individual}_{shot}.png,newt {individual},newt,{individual % 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "labels.csv"


def test_sample_head_names_what_two_pale_zebras_share(call: Callable[..., Any], tmp_path: Path) -> None:
    names = ("striped_horse_001_1.jpg", "striped_horse_001_2.jpg")
    done = call(
        "explain", *(PHOTOGRAPHS / name for name in names), *COARSE, "--bbox-query", box(names[0]),
        "--bbox-candidate", box(names[1]), "-o", tmp_path / "out", "--no-report",
    )
    assert done.exit_code == 0, done.output
    assert "pattern: pale_coat" in " ".join(done.stdout.split()) and "confidence" in done.stdout
    (file,) = (tmp_path / "out").rglob("*.json")
    record = json.loads(file.read_text())
    (named,) = [item for item in record["attributes"] if item["kind"] == "same"]
    assert named["name"] == "pale_coat" and record["abstained"] is False
    assert 0.5 <= named["confidence"] <= 1.0 and 0.0 < named["overlap"] <= 1.0 and 0.0 < named["prior"] <= 1.0


def test_without_a_head_there_is_saliency_alone(call: Callable[..., Any], tmp_path: Path) -> None:
    photographs = [PHOTOGRAPHS / f"star_shark_001_{shot}.jpg" for shot in (1, 2)]
    done = call(
        "explain", *photographs, *COARSE, "--set", "options.sane_head=without", "-o", tmp_path / "out", "--no-report"
    )
    assert done.exit_code == 0 and "confidence" not in done.stdout


def test_wrong_option_ends_before_the_work(call: Callable[..., Any], tmp_path: Path) -> None:
    photographs = [PHOTOGRAPHS / f"star_shark_001_{shot}.jpg" for shot in (1, 2)]
    wrong = ("--explainer", "sane", "--set", "options.sane_fill=red")
    done = call("explain", *photographs, *wrong, "-o", tmp_path / "out")
    assert done.exit_code == 2 and "blur, mean, zero" in done.stderr + done.stdout


def test_head_is_trained_measured_and_used(call: Callable[..., Any], labelled: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="needs the extra 'attributes'")
    head, small = tmp_path / "head.json", ("--least-positive", 4, "--least-individuals", 2, "--folds", 2)
    done = call(
        "train-attributes", labelled, "-o", head, *small, "--ranking-pairs", 0, "--layer", "backbone.blocks.3"
    )
    assert done.exit_code == 0, done.output
    assert "mark:red" in done.stdout and read_head(head).labels[0].average_precision == 1.0
    measured = call("measure-attributes", labelled, "--head", head, "--cells", 2, "--other-pairs", 2, "--json")
    assert measured.exit_code == 0, measured.output
    figures = json.loads(measured.stdout)
    assert figures["labels"]["mark:red"]["average_precision"] == 1.0 and figures["same"]["n_pairs"] == 8
    used = call(
        "explain", labelled.parent / "1_0.png", labelled.parent / "1_1.png", *COARSE,
        "--set", f"options.sane_head={head}", "-o", tmp_path / "out", "--json",
    )
    assert used.exit_code == 0, used.output


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (("nothing.csv",), 2, "no labelled photographs at"),
        (("sample", "-o", "/nowhere/head.json"), 1, "no folder '/nowhere'"),
    ],
    ids=["source", "folder"],
)
def test_training_that_cannot_be_is_told_first(
    call: Callable[..., Any], arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = call("train-attributes", *arguments)
    assert done.exit_code == code and words in done.stderr
