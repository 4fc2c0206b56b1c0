"""The sample host with the flag off, beside the same host in a process that has no plugin.

Both rank the sample photographs with an embedding that costs next to nothing, so that a network's noise hides no cost.
"No plugin" is meant literally: every module that explains, draws or reports is made unimportable meanwhile, nothing is
looked up by entry point, and the configuration has no key of the plugin.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import HostError
from ..hosts.local import LocalHost, LocalHostConfig, RunSummary
from ..pixels import Pixels

__all__ = ["PLUGIN_MODULES", "run_hosts"]

PLUGIN_MODULES = tuple(
    f"pairx_plugin.{name}"
    for name in (
        "compat",
        "explainers",
        "explanation",
        "hosts.host_plugin",
        "hosts.local.explaining",
        "matching",
        "pipeline",
        "plausibility",
        "plugin",
        "relevance",
        "rendering",
        "report",
    )
)
_KEYS_OF_THE_PLUGIN = {"pairx_explain": False, "pairx_top_k": 5, "pairx_k_lines": 20, "pairx_k_colors": 5}


class _ColourMeans:
    """An embedder of a few means, which takes microseconds."""

    model_id = "colour-means"

    def embed(self, pixels: Sequence[Pixels], batch_size: int = 16) -> NDArray[np.float32]:
        parts = [[part.mean((0, 1)) for part in _whole_and_quarters(chip)] for chip in pixels]
        return np.array(parts, np.float32).reshape(len(parts), -1) + 1.0

    def fingerprint(self) -> str:
        return "sha256:colour-means"


def run_hosts(turns: int, *, annotations: Path | None = None) -> dict[str, Any]:
    """Let both hosts take turns.

    Args:
        turns: how many each has.
        annotations: CSV file of what is ranked; the sample photographs where none is given.

    Returns:
        ``off`` and ``without``: seconds by turn; ``imported``: modules of the plugin that were there after a run with
        the flag off; ``same``: whether all ranks and scores were the same to the last bit; ``photographs``.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "annotations": str(annotations or _sample_annotations()),
            "output": str(Path(folder) / "output"),
            "database": "sqlite:///:memory:",
        }
        off = LocalHostConfig.from_mapping({**settings, **_KEYS_OF_THE_PLUGIN})
        without = LocalHostConfig.from_mapping(settings)
        runs = {"off": lambda: _run(off, entry_points=True), "without": lambda: _run_alone(without)}
        first = _ranks(runs["off"]()[1])
        imported = [name for name in sys.modules if name.startswith(PLUGIN_MODULES)]
        results = [_ranks(runs["without"]()[1])]
        seconds: dict[str, list[float]] = {"off": [], "without": []}
        for turn in range(turns):
            for side in ("off", "without") if turn % 2 == 0 else ("without", "off"):
                spent, summary = runs[side]()
                seconds[side].append(spent)
                results.append(_ranks(summary))
    return {
        **seconds,
        "imported": sorted(imported),
        "same": all(result == first for result in results),
        "photographs": summary.n_annotations,
    }


def _sample_annotations() -> Path:
    try:
        import pairx_sample_data
    except ImportError as error:
        raise HostError("the sample data are not installed; install pairx-plugin with its sample data") from error
    return pairx_sample_data.path_of("annotations")


def _run(config: LocalHostConfig, *, entry_points: bool) -> tuple[float, RunSummary]:
    started = time.perf_counter()
    with LocalHost(config, model=_ColourMeans(), entry_points=entry_points) as host:
        summary = host.run()
    return time.perf_counter() - started, summary


def _run_alone(config: LocalHostConfig) -> tuple[float, RunSummary]:
    """Run the host while there is no plugin."""
    with _no_plugin():
        return _run(config, entry_points=False)


def _ranks(summary: RunSummary) -> list[tuple[Any, ...]]:
    return [
        (query.annotation_id, candidate.rank, candidate.annotation_id, candidate.score, candidate.name_score)
        for query in summary.queries
        for candidate in query.candidates
    ]


@contextmanager
def _no_plugin() -> Iterator[None]:
    """Make the plugin's modules unimportable while the block runs."""
    had = {name: module for name, module in sys.modules.items() if name.startswith(PLUGIN_MODULES)}
    blocked: dict[str, Any] = dict.fromkeys((*had, *PLUGIN_MODULES))
    try:
        sys.modules.update(blocked)
        yield
    finally:
        for name in blocked:
            sys.modules.pop(name, None)
        sys.modules.update(had)


def _whole_and_quarters(chip: Pixels) -> list[NDArray[np.float64]]:
    rows, columns = chip.shape[0] // 2, chip.shape[1] // 2
    quarters = chip[:rows, :columns], chip[:rows, columns:], chip[rows:, :columns], chip[rows:, columns:]
    return [part[::8, ::8].astype(np.float64) for part in (chip, *quarters)]
