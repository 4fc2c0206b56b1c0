"""Takes the README's picture of the review page: sample photographs, a pair of one animal, nothing decided yet.

    python tests/browser/readme_picture.py [notes/pictures/review.webp]

It ranks and explains the sample photographs, opens the page as a reviewer would, looks for the query whose best
candidate is the same animal with the most links that fit one pose, and keeps what the page then shows.
"""

from __future__ import annotations

import importlib.util
import io
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "pairx_plugin" / "notes" / "pictures" / "review.webp"
SIZE = {"width": 1440, "height": 900}
QUERIES = [f"{species}_00{number}_1.jpg" for species in ("striped_horse", "spotted_cat") for number in (1, 2, 3)]
N_LINKS, N_AHEAD = 8, 2


def _server_kind():
    spec = importlib.util.spec_from_file_location("browser_conftest", HERE / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _reviews(folder: Path) -> str:
    """Rank and explain the sample photographs, and return the database's address."""
    from pairx_sample_data import path_of

    from pairx_plugin.hosts.local import LocalHost, LocalHostConfig

    config = LocalHostConfig.from_mapping(
        {
            "annotations": str(path_of("annotations")),
            "output": str(folder),
            "database": f"sqlite:///{(folder / 'reviews.sqlite3').as_posix()}",
            "model": "sample",
            "queries": QUERIES,
            "pairx_explain": True,
            "pairx_top_k": 1,
            "pairx_k_colors": 0,
        },
        folder=folder,
    )
    with LocalHost(config) as host:
        host.run()
    return config.database


def _best_query(source) -> str:
    """Return the query whose best candidate is the same animal, by the links that fit one pose beyond chance."""
    task = source.tasks()[0]
    found: dict[str, int] = {}
    for item in task.queries:
        query = source.query(task.task_id, item.query_id)
        first, kept = query.ranked_query.candidates[0], query.explanations.get(1)
        if kept is None or first.annotation.name != query.ranked_query.query.name:
            continue
        figures = kept.record["plausibility"]
        found[item.query_id] = (figures["n_inliers"] or 0) - (figures["n_chance"] or 0)
    return max(found, key=found.get)


def _picture(page: Page, wait_for: Callable[..., object]) -> bytes:
    expect(page.locator("#evidence")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".frame:not(.loading)")).to_be_attached()
    expect(page.locator(".link:not(.unseen)")).to_have_count(N_LINKS)
    expect(page.locator(".band strong")).to_have_text("Strong evidence")
    for rank in range(2, 2 + N_AHEAD):  # the next ones are explained in advance
        expect(page.locator(f"#candidate-{rank} .meter")).to_be_attached()
    # Playwright's own wait_for_function asks for eval, which the page's policy refuses.
    wait_for(lambda: page.evaluate("[...document.images].every(image => image.complete)"), "every photograph")
    return page.screenshot()


def main(target: Path) -> None:
    """Write the picture."""
    kind = _server_kind()
    with tempfile.TemporaryDirectory() as folder:
        from pairx_plugin.hosts.local.review_source import LocalReviewSource

        with LocalReviewSource(_reviews(Path(folder))) as source, sync_playwright() as running:
            source.gate = kind.threading.Event()  # what the tests' own server lets go when it stops
            server = kind.Running(source)
            expect.set_options(timeout=120_000)
            found = next(filter(None, map(shutil.which, kind.NAMES)))
            browser = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
            page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce", locale="en")
            task = source.tasks()[0].task_id
            page.goto(f"{server.address}/review/tasks/{task}?query={_best_query(source)}")
            shot = _picture(page, kind._wait_for)
            browser.close()
            server.stop()
    Image.open(io.BytesIO(shot)).convert("RGB").save(target, "WEBP", quality=82, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
