"""What a process held at most, and which tensors stay."""

from __future__ import annotations

import gc
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.benchmark.memory import peak_resident, resident
from pairx_plugin.benchmark.storages import live_storages, network_storages


def test_weights_are_counted_once_however_often_they_are_held():
    network = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4))
    network.register_module("again", network[0])
    counted = sum(network_storages(network).values())
    assert counted == 4 * (8 * 4 + 4 + 4 * 4) + 8  # four vectors of the norm, and its counter


def test_tensors_that_stay_are_seen_wherever_they_are_held():
    network = nn.Linear(64, 64)
    own = network_storages(network)
    before = sum(live_storages(own).values())
    holder = {"list": [torch.zeros(1000)], "closure": (lambda kept: lambda: kept)(torch.ones(500))}
    assert sum(live_storages(own).values()) - before == 4 * 1500
    holder["view"] = holder["list"][0][10:20]  # of a storage that is counted already
    holder["twin"] = nn.Parameter(network.weight.detach(), requires_grad=False)  # the network's own memory
    assert sum(live_storages(own).values()) - before == 4 * 1500
    del holder
    assert sum(live_storages(own).values()) == before


def test_garbage_does_not_count():
    before = sum(live_storages().values())
    circle: list[object] = [torch.zeros(10_000)]
    circle.append(circle)
    del circle
    gc.disable()
    try:
        assert sum(live_storages().values()) == before
    finally:
        gc.enable()


@pytest.mark.skipif(peak_resident() is None, reason="the system does not say what a process holds")
def test_peak_is_that_of_the_process_and_not_of_the_one_that_started_it():
    ballast = np.ones(125_000_000)  # 1 GB, written to: more than a process with torch in it
    assert peak_resident() >= ballast.nbytes
    code = """if True:
        import json, numpy
        from pairx_plugin.benchmark.memory import peak_resident
        before = peak_resident()
        ballast = numpy.ones(40_000_000)
        print(json.dumps([before, peak_resident()]))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = json.loads(done.stdout)
    assert before < ballast.nbytes and 0.9 * 320e6 <= after - before <= 1.2 * 320e6


@pytest.mark.skipif(resident() is None, reason="the system does not say what a process holds")
def test_memory_that_is_given_up_is_not_held_any_more():
    before = resident()
    ballast = np.ones(50_000_000)
    assert resident() - before > 0.9 * ballast.nbytes
    del ballast
    assert resident() - before < 50e6 and peak_resident() > resident()
