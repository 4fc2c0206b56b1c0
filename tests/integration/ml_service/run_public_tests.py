"""Runs ml-service's own tests of ``/explain/`` with an ``explain`` of one's choice in the place of pairx's.

    python run_public_tests.py CHECKOUT OUTCOMES.json ours|CHECKOUT_OF_PAIRX

A process of its own, since it decides what ``pairx`` and ``app.main`` are. The service's router and helpers are the
checkout's. What starts its server is left out, with the detectors that explaining has no use for; in place of its
models there is a small network with random weights under the two ids that it explains for.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import tempfile
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

FILES = ("tests/test_pairx_offset_and_color.py", "app/test_main.py")


class Outcomes:
    """Outcome of every test by its name."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.found[report.nodeid.split("::", 1)[1]] = report.outcome


def put(name: str, **content) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(content)
    sys.modules[name] = module
    return module


def install_explain(which: str) -> None:
    """Put ours, or the public one of a checkout, where ``from pairx import explain`` finds it."""
    if which == "ours":
        from pairx_plugin.compat import explain
    else:
        from pairx_plugin.benchmark.reference import find_public_code

        explain = find_public_code(Path(which))._core.explain
    put("pairx", explain=explain)


def install_app() -> None:
    """Put an application in the place of ``app.main``: the explaining router with a network behind it."""
    from fastapi import FastAPI

    from pairx_plugin.benchmark.networks import seeded_network

    put("app.models.yolo_ultralytics", YOLOUltralyticsModel=object)
    from app.routers import explain_router

    network = seeded_network("tf_efficientnetv2_b0", seed=0)
    network.device = torch.device("cpu")
    app = FastAPI()
    app.include_router(explain_router.router)
    app.state.device = "cpu"
    app.state.model_handler = types.SimpleNamespace(get_model=lambda _: types.SimpleNamespace(model=network))
    put("app.main", app=app)


def write_pictures() -> None:
    """The pictures that the tests name, drawn anew: some copies of the checkout lack one."""
    from pairx_plugin.benchmark.pictures import Pictures

    os.makedirs("Images")
    for number, picture in enumerate(Pictures(0, (220, 260)).candidates(2), start=1):
        Image.fromarray(np.asarray(picture)).save(f"Images/img{number}.png")


def main(checkout: str, outcomes: str, which: str) -> None:
    torch.set_num_threads(1)
    root = Path(checkout).resolve()
    target = Path(outcomes).resolve()
    sys.path[:0] = [str(root), str(root / "vendor")]
    install_explain(which)
    found = Outcomes()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        install_app()
        write_pictures()
        files = [str(root / name) for name in FILES]
        options = ["-q", "-p", "no:cacheprovider", "--import-mode=prepend", "--rootdir", folder, "-c", os.devnull]
        pytest.main([*options, *files], plugins=[found])
        os.chdir(root)
    target.write_text(json.dumps(found.found, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
