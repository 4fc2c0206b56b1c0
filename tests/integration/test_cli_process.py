"""The command as people start it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def start(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "pairx_plugin", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=120)


def test_version_names_what_matters() -> None:
    done = start("--version")
    versions = dict(line.split(" ", 1) for line in done.stdout.strip().splitlines())
    assert done.returncode == 0
    assert versions["pairx-plugin"] == metadata.version("pairx-plugin") and versions["torch"] == metadata.version(
        "torch"
    )


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys, pairx_plugin.cli.app; "
        "print(sorted({'torch', 'numpy.random', 'cv2', 'sqlalchemy', 'jinja2', 'timm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_is_there_at_once() -> None:
    start("--help")  # compiles what is not compiled yet
    times = []
    for _ in range(3):
        started = time.perf_counter()
        assert start("--help").returncode == 0
        times.append(time.perf_counter() - started)
    assert min(times) < 2.0  # 0.6 s on a quiet machine; others may be busy here


def test_hooks_finds_the_installed_plugin() -> None:
    done = start("hooks", "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert "pairx" in [plugin["name"] for plugin in json.loads(done.stdout)["plugins"]]


def test_wrong_command_is_a_usage_error() -> None:
    done = start("explian")
    assert done.returncode == 2 and "explian" in done.stderr and done.stdout == ""


def test_explain_keeps_the_standard_output_for_json(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="needs the extra 'models'")
    for name in ("a", "b"):
        noise = np.random.default_rng(ord(name)).integers(0, 256, (80, 100, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    model = ("--model", "timm:resnet18", "--input-size", "64x64", "--k-colors", "1")
    done = start("explain", "a.png", "b.png", "c.png", *model, "--json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)
    assert [pair["status"] for pair in answer["explanations"]] == ["ready", "failed"]
    assert (tmp_path / "pairx-explanations" / "01-b" / "matches.webp").is_file()
    assert done.stderr == ""


def test_bad_input_is_one_line_without_traceback(tmp_path: Path) -> None:
    done = start("report", tmp_path / "nothing")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error [HOST_FAILED]: ") and len(done.stderr.splitlines()) == 1
