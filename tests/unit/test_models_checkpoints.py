"""MiewID checkpoints: every layout of a file loads, and nothing is read into the wrong place."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pairx_plugin.models import MiewIdNetwork, ModelCatalogue, miewid_files

timm = pytest.importorskip("timm", reason="needs timm")
safetensors = pytest.importorskip("safetensors.torch", reason="needs safetensors")
torch.set_num_threads(1)

SMALL = "test_efficientnet" if timm.is_model("test_efficientnet") else "tf_efficientnetv2_b0"
CONFIG = {
    "data": {"image_size": [64, 48], "crop_bbox": True},
    "model_params": {"model_name": SMALL, "use_fc": False},
    "test": {"fliplr": False},
}
CHIP = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network() -> MiewIdNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = MiewIdNetwork(SMALL)
        network.pooling.p.data.fill_(2.5)
        return network.eval()


@pytest.fixture
def state(network) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.fixture
def catalogue() -> ModelCatalogue:
    return ModelCatalogue()


def write_config(folder: Path, content: object = CONFIG, name: str = "config.json") -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def same_weights(model, state) -> bool:
    own = model.network.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[key], state[key]) for key in own)


def save_plain(state, path):
    torch.save(state, path)


def save_nested(state, path):
    torch.save({"epoch": 3, "state_dict": state, "optimizer": {"step": 10}}, path)


def save_full(state, path):
    torch.save({"model_state_dict": state, "epoch": 3}, path)


def save_dataparallel(state, path):
    torch.save({f"module.{key}": value for key, value in state.items()}, path)


def save_wrapped_twice(state, path):
    torch.save({"model": {f"model.module.{key}": value for key, value in state.items()}}, path)


def save_averaged(state, path):
    inside = {f"module.{key}": value for key, value in state.items()}
    torch.save({"n_averaged": torch.tensor(4), **inside}, path)


def save_safetensors(state, path):
    safetensors.save_file(state, str(path))


@pytest.mark.parametrize(
    ("save", "name"),
    [
        (save_plain, "model.bin"), (save_nested, "model.pt"), (save_full, "model.pth"),
        (save_dataparallel, "m.ckpt"), (save_wrapped_twice, "model.PTH"), (save_averaged, "swa.bin"),
        (save_safetensors, "model.safetensors"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_layout_of_a_file_loads(tmp_path, state, network, catalogue, save, name):
    save(state, tmp_path / name)
    write_config(tmp_path)
    model = catalogue.load(tmp_path / name)
    assert same_weights(model, state)
    assert model.input_size == (64, 48) and not model.network.training and model.dtype == torch.float32
    with torch.no_grad():
        assert np.array_equal(model.embed([CHIP]), network(model.tensor([CHIP])).numpy())


def test_hugging_face_folder_loads_without_transformers(tmp_path, state, catalogue, monkeypatch):
    save_safetensors(state, tmp_path / "model.safetensors")
    content = {"architectures": ["MiewIdNet"], "model_name": SMALL, "image_size": 72, "use_fc": False}
    write_config(tmp_path, content)
    monkeypatch.setitem(sys.modules, "transformers", None)
    model = catalogue.load(str(tmp_path))
    assert same_weights(model, state) and model.input_size == (72, 72)
    assert model.model_id == str(tmp_path)


def test_float16_checkpoint_becomes_float32(tmp_path, state, catalogue):
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_safetensors(half, tmp_path / "model.safetensors")
    write_config(tmp_path)
    model = catalogue.load(tmp_path)
    assert model.dtype == torch.float32
    loaded = model.network.state_dict()["backbone.conv_stem.weight"]
    assert torch.equal(loaded, half["backbone.conv_stem.weight"].float())


def test_training_heads_are_left_out_and_listed(tmp_path, state, catalogue):
    names = ("final.weight", "backbone.classifier.bias", "arcface.kernel")
    heads = {name: torch.zeros(9, 4) for name in names}
    save_plain({**state, **heads}, tmp_path / "model.bin")
    write_config(tmp_path)
    model = catalogue.load(tmp_path)
    assert same_weights(model, state)
    note = next(note for note in model.notes if "Left out" in note)
    assert all(name in note for name in heads)


def test_yaml_configuration_is_read(tmp_path, state, catalogue):
    pytest.importorskip("yaml", reason="needs PyYAML")
    save_plain(state, tmp_path / "model.bin")
    (tmp_path / "config.yaml").write_text(
        f"data:\n  image_size: [56, 64]\nmodel_params:\n  model_name: {SMALL}\n", encoding="utf-8"
    )
    assert catalogue.load(tmp_path / "model.bin").input_size == (56, 64)


def test_configuration_of_the_same_stem_goes_before_the_general_one(tmp_path, state, catalogue):
    save_plain(state, tmp_path / "whales.bin")
    write_config(tmp_path, {**CONFIG, "data": {"image_size": [32, 32]}})
    write_config(tmp_path, {**CONFIG, "data": {"image_size": [96, 96]}}, name="whales.json")
    assert catalogue.load(tmp_path / "whales.bin").input_size == (96, 96)


def test_overrides_go_before_the_configuration(tmp_path, state, catalogue):
    save_plain(state, tmp_path / "model.bin")
    extra = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "default_layer": "backbone.blocks.1"}
    write_config(tmp_path, {**CONFIG, **extra})
    model = catalogue.load(tmp_path / "model.bin")
    assert model.preprocessing.mean == (0.1, 0.2, 0.3) and model.default_layer == "backbone.blocks.1"
    overrides = {"input_size": (80, 80), "default_layer": "backbone.blocks.2", "device": "cpu"}
    other = catalogue.load(tmp_path / "model.bin", **overrides)
    assert other.input_size == (80, 80) and other.default_layer == "backbone.blocks.2"
    assert other.preprocessing.mean == (0.1, 0.2, 0.3)


def test_configuration_may_be_given_as_a_mapping_or_a_path(tmp_path, state, catalogue):
    save_plain(state, tmp_path / "model.bin")
    assert catalogue.load(tmp_path / "model.bin", config=CONFIG).input_size == (64, 48)
    (tmp_path / "elsewhere").mkdir()
    write_config(tmp_path / "elsewhere", {**CONFIG, "data": {"image_size": 40}})
    model = catalogue.load(tmp_path / "model.bin", config=str(tmp_path / "elsewhere" / "config.json"))
    assert model.input_size == (40, 40)
    write_config(tmp_path / "elsewhere", {**CONFIG, "data": {"image_size": 48}})
    model = catalogue.load(tmp_path / "model.bin", config=str(tmp_path / "elsewhere" / "config.json"))
    assert model.input_size == (48, 48)


def test_backbone_is_guessed_from_the_shapes_without_a_configuration(tmp_path, state, catalogue, monkeypatch):
    monkeypatch.setattr(miewid_files, "CANDIDATES", ("no_such_model", "resnet18", SMALL))
    save_plain(state, tmp_path / "model.bin")
    model = catalogue.load(tmp_path / "model.bin")
    assert same_weights(model, state) and model.input_size == (440, 440)
    assert any(f"fit {SMALL!r}" in note for note in model.notes)


@pytest.mark.skipif(not timm.is_model("tf_efficientnetv2_b0"), reason="needs timm's tf_efficientnetv2_b0")
def test_guess_tells_the_candidates_apart(tmp_path):
    state = MiewIdNetwork("tf_efficientnetv2_b1").state_dict()
    shares = miewid_files._fitting_backbones(state)
    assert shares["tf_efficientnetv2_b1"] == 1.0 and shares["tf_efficientnetv2_b0"] < 1.0
    assert shares["efficientnetv2_rw_m"] < 1.0


def test_miewid_layer_is_the_default_where_its_grid_has_enough_cells(tmp_path, state, catalogue):
    save_plain(state, tmp_path / "model.bin")
    write_config(tmp_path)
    assert catalogue.load(tmp_path, input_size=(440, 440)).default_layer == "backbone.blocks.3"
    assert catalogue.load(tmp_path, input_size=(224, 224)).default_layer is None


def test_mirroring_that_a_host_must_do_is_noted(tmp_path, state, catalogue):
    save_plain(state, tmp_path / "model.bin")
    write_config(tmp_path, {**CONFIG, "test": {"fliplr": True, "fliplr_view": ["left"]}})
    assert any("mirrors chips of the viewpoints ['left']" in note for note in catalogue.load(tmp_path).notes)
