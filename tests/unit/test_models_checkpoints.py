"""MiewID checkpoints: every layout of a file loads, and nothing is read into the wrong place."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from pairx_plugin.models import MiewIdNetwork, miewid_files

timm = pytest.importorskip("timm", reason="needs timm")
pytest.importorskip("safetensors.torch", reason="needs safetensors")


def plain(state):
    return state


def nested(state):
    return {"epoch": 3, "state_dict": state, "optimizer": {"step": 10}}


def full(state):
    return {"model_state_dict": state, "epoch": 3}


def dataparallel(state):
    return {f"module.{key}": value for key, value in state.items()}


def wrapped_twice(state):
    return {"model": {f"model.module.{key}": value for key, value in state.items()}}


def averaged(state):
    return {"n_averaged": torch.tensor(4), **dataparallel(state)}


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (plain, "model.bin"), (nested, "model.pt"), (full, "model.pth"), (dataparallel, "m.ckpt"),
        (wrapped_twice, "model.PTH"), (averaged, "swa.bin"), (plain, "model.safetensors"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_layout_of_a_file_loads(
    tmp_path, state, miewid, catalogue, save_tensors, write_config, same_weights, chip, layout, name
):
    save_tensors(layout(state), tmp_path / name)
    write_config(tmp_path)
    model = catalogue.load(tmp_path / name)
    assert same_weights(model, state)
    assert model.input_size == (64, 48) and not model.network.training and model.dtype == torch.float32
    with torch.no_grad():
        assert np.array_equal(model.embed([chip]), miewid(model.tensor([chip])).numpy())


def test_hugging_face_folder_loads_without_transformers(
    tmp_path, state, catalogue, save_tensors, write_config, same_weights, small_backbone, monkeypatch
):
    save_tensors(state, tmp_path / "model.safetensors")
    content = {"architectures": ["MiewIdNet"], "model_name": small_backbone, "image_size": 72, "use_fc": False}
    write_config(tmp_path, content)
    monkeypatch.setitem(sys.modules, "transformers", None)
    model = catalogue.load(str(tmp_path))
    assert same_weights(model, state) and model.input_size == (72, 72)
    assert model.model_id == str(tmp_path)


def test_float16_checkpoint_becomes_float32(tmp_path, state, catalogue, save_tensors, write_config):
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_tensors(half, tmp_path / "model.safetensors")
    write_config(tmp_path)
    model = catalogue.load(tmp_path)
    assert model.dtype == torch.float32
    loaded = model.network.state_dict()["backbone.conv_stem.weight"]
    assert torch.equal(loaded, half["backbone.conv_stem.weight"].float())


def test_training_heads_are_left_out_and_listed(
    tmp_path, state, catalogue, save_tensors, write_config, same_weights
):
    names = ("final.weight", "backbone.classifier.bias", "arcface.kernel")
    heads = {name: torch.zeros(9, 4) for name in names}
    save_tensors({**state, **heads}, tmp_path / "model.bin")
    write_config(tmp_path)
    model = catalogue.load(tmp_path)
    assert same_weights(model, state)
    note = next(note for note in model.notes if "Left out" in note)
    assert all(name in note for name in heads)


def test_yaml_configuration_is_read(tmp_path, state, catalogue, save_tensors, small_backbone):
    pytest.importorskip("yaml", reason="needs PyYAML")
    save_tensors(state, tmp_path / "model.bin")
    (tmp_path / "config.yaml").write_text(
        f"data:\n  image_size: [56, 64]\nmodel_params:\n  model_name: {small_backbone}\n", encoding="utf-8"
    )
    assert catalogue.load(tmp_path / "model.bin").input_size == (56, 64)


def test_configuration_of_the_same_stem_goes_before_the_general_one(
    tmp_path, state, config, catalogue, save_tensors, write_config
):
    save_tensors(state, tmp_path / "whales.bin")
    write_config(tmp_path, {**config, "data": {"image_size": [32, 32]}})
    write_config(tmp_path, {**config, "data": {"image_size": [96, 96]}}, name="whales.json")
    assert catalogue.load(tmp_path / "whales.bin").input_size == (96, 96)


def test_overrides_go_before_the_configuration(tmp_path, state, config, catalogue, save_tensors, write_config):
    save_tensors(state, tmp_path / "model.bin")
    extra = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "default_layer": "backbone.blocks.1"}
    write_config(tmp_path, {**config, **extra})
    model = catalogue.load(tmp_path / "model.bin")
    assert model.preprocessing.mean == (0.1, 0.2, 0.3) and model.default_layer == "backbone.blocks.1"
    overrides = {"input_size": (80, 80), "default_layer": "backbone.blocks.2", "device": "cpu"}
    other = catalogue.load(tmp_path / "model.bin", **overrides)
    assert other.input_size == (80, 80) and other.default_layer == "backbone.blocks.2"
    assert other.preprocessing.mean == (0.1, 0.2, 0.3)


def test_configuration_may_be_given_as_a_mapping_or_a_path(
    tmp_path, state, config, catalogue, save_tensors, write_config
):
    save_tensors(state, tmp_path / "model.bin")
    assert catalogue.load(tmp_path / "model.bin", config=config).input_size == (64, 48)
    (tmp_path / "elsewhere").mkdir()
    write_config(tmp_path / "elsewhere", {**config, "data": {"image_size": 40}})
    model = catalogue.load(tmp_path / "model.bin", config=str(tmp_path / "elsewhere" / "config.json"))
    assert model.input_size == (40, 40)
    write_config(tmp_path / "elsewhere", {**config, "data": {"image_size": 48}})
    model = catalogue.load(tmp_path / "model.bin", config=str(tmp_path / "elsewhere" / "config.json"))
    assert model.input_size == (48, 48)


def test_backbone_is_guessed_from_the_shapes_without_a_configuration(
    tmp_path, state, catalogue, save_tensors, same_weights, small_backbone, monkeypatch
):
    monkeypatch.setattr(miewid_files, "CANDIDATES", ("no_such_model", "resnet18", small_backbone))
    save_tensors(state, tmp_path / "model.bin")
    model = catalogue.load(tmp_path / "model.bin")
    assert same_weights(model, state) and model.input_size == (440, 440)
    assert any(f"fit {small_backbone!r}" in note for note in model.notes)


@pytest.mark.skipif(not timm.is_model("tf_efficientnetv2_b0"), reason="needs timm's tf_efficientnetv2_b0")
def test_guess_tells_the_candidates_apart():
    state = MiewIdNetwork("tf_efficientnetv2_b1").state_dict()
    shares = miewid_files._fitting_backbones(state)
    assert shares["tf_efficientnetv2_b1"] == 1.0 and shares["tf_efficientnetv2_b0"] < 1.0
    assert shares["efficientnetv2_rw_m"] < 1.0


def test_miewid_layer_is_the_default_where_its_grid_has_enough_cells(
    tmp_path, state, catalogue, save_tensors, write_config
):
    save_tensors(state, tmp_path / "model.bin")
    write_config(tmp_path)
    assert catalogue.load(tmp_path, input_size=(440, 440)).default_layer == "backbone.blocks.3"
    assert catalogue.load(tmp_path, input_size=(224, 224)).default_layer is None


def test_mirroring_that_a_host_must_do_is_noted(tmp_path, state, config, catalogue, save_tensors, write_config):
    save_tensors(state, tmp_path / "model.bin")
    write_config(tmp_path, {**config, "test": {"fliplr": True, "fliplr_view": ["left"]}})
    assert any("mirrors chips of the viewpoints ['left']" in note for note in catalogue.load(tmp_path).notes)
