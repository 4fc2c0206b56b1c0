"""Finding, importing and watching the public code, on a stand-in that has its habits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pairx_plugin.benchmark.reference import find_public_code
from pairx_plugin.errors import MissingExtra, SettingsError

CORE = '''
import os, sys, time, warnings
import numpy as np

sys.path.append(os.path.abspath(os.path.dirname(__file__)))
from canonizers.words import GREETING

print(GREETING)


def get_intermediate_feature_maps_and_embedding(img, model, layer_keys):
    time.sleep(0.01)


def get_feature_matches(*args):
    time.sleep(0.02)


def get_intermediate_relevances(img, gradient, model, layer_keys):
    time.sleep(0.03)


def get_pixel_relevances(device, img, coords, model, layer_key):
    get_intermediate_feature_maps_and_embedding(img, model, [layer_key])
    time.sleep(0.03)


def draw_matches_and_color_maps(*args):
    time.sleep(0.05)
    return np.zeros((2, 2, 3), np.uint8)


def pairx(device, imgs_0, imgs_1, model, layer_keys, k_lines, k_colors):
    get_intermediate_feature_maps_and_embedding(imgs_0, model, layer_keys)
    get_intermediate_feature_maps_and_embedding(imgs_1, model, layer_keys)
    get_intermediate_relevances(imgs_0, None, model, layer_keys)
    get_feature_matches()
    get_pixel_relevances(device, imgs_0, [], model, layer_keys[0])
    imgs_0.requires_grad = True
    return {key: {"k": (k_lines, k_colors)} for key in layer_keys}


def explain(imgs_0, imgs_1, imgs_np_0, imgs_np_1, model, layer_keys, k_lines=20, k_colors=10):
    warnings.warn("old", DeprecationWarning)
    print("explaining on", model.device)
    time.sleep(0.02)
    pairx(model.device, imgs_0, imgs_1, model, layer_keys, k_lines, k_colors)
    return [draw_matches_and_color_maps() for _ in imgs_np_0]
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "src" / "pairx"
    (package / "canonizers").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('wants packages that are not there')")
    (package / "core.py").write_text(CORE)
    (package / "canonizers" / "__init__.py").write_text("")
    (package / "canonizers" / "words.py").write_text("GREETING = 'hello'")
    return tmp_path


def explain(public):
    images = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    pictures = [np.zeros((4, 4, 3), np.uint8)], [np.zeros((4, 4, 3), np.uint8)]
    network = nn.Conv2d(3, 1, 1)
    return images, network, public.explain(images, pictures, network, "layer", k_lines=7, k_colors=2)


@pytest.mark.parametrize("inside", ["", "src", "src/pairx"])
def test_checkout_is_found_and_imported_without_leaving_a_trace(checkout, inside, capsys):
    path, modules = list(sys.path), {name for name in sys.modules if name.startswith(("pairx.", "canonizers"))}
    public = find_public_code(checkout / inside)
    assert public.folder == checkout / "src" / "pairx"
    assert sys.path == path
    assert {name for name in sys.modules if name.startswith(("pairx.", "canonizers"))} == modules
    assert capsys.readouterr().out == ""


def test_package_that_the_process_has_under_that_name_stays(checkout, monkeypatch):
    import types

    had = types.ModuleType("pairx")
    monkeypatch.setitem(sys.modules, "pairx", had)
    find_public_code(checkout)
    assert sys.modules["pairx"] is had


def test_stages_are_told_apart_and_nested_work_counts_for_the_outer(checkout, capsys):
    public = find_public_code(checkout)
    started = time.perf_counter()
    images, network, run = explain(public)
    spent = time.perf_counter() - started
    assert list(run.stages) == ["forward", "relevance", "matching", "pixels", "rendering", "other"]
    for stage, least in {
        "forward": 0.02, "relevance": 0.03, "matching": 0.02, "pixels": 0.04, "rendering": 0.05, "other": 0.02
    }.items():
        assert run.stages[stage] >= least
    assert sum(run.stages.values()) == pytest.approx(run.seconds) and run.seconds <= spent
    assert run.evidence_seconds <= run.seconds - 0.07  # neither drawing nor what explain does before
    assert run.layer == {"k": (7, 2)} and run.pictures[0].shape == (2, 2, 3)
    assert network.device == torch.device("cpu") and not images[0].requires_grad
    assert capsys.readouterr().out == ""


def test_functions_are_as_they_were_after_a_call_that_fails(checkout):
    public = find_public_code(checkout)
    before = dict(vars(public._core))
    with pytest.raises(AttributeError):
        public.explain((torch.zeros(1), torch.zeros(1)), ([], []), None, "layer", k_lines=1, k_colors=1)
    assert dict(vars(public._core)) == before


def test_digest_tells_versions_apart(checkout):
    public = find_public_code(checkout)
    first = public.to_json()["core_sha256"]
    (public.folder / "core.py").write_text(CORE + "\n# changed\n")
    assert len(first) == 64 and public.to_json()["core_sha256"] != first


@pytest.mark.parametrize(
    ("core", "kind", "words"),
    [
        (CORE.replace("def get_feature_matches", "def match"), SettingsError, "get_feature_matches"),
        ("import a_package_that_is_not_there", MissingExtra, "a_package_that_is_not_there"),
    ],
    ids=["another package", "a package is missing"],
)
def test_code_that_cannot_be_used_says_why(checkout, core, kind, words):
    (checkout / "src" / "pairx" / "core.py").write_text(core)
    with pytest.raises(kind, match=words):
        find_public_code(checkout)
    assert "canonizers" not in sys.modules


def test_folder_without_the_package_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="checkout of WildMeOrg/pairx"):
        find_public_code(tmp_path)


def test_without_a_path_the_importable_package_is_used(checkout, monkeypatch):
    monkeypatch.syspath_prepend(str(checkout / "src"))
    assert find_public_code(None).folder == checkout / "src" / "pairx"


def test_without_a_path_and_a_package_there_is_none(monkeypatch):
    monkeypatch.setattr("pairx_plugin.benchmark.reference.find_spec", lambda name: None)
    assert find_public_code(None) is None
