"""Measurements in processes of their own, and what becomes of a process that dies."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from pairx_plugin.benchmark.child import in_a_process_of_its_own, main
from pairx_plugin.benchmark.plan import Plan


def stand_in(folder: Path, script: str) -> str:
    """A program to start in Python's place."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", "'kept' was killed by signal 9: it said nothing"),
        ("echo first >&2; echo 'MemoryError: last' >&2; exit 1", "'kept' ended with 1: MemoryError: last"),
        ("echo '{\"half\": '", "'kept' ended with 0"),
    ],
    ids=["killed", "raised", "half an answer"],
)
def test_process_that_dies_is_a_failure_in_words(tmp_path, monkeypatch, script, words):
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, script))
    assert words in in_a_process_of_its_own("kept", Plan())["failure"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
def test_plan_and_public_code_go_in_and_json_comes_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", stand_in(tmp_path, "cat"))
    found = in_a_process_of_its_own("kept", Plan(seed=4), Path("/some/where"))
    assert Plan.from_json(found["plan"]) == Plan(seed=4) and found["public_code"] == "/some/where"


def test_task_gets_what_was_sent(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(
        "pairx_plugin.benchmark.child._TASKS", {"look": lambda plan, code: seen.append((plan, code)) or {"n": 1}}
    )
    asked = json.dumps({"plan": Plan(seed=5).to_json(), "public_code": "/there"})
    monkeypatch.setattr(sys, "stdin", io.StringIO(asked))
    main(["look"])
    assert seen == [(Plan(seed=5), Path("/there"))] and json.loads(capsys.readouterr().out) == {"n": 1}
