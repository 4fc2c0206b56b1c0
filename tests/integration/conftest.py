"""The command line, in this process and in processes of its own, small photographs to give to it, review servers."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SMALL = ("--model", "timm:resnet18", "--input-size", "64", "--k-colors", "1", "--k-lines", "8")


@pytest.fixture(scope="session")
def call() -> Callable[..., Any]:
    """Call a command: ``call("layers", "timm:resnet18")`` gives exit code, output and error stream."""
    testing = pytest.importorskip("typer.testing", reason="needs the extra 'cli'")
    from pairx_plugin.cli.app import app

    # Older releases of click mix the streams unless told not to, newer ones have no such argument.
    mixes = "mix_stderr" in inspect.signature(testing.CliRunner).parameters
    runner = testing.CliRunner(**({"mix_stderr": False} if mixes else {}))
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]:
    """Start a command that serves, on a free port: ``start("serve", folder)`` gives its process and its address."""
    started = []

    def begin(command: str, *arguments: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pairx_plugin", command, "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        if not found:
            process.kill()  # or its error stream would have no end
            pytest.fail(f"no address in {line!r}\n{process.stderr.read()}")
        return process, found.group(0)

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def draw() -> Callable[[Path, int], None]:
    """Write a photograph of soft noise, 120 x 90 pixels: ``draw(path, seed)``."""

    def write(path: Path, seed: int) -> None:
        noise = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
        Image.fromarray(noise).resize((120, 90), Image.Resampling.BICUBIC).save(path)

    return write


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory, draw: Callable[[Path, int], None]) -> Path:
    """A folder with four photographs, and with files that are none."""
    folder = tmp_path_factory.mktemp("photographs")
    for seed, name in enumerate(("query", "first", "second", "third")):
        draw(folder / f"{name}.png", seed)
    whole = (folder / "third.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("not a picture")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder


@pytest.fixture
def explain(call: Callable[..., Any], photographs: Path, tmp_path: Path) -> Callable[..., Any]:
    """Explain photographs of that folder with a small network: ``explain("query.png", "first.png", more=())``.

    What is written lies in ``tmp_path``, unless `more` names another folder.
    """

    def run(*names: str, more: tuple[Any, ...] = ()) -> Any:
        paths = [photographs / name for name in names]
        return call("explain", *paths, *SMALL, "--output", tmp_path, *more)

    return run


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Build a review server over a scripted host, its `source`: ``make_server(script, names=None, **options)``."""
    pytest.importorskip("fastapi", reason="needs the extra 'serve'")
    from review_source import ScriptedSource

    from pairx_plugin.review import ReviewOptions, ReviewServer

    made = []

    def make(script: dict[int, str] | None = None, names: dict[int, str] | None = None, **options: Any) -> ReviewServer:
        source = ScriptedSource(tmp_path, script, names=names)
        server = ReviewServer(source, ReviewOptions(**options))
        server.source = source
        made.append(server)
        return server

    yield make
    for server in made:
        server.source.gate.set()
        server.close()


@pytest.fixture
def make_program(make_server: Callable[..., Any]) -> Callable[..., Any]:
    """A program that calls such a server, with the same `source`: ``make_program(script, **options)``."""
    from starlette.testclient import TestClient

    def make(script: dict[int, str] | None = None, **options: Any) -> TestClient:
        server = make_server(script, **options)
        program = TestClient(server.app, base_url="http://localhost", raise_server_exceptions=False)
        program.source = server.source
        return program

    return make
