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
from PIL import Image
from torch import nn

from pairx_plugin.errors import MissingExtra, ModelError, ModelNotFound
from pairx_plugin.models import ModelCatalogue, miewid_files

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
        with pytest.raises(ModelError) as caught:
            catalogue.load(HUB_ID, **consent)
        message = str(caught.value)
        assert f"trust_remote_code is {consent.get('trust_remote_code', False)!r}." in message
        assert f"'{HUB_ID}'" in message and "config.json and model.safetensors into a folder" in message
        for way in ("--model-option trust_remote_code=true", "'source'", "trust_remote_code=True in Python"):
            assert way in message
    assert calls == []


@pytest.mark.parametrize(
    "arguments",
    [["layers", HUB_ID], ["run", "host.toml"], ["explain", "a.png", "a.png", "--model", HUB_ID]],
    ids=lambda arguments: arguments[0],
)
def test_consent_is_given_on_the_command_line_as_the_message_says(arguments, tmp_path, monkeypatch):
    testing = pytest.importorskip("typer.testing", reason="needs the extra 'cli'")
    from pairx_plugin.cli.app import app

    calls = fake_transformers(monkeypatch, ConnectError("as far as it should come"))
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("a.png")
    rows = ("file_path,x,y,w,h,theta,name", "a.png,0,0,64,64,0,A", "a.png,0,0,32,32,0,A")
    Path("annotations.csv").write_text("\n".join(rows), "utf-8")
    Path("host.toml").write_text(f'annotations = "annotations.csv"\nmodel = "{HUB_ID}"\n', "utf-8")
    refused = testing.CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2 and "--model-option" in refused.output and calls == []
    testing.CliRunner().invoke(app, [*arguments, "--model-option", "trust_remote_code=true"])
    assert calls == [(HUB_ID, {"trust_remote_code": True})]


def test_consent_is_given_in_a_services_configuration_as_the_message_says(monkeypatch, miewid):
    service = pytest.importorskip("pairx_plugin.hosts.ml_service.configuration", reason="needs the extra 'serve'")
    calls = fake_transformers(monkeypatch, miewid)
    source = {"source": HUB_ID, "trust_remote_code": True}
    [found] = service.ServiceConfig.from_mapping({"models": {"ours": source}}).models.values()
    assert ModelCatalogue().load(found.where, **found.options).network is miewid
    assert calls == [(HUB_ID, {"trust_remote_code": True})]


def test_review_page_loads_a_runs_model_with_the_options_of_its_own_command(monkeypatch, tmp_path, miewid):
    review_source = pytest.importorskip("pairx_plugin.hosts.local.review_source", reason="needs the extra 'serve'")
    calls = fake_transformers(monkeypatch, miewid)
    url = f"sqlite:///{tmp_path}/reviews.sqlite3"
    with review_source.ReviewDatabase(url) as database:
        facts = {"model_id": HUB_ID, "model_fingerprint": "x", "explain": False, "n_annotations": 0}
        database.begin_run(config={"model": HUB_ID}, **facts)
    with review_source.LocalReviewSource(url) as source, pytest.raises(ModelError, match="trust_remote_code is False"):
        source.load_model()
    with review_source.LocalReviewSource(url, model_options={"trust_remote_code": True}) as consenting:
        assert consenting.load_model().network is miewid
    assert calls == [(HUB_ID, {"trust_remote_code": True})]


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
