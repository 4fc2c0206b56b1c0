"""The model catalogue: ids, options, the shipped sample, bare backbones, and what it keeps."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from pairx_plugin.errors import MissingExtra, ModelError, ModelNotFound, SettingsError
from pairx_plugin.models import ModelCatalogue, optional

timm = pytest.importorskip("timm", reason="needs timm")
pytest.importorskip("safetensors.torch", reason="needs safetensors")


@pytest.mark.parametrize(
    ("model_id", "message"),
    [
        ("sampel", "nearest: 'sample'"), ("", "known: sample"), ("timm:", "is unknown"),
        ("onnx:resnet18", "is unknown"),
        ("timm:resnet1", "timm .* has no model 'resnet1'; nearest: 'resnet"),
        ("torchvision:resnet19", "no classification model 'resnet19'; nearest: 'resnet1"),
        ("MiewID", "path of a MiewID checkpoint"),
    ],
)
def test_unknown_id_names_the_nearest(catalogue, model_id, message):
    with pytest.raises(ModelNotFound, match=message):
        catalogue.load(model_id)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": 0.5}, "mean must be three finite numbers.*got 0.5"),
        ({"std": 0.2}, "std must be three finite numbers.*got 0.2"),
        ({"default_layer": 3}, "'default_layer' must be the key of a layer, a text, not 3"),
        ({"pretrained": True, "checkpoint": "a.pt"}, r"'pretrained' and 'checkpoint' \('a.pt'\) both say"),
    ],
)
def test_option_that_cannot_be_is_refused_before_anything_is_fetched(catalogue, options, message):
    with pytest.raises(SettingsError, match=message):
        catalogue.load("timm:resnet18", **options)


def test_unknown_option_names_the_nearest_and_all(catalogue):
    message = "'pretraned' does not apply to 'timm:resnet18'; nearest: 'pretrained'"
    with pytest.raises(SettingsError, match=message):
        catalogue.load("timm:resnet18", pretraned=True)
    with pytest.raises(SettingsError, match="'pretrained' does not apply to 'sample'"):
        catalogue.load("sample", pretrained=True)


@pytest.mark.parametrize("value", ["off", "true", 2], ids=repr)
def test_pretrained_must_be_true_or_false(catalogue, value):
    with pytest.raises(SettingsError, match="'pretrained' must be true or false, not "):
        catalogue.load("timm:resnet18", pretrained=value)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_checkpoint_must_be_a_path(catalogue, library):
    with pytest.raises(SettingsError, match="'checkpoint' must be the path of a file, not 123"):
        catalogue.load(f"{library}:resnet18", checkpoint=123)


def test_descriptions_of_all_known_ids_load_nothing(catalogue, monkeypatch):
    monkeypatch.setattr(optional, "import_module", lambda name: pytest.fail(f"{name} imported"))
    descriptions = {model_id: catalogue.describe(model_id) for model_id in catalogue.ids()}
    assert descriptions["sample"].source == "shipped" and not descriptions["sample"].runs_foreign_code
    msv3 = descriptions["conservationxlabs/miewid-msv3"]
    assert (msv3.source, msv3.runs_foreign_code, msv3.needs) == ("hub", True, ("miewid",))
    assert catalogue.describe("timm:resnet18").source == "timm"


def test_unusable_device_is_an_error(catalogue):
    with pytest.raises(ModelError, match="'nowhere'"):
        catalogue.load("timm:resnet18", device="nowhere")


def test_sample_loads_from_its_folder_as_float32(tmp_path, state, config, save_tensors, write_config):
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_tensors(half, tmp_path / "miewid_sample.safetensors")
    write_config(tmp_path, {**config, "default_layer": "backbone.blocks.2"})
    model = ModelCatalogue(sample_folder=tmp_path).load("sample")
    assert model.model_id == "sample" and model.dtype == torch.float32
    assert model.input_size == (64, 48) and model.default_layer == "backbone.blocks.2"


def test_sample_is_found_in_the_package_of_the_sample_data(
    tmp_path, state, save_tensors, write_config, same_weights, monkeypatch
):
    folder = tmp_path / "drawn_animals" / "checkpoint"
    folder.mkdir(parents=True)
    save_tensors(state, folder / "miewid_sample.safetensors")
    write_config(folder)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("pairx_plugin.models.catalogue.SAMPLE_PACKAGE", "drawn_animals")
    assert same_weights(ModelCatalogue().load("sample"), state)


def test_sample_without_its_package_is_a_clear_error(monkeypatch):
    monkeypatch.setattr("pairx_plugin.models.catalogue.SAMPLE_PACKAGE", "no_such_package")
    with pytest.raises(ModelNotFound, match="sample checkpoint is not installed"):
        ModelCatalogue().load("sample")


def test_sample_that_is_not_installed_is_a_clear_error(tmp_path):
    with pytest.raises(ModelNotFound, match="sample checkpoint is not installed"):
        ModelCatalogue(sample_folder=tmp_path / "gone").load("sample")


@pytest.mark.parametrize(
    "raised",
    [ImportError("no timm"), RuntimeError("operator torchvision::nms does not exist")],
    ids=["missing", "broken"],
)
def test_missing_or_broken_package_names_the_extra(
    tmp_path, state, save_tensors, write_config, monkeypatch, raised
):
    save_tensors(state, tmp_path / "miewid_sample.safetensors")
    write_config(tmp_path)
    imported = optional.import_module

    def fail(name: str):
        if name == "timm":
            raise raised
        return imported(name)

    monkeypatch.setattr(optional, "import_module", fail)
    message = rf"the sample model needs.*'timm'.*{raised.args[0]}.*pairx-plugin\[sample\]"
    with pytest.raises(MissingExtra, match=message):
        ModelCatalogue(sample_folder=tmp_path).load("sample")
    with pytest.raises(MissingExtra, match=r"pairx-plugin\[models\]"):
        ModelCatalogue().load("timm:resnet18")


def test_same_request_gives_the_same_model_until_its_file_changes(
    tmp_path, state, catalogue, save_tensors, write_config, same_weights
):
    path = tmp_path / "model.bin"
    save_tensors(state, path)
    write_config(tmp_path)
    first = catalogue.load(path)
    assert catalogue.load(str(path)) is first
    assert catalogue.load(path, input_size=[64, 64]) is not first
    assert catalogue.load(path, input_size=(64, 64)) is catalogue.load(path, input_size=[64, 64])
    state["bn.bias"] += 1
    save_tensors({**state, "final.weight": torch.zeros(1)}, path)
    second = catalogue.load(path)
    assert second is not first and same_weights(second, state)
    catalogue.clear()
    assert catalogue.load(path) is not second


def test_bare_timm_backbone_returns_features_with_its_own_preprocessing(catalogue, chip):
    model = catalogue.load("timm:resnet18", input_size=(64, 64))
    assert model.embed([chip]).shape == (1, 512)
    assert not model.network.training and any("random" in note for note in model.notes)
    inception = catalogue.load("timm:tf_efficientnetv2_b0")
    assert inception.preprocessing.mean == tuple(inception.network.pretrained_cfg["mean"])
    assert inception.input_size == tuple(inception.network.pretrained_cfg["input_size"][1:])


@pytest.mark.parametrize(("name", "features"), [("resnet18", 512), ("efficientnet_b0", 1280)])
def test_bare_torchvision_backbone_returns_features(catalogue, chip, name, features):
    pytest.importorskip("torchvision", reason="needs torchvision")
    model = catalogue.load(f"torchvision:{name}", input_size=(64, 64))
    assert model.embed([chip]).shape == (1, features)


def test_bare_backbone_takes_a_checkpoint_with_its_classifier_left_out(tmp_path, catalogue, save_tensors, chip):
    original = timm.create_model("resnet18", num_classes=3).eval()
    state = {f"module.{key}": value for key, value in original.state_dict().items()}
    save_tensors(state, tmp_path / "resnet.pt")
    model = catalogue.load("timm:resnet18", checkpoint=tmp_path / "resnet.pt", input_size=(64, 64))
    assert any("fc.weight" in note for note in model.notes)
    with torch.no_grad():
        features = original.forward_head(original.forward_features(model.tensor([chip])), pre_logits=True)
    np.testing.assert_allclose(model.embed([chip]), features.numpy(), atol=1e-6)


def test_pretrained_weights_that_cannot_be_fetched_are_a_clear_error(catalogue, monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("We couldn't connect")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelNotFound, match=r"'resnet18' could not be fetched \(OSError.*checkpoint=PATH"):
        catalogue.load("timm:resnet18", pretrained=True)


def test_pretrained_torchvision_weights_bring_their_preprocessing_or_a_clear_error(catalogue, monkeypatch):
    models = pytest.importorskip("torchvision", reason="needs torchvision").models
    wanted, get_model = [], models.get_model

    def offline(name, weights=None, **options):
        wanted.append(weights)
        if len(wanted) > 1:
            raise OSError("We couldn't connect")
        return get_model(name, **options)

    monkeypatch.setattr(models, "get_model", offline)
    model = catalogue.load("torchvision:efficientnet_v2_s", pretrained=True)
    assert wanted == [models.EfficientNet_V2_S_Weights.DEFAULT]
    assert model.input_size == (384, 384) and model.notes == ()
    with pytest.raises(ModelNotFound, match=r"'resnet18' could not be fetched \(OSError"):
        catalogue.load("torchvision:resnet18", pretrained=True)


def test_checkpoint_of_a_bare_backbone_must_exist_and_fit(tmp_path, catalogue, save_tensors):
    with pytest.raises(ModelNotFound, match="there is no checkpoint file"):
        catalogue.load("timm:resnet18", checkpoint=tmp_path / "gone.pt")
    save_tensors(timm.create_model("resnet18").state_dict(), tmp_path / "resnet.pt")
    with pytest.raises(ModelError, match="does not fit ResNet: .* tensors are missing"):
        catalogue.load("timm:resnet34", checkpoint=tmp_path / "resnet.pt")


def test_importing_the_package_imports_none_of_the_optional_libraries():
    script = """
        import sys
        import pairx_plugin.models.layers, pairx_plugin.models.catalogue
        from pairx_plugin.models import EmbeddingModel, MiewIdNetwork
        print([name for name in ("timm", "torchvision", "transformers", "safetensors", "cv2", "yaml") if name
        in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_public_names_are_all_importable_and_others_are_not():
    from pairx_plugin import models

    assert all(hasattr(models, name) for name in models.__all__) and set(models.__all__) <= set(dir(models))
    assert sorted(models.__all__) == sorted(models._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'EmbedingModel'"):
        models.EmbedingModel
