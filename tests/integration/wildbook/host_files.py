"""What a host needs on disk: the sample network where its plugin looks for it, and a database of sample photographs."""

from __future__ import annotations

import builtins
import importlib
import json
import os
import sys
import types
from pathlib import Path

import host_process  # noqa: F401  first, in every process

from pairx_sample_data import load_annotations, path_of

MODEL_NAME = "tf_efficientnetv2_b0"
N_INDIVIDUALS, N_EACH = 3, 3
SPECIES = "striped_horse"
LAYER = "backbone.blocks.3"


def write_models(folder: Path, *, seeded: str | None = None, size: int = 224) -> None:
    """Write a network as the host's plugins read it, and point this and later processes to it.

    Args:
        folder: where.
        seeded: timm's name of a backbone, for a network of MiewID's shape with random weights; the trained sample
            network where it is not given.
        size: height and width of its input.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    weights, yaml, values = folder / "miew_id.sample.bin", folder / "miew_id.sample.yaml", folder / "sample.json"
    torch.save(_weights(seeded), str(weights))
    model_name = seeded or MODEL_NAME
    mirrored = {"fliplr": True, "fliplr_view": ["right", "frontright"]}
    values.write_text(json.dumps({"model_name": model_name, "image_size": [size, size], **mirrored}))
    yaml.write_text(_YAML.format(model_name=model_name, size=size))
    entry = {"model_url": str(weights), "config_url": str(values)}
    (folder / "models.json").write_text(json.dumps({"default": entry}))
    (folder / "model_bin_config.json").write_text(json.dumps({"default": str(weights)}))
    (folder / "model_config.json").write_text(json.dumps({"default": str(yaml)}))
    os.environ["STAND_IN_MODELS"] = str(folder / "models.json")


def write_species(species: str, size: int) -> None:
    """Give a species the network that there is, with an input of another size."""
    folder = Path(os.environ["STAND_IN_MODELS"]).parent
    weights, yaml, values = (folder / name for name in ("miew_id.sample.bin", f"{species}.yaml", f"{species}.json"))
    first = json.loads((folder / "sample.json").read_text())
    values.write_text(json.dumps({**first, "image_size": [size, size]}))
    yaml.write_text(_YAML.format(model_name=first["model_name"], size=size))
    found = {"model_url": str(weights), "config_url": str(values)}
    for name, entry in (("models", found), ("model_bin_config", str(weights)), ("model_config", str(yaml))):
        file = folder / f"{name}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), species: entry}))


def _weights(seeded: str | None):
    if seeded is None:
        from safetensors.torch import load_file

        return load_file(str(path_of("checkpoint")))
    from pairx_plugin.benchmark.networks import seeded_network

    return seeded_network(seeded, seed=0).state_dict()


def import_plugin():
    """Import the MiewID plugin, the stand-in or the real one, and have it find its files."""
    _fill_submodule()
    plugin = importlib.import_module("wbia_miew_id._plugin")
    if hasattr(plugin, "_load_config") and not hasattr(plugin, "_test_files"):
        folder = Path(os.environ["STAND_IN_MODELS"]).parent
        plugin._test_files = folder

        def here(path, *args, **kwargs):  # the real plugin reads two files of a fixed folder
            path = str(path)
            return builtins.open(folder / Path(path).name if path.startswith("/v_config/") else path, *args, **kwargs)

        plugin.open = here
        plugin.ut.grab_file_url = lambda url, *args, **kwargs: url
    return plugin


def _fill_submodule():
    """Stand in for the real plugin's git submodule, where a checkout comes without: our plugin never calls it."""
    folder = os.environ.get("PAIRX_MIEW_ID")
    if not folder or (Path(folder) / "wbia_miew_id/visualization/pairx/core.py").is_file():
        return
    for name, function in (("core", "explain"), ("xai_dataset", "get_pretransform_img")):
        module = types.ModuleType(f"wbia_miew_id.visualization.pairx.{name}")
        setattr(module, function, _not_there)
        sys.modules.setdefault(module.__name__, module)


def _not_there(*args, **kwargs):
    raise NotImplementedError("the checkout of wbia-plugin-miew-id has no submodule 'pairx'")


def some_rows(species=(SPECIES,), n_individuals=N_INDIVIDUALS, n_each=N_EACH):
    """Return annotations of the sample data: `n_each` of each of `n_individuals` of each species."""
    rows = {name: {} for name in species}
    for row in load_annotations():
        if row.species in rows:
            rows[row.species].setdefault(row.name, []).append(row)
    return [row for of in rows.values() for name in sorted(of)[:n_individuals] for row in of[name][:n_each]]


def make_database(folder: Path, chosen=None):
    """Make a database of sample photographs and return its controller, open."""
    import wbia

    ibs = wbia.opendb(dbdir=str(folder), allow_newdir=True, use_cache=False, web=False)
    chosen = some_rows() if chosen is None else chosen
    gids = ibs.add_images([str(row.file_path) for row in chosen])
    ibs.add_annots(
        gids,
        bbox_list=[(row.x, row.y, row.w, row.h) for row in chosen],
        theta_list=[row.theta for row in chosen],
        species_list=[row.species for row in chosen],
        name_list=[row.name for row in chosen],
        viewpoint_list=[row.viewpoint for row in chosen],
    )
    return ibs


_YAML = """\
exp_name: sample
project_name: sample
checkpoint_dir: none
comment: none
data:
  images_dir: none
  crop_bbox: false
  image_size: [{size}, {size}]
  preprocess_images: {{apply: false, preprocessed_dir: none, force_apply: false}}
  train: {{anno_path: none}}
  val: {{anno_path: none}}
  test: {{anno_path: none}}
engine: {{train_batch_size: 4, valid_batch_size: 4, epochs: 1, seed: 0, device: cpu, use_wandb: false}}
scheduler_params:
  {{lr_start: 1.0e-5, lr_max: 1.0e-3, lr_min: 1.0e-6, lr_ramp_ep: 1, lr_sus_ep: 0, lr_decay: 0.8}}
model_params:
  {{model_name: {model_name}, use_fc: false, fc_dim: 512, dropout: 0.0, loss_module: arcface, s: 30.0, margin: 0.5,
   ls_eps: 0.0, theta_zero: 0.785, pretrained: false, n_classes: 2}}
test: {{batch_size: 4, fliplr: true, fliplr_view: [right, frontright]}}
swa_params: {{swa_lr: 0.002, swa_start: 1}}
"""
