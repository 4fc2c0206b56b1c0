"""The benchmark is measured once for all of its tests, and only where it is asked for.

    pytest tests/benchmarks --benchmark                a trial of a minute with a small network
    pytest tests/benchmarks --benchmark=full           the whole table, many minutes

With WildMeOrg/pairx importable (PYTHONPATH=checkout/src) it is measured beside ours. The table goes to the terminal.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--benchmark",
        nargs="?",
        const="quick",
        choices=("quick", "full"),
        help="measure time and memory: 'quick', or 'full' for the whole table",
    )


@pytest.fixture(scope="session")
def extent(request: pytest.FixtureRequest) -> str:
    """``quick`` or ``full``; skips where the benchmark is not asked for."""
    asked = request.config.getoption("--benchmark", default=None)
    if asked is None:
        pytest.skip("measures for minutes; ask for it with: pytest tests/benchmarks --benchmark")
    return str(asked)
