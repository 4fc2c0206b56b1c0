"""The service where the system really gives no more memory: what is there is answered, and why there is no more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("resource", reason="needs limits of memory, which this system does not have")
pytest.importorskip("timm", reason="needs the extra 'models'")

SCRIPT = """
import json, os, resource, sys
import torch
torch.set_num_threads(1)
from pairx_plugin import ModelCatalogue, read_photograph
from pairx_plugin.explainers.pairx import PairX
from pairx_plugin.hosts.ml_service.asked import Place
from pairx_plugin.hosts.ml_service.cutting import cut_place
from pairx_plugin.hosts.ml_service.explaining import CutPair, explain_pairs
from pairx_plugin.settings import Settings
from pairx_sample_data import load_annotations

model = ModelCatalogue().load("sample")
rows = [row for row in load_annotations() if row.species == "striped_horse"][:2]
places = [
    Place(uri="", box=(float(row.x), float(row.y), float(row.w), float(row.h)), theta=0.0, side=1, index=0)
    for row in rows
]
query, candidate = (cut_place(read_photograph(row.file_path), place, model) for row, place in zip(rows, places))

def explain(colours):
    settings = Settings(k_lines=20, k_colors=colours)
    pair = CutPair(query=query, candidate=candidate)
    (found,) = explain_pairs(model, [pair], PairX(), settings, view="only_colors")
    told = found.explanation
    n_colours = len(told.layers[0].pixels_0) if told.evidence is not None else 0
    return [told.status.value, told.failure.code if told.failure else "", n_colours, found.picture is not None]

explain(1)
for megabytes in (150, 20):
    if os.fork() == 0:
        pages = int(open("/proc/self/statm").read().split()[0])
        most = pages * resource.getpagesize() + megabytes * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        print(json.dumps(explain(60)), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the size of a process from /proc")
def test_colours_that_memory_is_too_short_for_are_left_out_and_said_so():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=280)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 2, done.stderr[-2000:]
    for status, code, n_colours, is_drawn in found:
        assert (status, code, is_drawn) == ("partial", "OUT_OF_MEMORY", True) and n_colours < 60
    assert found[1][2] <= found[0][2]
