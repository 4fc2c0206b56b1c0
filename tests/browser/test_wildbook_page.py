"""The review page in Wildbook IA's own web server, in a browser.

Runs where the host's environment is (tests/integration/wildbook/make_environment), in a process of its own.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

EXPECT = pytest.importorskip("playwright.sync_api").expect
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "integration" / "wildbook"
PYTHON = Path(os.environ.get("PAIRX_WILDBOOK_PYTHON") or ROOT / ".ci" / "cache" / "wildbook" / "bin" / "python")
LONG = 120_000  # milliseconds; the host serves one request at a time

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason=f"Wildbook IA is not in {PYTHON}; make_environment makes it"),
]


@pytest.fixture(scope="module")
def wildbook(tmp_path_factory):
    """The host's server, and the path of a query's page."""
    folder = tmp_path_factory.mktemp("wildbook")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(PYTHON), str(FOLDER / "web_main.py"), str(folder), str(port)],
            env={**os.environ, "HOME": str(folder), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(FOLDER)},
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield SimpleNamespace(address=f"http://127.0.0.1:{port}", path=_path(process, log), port=port)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _path(process, log: Path) -> str:
    deadline = time.monotonic() + 400
    while True:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("ADDRESS ")]
        if lines:
            return lines[0].split(" ", 1)[1]
        assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-3000:]
        time.sleep(0.5)


def _shot(page, name: str) -> None:
    if os.environ.get("PAIRX_SCREENSHOTS"):
        folder = Path(os.environ["PAIRX_SCREENSHOTS"])
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(folder / f"wildbook-{name}.png"))


def test_reviewer_sees_evidence_and_decides_in_the_hosts_own_server(wildbook, open_page):
    page = open_page(wildbook, path=wildbook.path)
    assert "/pairx/review/tasks/" in page.url
    EXPECT(page.locator("#candidates [role=option]")).to_have_count(8)
    EXPECT(page.locator(".link")).not_to_have_count(0, timeout=LONG)
    EXPECT(page.locator("#state")).to_be_empty(timeout=LONG)
    boxes = [page.locator(".border").nth(side).bounding_box() for side in (0, 1)]
    assert boxes[0]["width"] / boxes[0]["height"] != pytest.approx(1.0, abs=0.02)  # no square, as the animal is none
    _shot(page, "lines")
    page.keyboard.press("v")
    EXPECT(page.locator(".tint").first).to_be_attached(timeout=LONG)
    _shot(page, "colours")
    page.keyboard.press("1")
    EXPECT(page.locator("#progress-words")).to_contain_text("1", timeout=LONG)
    EXPECT(page.locator("#candidates [aria-selected=true]")).to_have_attribute("data-rank", "2", timeout=LONG)
    with urllib.request.urlopen(f"{wildbook.address}/api/review/", timeout=60) as answer:
        assert b'"response":[1]' in answer.read().replace(b" ", b"")


def test_candidate_that_was_not_explained_is_explained_on_the_page(wildbook, open_page):
    page = open_page(wildbook, path=wildbook.path)
    page.locator("#candidates [role=option]").nth(4).click()
    EXPECT(page.locator(".link")).not_to_have_count(0, timeout=LONG)
    EXPECT(page.locator("#words")).to_contain_text("Not a probability", timeout=LONG)
    _shot(page, "anew")
