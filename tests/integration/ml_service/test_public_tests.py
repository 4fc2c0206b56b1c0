"""ml-service's own tests with ours in place of pairx, where checkouts are named by path.

``PAIRX_ML_SERVICE`` names a checkout of WildMeOrg/ml-service, whose dependencies (albumentations) have to be importable
besides ours; with ``PAIRX_REFERENCE``, a checkout of WildMeOrg/pairx, its tests run with that one too, which takes
minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CHECKOUT, REFERENCE = (os.environ.get(name, "") for name in ("PAIRX_ML_SERVICE", "PAIRX_REFERENCE"))

# At 7cad443 the router answers these otherwise than its tests say, before anything is explained: turns are not checked,
# and what is wrong with a photograph or a box is told with its status before it.
ROUTERS_OWN = {"test_bad_path1", "test_bad_bb1", "test_bad_theta1", "test_bad_theta2"}

pytestmark = pytest.mark.skipif(not CHECKOUT, reason="name a checkout of WildMeOrg/ml-service by PAIRX_ML_SERVICE")


def outcomes(folder: Path, which: str) -> dict[str, str]:
    target = folder / "outcomes.json"
    done = subprocess.run(
        [sys.executable, str(HERE / "run_public_tests.py"), CHECKOUT, str(target), which],
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert target.is_file(), done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(target.read_text())


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return outcomes(tmp_path_factory.mktemp("ours"), "ours")


def test_tests_of_explaining_pass_with_ours_in_place_of_pairx(ours):
    assert len(ours) >= 22 and ours["test_pairx"] == "passed"
    assert ours["test_run_pairx_preserves_channel_order_from_explain"] == "passed"
    assert {name for name, outcome in ours.items() if outcome != "passed"} <= ROUTERS_OWN


@pytest.mark.skipif(not REFERENCE, reason="name a checkout of WildMeOrg/pairx by PAIRX_REFERENCE")
def test_outcomes_are_those_with_pairx(ours, tmp_path):
    assert outcomes(tmp_path, REFERENCE) == ours
