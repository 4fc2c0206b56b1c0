"""Everything that can be wrong with a checkpoint or its configuration, and what the error says."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from pairx_plugin.errors import ModelError, ModelNotFound
from pairx_plugin.models import miewid_files

timm = pytest.importorskip("timm", reason="needs timm")
pytest.importorskip("safetensors.torch", reason="needs safetensors")


def test_missing_file_is_not_taken_for_a_hub_id(tmp_path, catalogue):
    for missing in (tmp_path / "gone.safetensors", "models/gone.bin", "./gone"):
        with pytest.raises(ModelNotFound, match="there is no file or folder"):
            catalogue.load(missing)


def test_empty_folder_and_folder_of_many_say_so(tmp_path, state, catalogue, save_tensors):
    with pytest.raises(ModelNotFound, match="no checkpoint"):
        catalogue.load(tmp_path)
    save_tensors(state, tmp_path / "a.bin")
    save_tensors(state, tmp_path / "b.bin")
    with pytest.raises(ModelNotFound, match=r"2 checkpoints \(a.bin, b.bin\)"):
        catalogue.load(tmp_path)


@pytest.mark.parametrize("name", ["a.safetensors", "a.bin"])
def test_pointer_of_git_lfs_is_told_from_a_damaged_file(tmp_path, catalogue, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(ModelError, match=f"{name}' is a pointer of Git LFS.*git lfs pull"):
        catalogue.load(tmp_path / name)


class Unwelcome:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return (print, ("code of the checkpoint ran",))


@pytest.mark.parametrize(
    "content",
    [Unwelcome(), {"state_dict": {}, "hook": Unwelcome()}, nn.Conv2d(3, 3, 1)],
    ids=["object", "beside-weights", "whole-module"],
)
def test_pickled_objects_are_refused_and_do_not_run(tmp_path, catalogue, capsys, content):
    torch.save(content, tmp_path / "model.bin")
    with pytest.raises(ModelError, match=r"other objects than tensors.*torch\.save\(model\.state_dict\(\)"):
        catalogue.load(tmp_path / "model.bin")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["model.bin", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", None], ids=["empty", "text", "truncated"])
def test_damaged_files_are_unreadable(tmp_path, state, catalogue, save_tensors, name, content):
    path = tmp_path / name
    save_tensors(state, path)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(ModelError, match="cannot be read"):
        catalogue.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, r"no tensors under its keys \['epoch'\]"), ([1, 2], "holds a list"),
        (torch.ones(2), "holds a Tensor"),
    ],
    ids=["numbers", "list", "tensor"],
)
def test_file_without_a_state_dict_says_what_it_holds(tmp_path, catalogue, content, message):
    torch.save(content, tmp_path / "model.bin")
    with pytest.raises(ModelError, match=message):
        catalogue.load(tmp_path / "model.bin")


def test_plain_pickle_is_refused(tmp_path, catalogue):
    (tmp_path / "model.bin").write_bytes(pickle.dumps({"a": Unwelcome()}, protocol=2))
    with pytest.raises(ModelError, match="other objects than tensors"):
        catalogue.load(tmp_path / "model.bin")


def test_missing_tensors_are_named_with_what_would_fit(
    tmp_path, state, config, catalogue, save_tensors, write_config, same_weights, small_backbone, monkeypatch
):
    monkeypatch.setattr(miewid_files, "CANDIDATES", (small_backbone,))
    save_tensors(state, tmp_path / "model.bin")
    write_config(tmp_path, {**config, "model_params": {"model_name": "resnet18"}})
    with pytest.raises(ModelError, match=rf"does not fit MiewIdNetwork with the backbone 'resnet18'.*missing "
                                         rf"\(backbone\.conv1\.weight.*its shapes fit model_name='{small_backbone}'"):
        catalogue.load(tmp_path)
    assert same_weights(catalogue.load(tmp_path, model_name=small_backbone), state)


def test_one_missing_tensor_is_an_error(
    tmp_path, state, catalogue, save_tensors, write_config, small_backbone, monkeypatch
):
    monkeypatch.setattr(miewid_files, "CANDIDATES", (small_backbone,))
    del state["bn.running_var"]
    save_tensors(state, tmp_path / "model.bin")
    write_config(tmp_path)
    with pytest.raises(ModelError, match=r"1 of \d+ tensors are missing \(bn\.running_var\)"):
        catalogue.load(tmp_path)


def test_other_shapes_and_unknown_tensors_are_named(
    tmp_path, state, catalogue, save_tensors, write_config, small_backbone, monkeypatch
):
    monkeypatch.setattr(miewid_files, "CANDIDATES", (small_backbone,))
    state["bn.bias"] = torch.zeros(3)
    state["backbone.extra.weight"] = torch.zeros(3)
    save_tensors(state, tmp_path / "model.bin")
    write_config(tmp_path)
    with pytest.raises(ModelError, match=r"shape \(bn\.bias \(3,\) instead of .*unknown \(backbone\.extra"):
        catalogue.load(tmp_path)


def test_bare_backbone_checkpoint_points_to_timm(tmp_path, catalogue, save_tensors, small_backbone, monkeypatch):
    monkeypatch.setattr(miewid_files, "CANDIDATES", (small_backbone,))
    save_tensors(timm.create_model(small_backbone).state_dict(), tmp_path / "model.bin")
    with pytest.raises(ModelError, match="timm:NAME"):
        catalogue.load(tmp_path / "model.bin")


def test_weights_with_nan_are_refused(tmp_path, state, catalogue, save_tensors, write_config):
    state["bn.weight"][2] = float("nan")
    save_tensors(state, tmp_path / "model.bin")
    write_config(tmp_path)
    with pytest.raises(ModelError, match=r"NaN or infinity in bn\.weight"):
        catalogue.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: {**config, "model_params": {**config["model_params"], "use_fc": True}}, "use_fc"),
        (lambda config: {"use_fc": True, "model_name": config["model_params"]["model_name"]}, "use_fc"),
        (lambda config: {**config, "data": {"image_size": "big"}}, "image_size"),
        (lambda config: [1], "must hold a mapping"),
    ],
    ids=["use_fc", "use_fc-flat", "size", "list"],
)
def test_unusable_configuration_says_why(
    tmp_path, state, config, catalogue, save_tensors, write_config, change, message
):
    save_tensors(state, tmp_path / "model.bin")
    write_config(tmp_path, change(config))
    with pytest.raises(ModelError, match=message):
        catalogue.load(tmp_path)


def test_configuration_that_is_no_json_is_an_error(tmp_path, state, catalogue, save_tensors):
    save_tensors(state, tmp_path / "model.bin")
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="'config.json' cannot be read"):
        catalogue.load(tmp_path)


def test_other_kinds_of_file_are_refused_by_their_ending(tmp_path, catalogue):
    (tmp_path / "model.onnx").write_bytes(b"anything")
    with pytest.raises(ModelError, match=r"must end in one of \.safetensors, .*got '\.onnx'"):
        catalogue.load(tmp_path / "model.onnx")
