"""Models that bring their own code: consent, failures, and a real folder loaded by transformers."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pairx_plugin.errors import MissingExtra, ModelError, ModelNotFound
from pairx_plugin.models import miewid_files

pytest.importorskip("timm", reason="needs timm")
pytest.importorskip("safetensors.torch", reason="needs safetensors")

ConnectError = type("ConnectError", (Exception,), {"__module__": "httpx"})  # as httpx's: no OSError
HUB_ID = "conservationxlabs/miewid-msv3"


def fake_transformers(monkeypatch, outcome):
    calls = []

    class AutoModel:
        @staticmethod
        def from_pretrained(source, **options):
            calls.append((source, options))
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=AutoModel))
    return calls


def test_hub_model_needs_consent_to_its_code(catalogue, monkeypatch):
    calls = fake_transformers(monkeypatch, nn.Identity())
    for consent in ({}, {"trust_remote_code": False}, {"trust_remote_code": "yes"}):
        with pytest.raises(ModelError, match="trust_remote_code=True.*folder"):
            catalogue.load(HUB_ID, **consent)
    assert calls == []


def test_hub_model_loads_by_one_setting(catalogue, monkeypatch, miewid):
    calls = fake_transformers(monkeypatch, miewid.train())
    model = catalogue.load(HUB_ID, trust_remote_code=True, revision="abc")
    assert calls == [(HUB_ID, {"trust_remote_code": True, "revision": "abc"})]
    assert model.network is miewid and not miewid.training
    assert (model.model_id, model.input_size) == (HUB_ID, (440, 440))
    assert model.default_layer == "backbone.blocks.3"


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (OSError("We couldn't connect"), ModelNotFound, "could not be fetched.*check the name and the conn"),
        (ConnectError("down"), ModelNotFound, "could not be fetched"),
        (AttributeError("no all_tied_weights_keys"), ModelError, "by the code it brings.*all_tied_weights"),
    ],
    ids=["offline", "httpx", "outdated-code"],
)
def test_failures_of_the_hub_are_clear(catalogue, monkeypatch, raised, error, message):
    fake_transformers(monkeypatch, raised)
    with pytest.raises(ModelError, match=message) as caught:
        catalogue.load(HUB_ID, trust_remote_code=True)
    assert type(caught.value) is error and caught.value.__cause__ is raised


def test_hub_object_that_is_no_network_is_an_error(catalogue, monkeypatch):
    fake_transformers(monkeypatch, "a string")
    with pytest.raises(ModelError, match="loaded as str"):
        catalogue.load(HUB_ID, trust_remote_code=True)


def test_missing_transformers_names_the_extra(catalogue, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pairx-plugin\[miewid\]"):
        catalogue.load(HUB_ID, trust_remote_code=True)


CUSTOM_CODE = """
    import torch
    from transformers import PretrainedConfig, PreTrainedModel


    class TinyConfig(PretrainedConfig):
        model_type = "tiny-embedder"

        def __init__(self, width=5, image_size=(24, 32), **kwargs):
            super().__init__(**kwargs)
            self.width, self.image_size = width, image_size


    class TinyModel(PreTrainedModel):
        config_class = TinyConfig

        def __init__(self, config):
            super().__init__(config)
            self.conv = torch.nn.Conv2d(3, config.width, 3, padding=1)
            self.post_init()

        def _init_weights(self, module):
            pass

        def forward(self, images):
            return self.conv(images).mean((2, 3))
"""


@pytest.fixture
def folder_with_code(tmp_path, save_tensors, write_config) -> Path:
    folder = tmp_path / "tiny_embedder"
    folder.mkdir()
    (folder / "modeling_tiny.py").write_text(textwrap.dedent(CUSTOM_CODE), encoding="utf-8")
    write_config(folder, {
        "model_type": "tiny-embedder", "width": 5, "image_size": [24, 32], "architectures": ["TinyModel"],
        "auto_map": {"AutoConfig": "modeling_tiny.TinyConfig", "AutoModel": "modeling_tiny.TinyModel"},
    })
    state = {"conv.weight": torch.full((5, 3, 3, 3), 0.25), "conv.bias": torch.arange(5.0)}
    save_tensors(state, folder / "model.safetensors")
    return folder


def test_folder_with_code_loads_through_transformers_when_trusted(folder_with_code, tmp_path):
    pytest.importorskip("transformers", reason="needs transformers")
    script = f"""
        import json, numpy, sys
        from pairx_plugin.models import ModelCatalogue
        model = ModelCatalogue().load({str(folder_with_code)!r}, trust_remote_code=True)
        chip = numpy.full((24, 32, 3), 200, dtype=numpy.uint8)
        print("RESULT" + json.dumps([type(model.network).__name__, model.input_size, model.network.training,
                          model.network.conv.bias.tolist(), model.embed([chip]).shape, model.default_layer]))
    """
    # A process of its own: transformers keeps the code it imports, and reads the folder for it once.
    environment = {
        "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": "",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment, capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    result = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    assert json.loads(result[6:]) == ["TinyModel", [24, 32], False, [0.0, 1.0, 2.0, 3.0, 4.0], [1, 5], None]


def test_folder_with_code_is_read_as_miewid_weights_without_consent(
    folder_with_code, catalogue, small_backbone, monkeypatch
):
    monkeypatch.setattr(miewid_files, "CANDIDATES", (small_backbone,))
    monkeypatch.setitem(sys.modules, "transformers", None)
    for consent in ({}, {"trust_remote_code": False}, {"trust_remote_code": "false"}):
        with pytest.raises(ModelError, match="fit no known backbone"):
            catalogue.load(folder_with_code, **consent)
