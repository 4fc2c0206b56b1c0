"""A real browser on a real server: Chromium as the system has it, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
AXE = "axe-core@4.10.3"
PATIENCE = 60  # seconds for what comes by itself, so that a machine with ten times its load has the time it needs


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """One Chromium for all tests; PAIRX_CHROMIUM names another one than the system's."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed (extra 'test')")
    found = os.environ.get("PAIRX_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (apt-get install chromium)")
    playwright.expect.set_options(timeout=PATIENCE * 1000)
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield launched
        launched.close()


def _wait_for(condition, what: str = "it"):
    """Return what `condition` returns as soon as that is true; it may ask the page, the server or the host."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} has not come in {PATIENCE} s"
        time.sleep(0.02)
    return found


@pytest.fixture
def wait_for():
    """Wait for what comes by itself: ``wait_for(lambda: ..., what)``. Whatever is read once is read too early."""
    return _wait_for


class Running:
    """A server in a thread, with the host that it shows."""

    def __init__(self, source, **options) -> None:
        import uvicorn

        from pairx_plugin.review import ReviewOptions, ReviewServer

        self.source, self._server = source, ReviewServer(source, ReviewOptions(**options))
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        config = uvicorn.Config(self._server.app, log_level="error", timeout_graceful_shutdown=1, lifespan="off")
        self._runner = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._runner.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        _wait_for(lambda: self._runner.started, "the server")

    def stop(self) -> None:
        self.source.gate.set()
        self._server.close()
        self._runner.should_exit = True
        self._thread.join(timeout=15)


@pytest.fixture
def serve(tmp_path) -> Iterator[object]:
    """Start a server over a scripted host: ``serve(script, names=..., **options)``."""
    pytest.importorskip("fastapi", reason="FastAPI is not installed (extra 'serve')")
    from review_source import ScriptedSource

    running: list[Running] = []

    def start(script=None, *, n=6, names=None, **options) -> Running:
        running.append(Running(ScriptedSource(tmp_path, script, n=n, names=names), **options))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def open_page(browser) -> Iterator[object]:
    """Open a page as somebody would: ``open_page(server, width=1440, ...)``; its complaints fail the test.

    Nothing moves unless a test asks for ``reduced_motion="no-preference"``: amid a transition anything may be read.
    """
    contexts, complaints = [], []

    def open_one(server, *, width=1440, height=900, path="/", ready=True, script="", **options):
        options = {"reduced_motion": "reduce", **options}
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        if script:
            page.add_init_script(script)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
        page.on("request", lambda request: complaints.append(request.url) if _is_foreign(request, server) else None)
        page.goto(server.address + path)
        if ready:
            page.wait_for_selector("#candidates [aria-selected=true]")
            page.wait_for_selector(".frame:not(.loading)")
        return page

    yield open_one
    for context in contexts:
        for page in context.pages:  # a handler that still waits for an answer would fail in the next test
            page.unroute_all(behavior="ignoreErrors")
        context.close()
    assert complaints == []


def _is_complaint(message) -> bool:
    # The browser itself writes a line for each answer that is no success; which answers come is each test's own matter.
    return message.type in ("error", "warning") and "Failed to load resource" not in message.text


def _is_foreign(request, server) -> bool:
    return not request.url.startswith((server.address, "data:", "blob:"))


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core, fetched once from the npm registry into the cache of this checkout."""
    cache = ROOT / ".ci" / "cache" / "axe"
    script = cache / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("axe-core is not in .ci/cache, and there is no npm to fetch it")
        cache.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([npm, "pack", AXE], cwd=cache, capture_output=True, text=True, timeout=120, check=False)
        packed = sorted(cache.glob("axe-core-*.tgz"))
        if done.returncode or not packed:
            pytest.skip(f"axe-core cannot be fetched: {done.stderr.strip()[-200:]}")
        with tarfile.open(packed[-1]) as archive:
            script.write_bytes(archive.extractfile("package/axe.min.js").read())
    return script.read_text(encoding="utf-8")


@pytest.fixture
def check_axe(axe):
    """Run axe on a page and fail on what it finds serious or critical; lesser findings are in the message as well."""

    def check(page, name: str) -> None:
        page.evaluate(axe)
        options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        if page.viewport_size["width"] < 1024:
            # What lies half under the bar of decisions counts as small there, although it scrolls out of it; sizes
            # have a test of their own.
            options["rules"] = {"target-size": {"enabled": False}}
        found = page.evaluate("options => axe.run(document, options)", options)["violations"]
        grave = [item for item in found if item["impact"] in ("serious", "critical")]
        words = [f"{item['id']} ({item['impact']}): {item['nodes'][0]['html'][:160]}" for item in found]
        assert grave == [], f"{name}: " + "\n".join(words)

    return check
