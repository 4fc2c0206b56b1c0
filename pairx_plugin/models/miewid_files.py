"""MiewID checkpoints on a disk: a weights file, and a configuration beside it, or a folder of both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import MissingExtra, ModelError, ModelNotFound
from .checkpoints import SUFFIXES, StateDict, load_state_dict, read_state_dict, share_fitting
from .checks import cause_of
from .miewid import MiewIdNetwork
from .optional import import_optional

CANDIDATES = (
    "efficientnetv2_rw_m", "efficientnetv2_rw_s", "efficientnetv2_rw_t",
    "tf_efficientnetv2_b0", "tf_efficientnetv2_b1", "tf_efficientnetv2_b2", "tf_efficientnetv2_b3",
    "tf_efficientnetv2_s", "tf_efficientnetv2_m",
)
"""Backbones tried, in this order, for a checkpoint without a configuration. MiewID's own is the first."""

_WEIGHTS = ("model.safetensors", "pytorch_model.bin", "miewid_sample.safetensors")
_CONFIGS = ("config.json", "config.yaml", "config.yml")


@dataclass(frozen=True, kw_only=True)
class MiewIdConfig:
    """What a checkpoint's configuration says, as far as it matters for embedding.

    Attributes:
        model_name: timm's name of the backbone; None where nothing names it.
        settings: arguments for EmbeddingModel (input_size, mean, std, default_layer).
        image_size: size that the backbone was built for, where the configuration fixes one.
        notes: what a host must know besides, in full sentences.
    """

    model_name: str | None
    settings: dict[str, Any]
    image_size: tuple[int, int] | None
    notes: tuple[str, ...]


def find_weights(path: Path) -> Path:
    """Return the weights file: `path` itself, or the one in the folder `path`.

    Raises:
        ModelNotFound: the folder holds none, or several of which none has a usual name.
    """
    if not path.is_dir():
        return path
    named = [path / name for name in _WEIGHTS if (path / name).is_file()]
    found = sorted(entry for entry in path.iterdir() if entry.is_file() and entry.suffix.lower() in SUFFIXES)
    if not named and len(found) != 1:
        names = ", ".join(entry.name for entry in found[:4])
        what = f"{len(found)} checkpoints ({names})" if found else "no checkpoint"
        raise ModelNotFound(
            f"the folder {str(path)!r} holds {what}; give the path of one file, or name it "
            "'model.safetensors'"
        )
    return (named or found)[0]


def find_config(weights: Path) -> Path | None:
    """Return the configuration beside a weights file: of its own stem, else ``config.json`` or ``.yaml``."""
    names = [*(f"{weights.stem}.{suffix}" for suffix in ("json", "yaml", "yml")), *_CONFIGS]
    return next((weights.parent / name for name in names if (weights.parent / name).is_file()), None)


def read_config(source: Path | Mapping[str, Any]) -> Mapping[str, Any]:
    """Read a JSON or YAML configuration; a mapping is returned as it is.

    Raises:
        ModelError: it cannot be read, or is no mapping.
        MissingExtra: it is YAML, and PyYAML is missing.
    """
    if isinstance(source, Mapping):
        return source
    try:
        text = source.read_text(encoding="utf-8")
        if source.suffix.lower() == ".json":
            content = json.loads(text)
        else:
            yaml = import_optional("yaml", extra="models", purpose=f"the file {source.name!r}")
            content = yaml.safe_load(text)
    except MissingExtra:
        raise
    except Exception as error:  # YAML's errors have no common builtin
        raise ModelError(
            f"the configuration {source.name!r} cannot be read ({cause_of(error)}); check or remove it"
        ) from error
    if not isinstance(content, Mapping):
        raise ModelError(
            f"the configuration {source.name!r} must hold a mapping, got {type(content).__name__}"
        )
    return content


def parse_config(content: Mapping[str, Any]) -> MiewIdConfig:
    """Take what matters from a configuration, nested as MiewID's or flat as a Hugging Face one.

    Raises:
        ModelError: it asks for a layout that cannot be loaded.
    """
    model, data, test = (_section(content, name) for name in ("model_params", "data", "test"))
    if model.get("use_fc", content.get("use_fc")):
        raise ModelError(
            "the configuration has use_fc: true, a MiewID layout with a neck of another width (fc_dim) that "
            "is not supported; export a checkpoint trained with use_fc: false"
        )
    settings: dict[str, Any] = {}
    size = data.get("image_size", content.get("image_size"))
    if size is not None:
        settings["input_size"] = _size(size)
    for key in ("mean", "std", "channel_order", "default_layer"):
        value = content.get(key, data.get(key))
        if value is not None:
            settings[key] = tuple(value) if isinstance(value, list) else value
    notes = []
    if test.get("fliplr"):
        views = test.get("fliplr_view") or "all"
        notes.append(
            f"The configuration mirrors chips of the viewpoints {views} (test.fliplr): mirror them "
            "beforehand."
        )
    image_size = model.get("img_size")
    name = model.get("model_name", content.get("model_name"))
    return MiewIdConfig(
        model_name=str(name) if name else None,
        settings=settings,
        image_size=_size(image_size) if image_size else None,
        notes=tuple(notes),
    )


def load_miewid(
    path: Path, *, model_name: str | None = None, config: str | Path | Mapping[str, Any] | None = None
) -> tuple[nn.Module, dict[str, Any], list[str]]:
    """Load a MiewID checkpoint by our own code: no code of the checkpoint's runs.

    Args:
        path: a weights file, or a folder with one (also in the Hugging Face layout).
        model_name: timm's name of the backbone; else the configuration's; else guessed from the tensors'
            shapes.
        config: a configuration, or its path; else the file beside the weights, if there is one.

    Returns:
        The network in evaluation mode and float32, the settings for EmbeddingModel, and notes for people.

    Raises:
        ModelNotFound: no such file or backbone.
        ModelError: the checkpoint is damaged or does not fit the backbone.
    """
    weights = find_weights(path)
    state = read_state_dict(weights)
    beside = find_config(weights) if config is None else Path(config) if isinstance(config, str) else config
    parsed = parse_config(read_config(beside) if beside is not None else {})
    notes = list(parsed.notes)
    name = model_name or parsed.model_name
    if name is None:
        name = _guessed_name(state, weights.name)
        notes.append(f"No configuration names the backbone; the shapes of the weights fit {name!r}.")
    network = MiewIdNetwork(name, image_size=parsed.image_size)
    dropped = load_state_dict(network, state, source=weights.name, advice=lambda: _advice(state))
    if dropped:
        notes.append(f"Left out of {weights.name}, as embeddings do not need it: {', '.join(dropped)}.")
    return network.eval(), parsed.settings, notes


def _guessed_name(state: StateDict, source: str) -> str:
    shares = _fitting_backbones(state)
    best = max(shares, key=lambda name: shares[name])
    if shares[best] < 1.0:
        raise ModelError(
            f"checkpoint {source!r} has no configuration beside it, and its tensors fit no known backbone in "
            f"MiewID's layout (first keys: {', '.join(list(state)[:3])}); {_advice(state, shares)}"
        )
    return best


def _advice(state: StateDict, shares: Mapping[str, float] | None = None) -> str:
    """Say which backbone a checkpoint would fit; slow, so only for an error."""
    shares = _fitting_backbones(state) if shares is None else shares
    best = max(shares, key=lambda name: shares[name])
    if shares[best] == 1.0:
        return f"its shapes fit model_name={best!r}"
    if not any(key.startswith("backbone.") for key in state):
        return "no key begins with 'backbone.': for a bare backbone load 'timm:NAME' with checkpoint=PATH"
    close = f" (closest of those tried: {best!r}, {shares[best]:.0%} of it)" if shares[best] > 0 else ""
    return f"pass model_name=NAME with timm's name of its backbone{close}"


def _fitting_backbones(state: StateDict) -> dict[str, float]:
    """Share of fitting tensors for each candidate that the installed timm has; ends at the first full fit."""
    shares: dict[str, float] = {}
    for name in CANDIDATES:
        try:
            with _without_memory():
                network = MiewIdNetwork(name)
        except ModelNotFound:
            continue
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        shares[name] = share_fitting(shapes, state)
        if shares[name] == 1.0:
            break
    return shares or {CANDIDATES[0]: 0.0}


def _without_memory() -> Any:
    device = torch.device("meta")
    return device if hasattr(device, "__enter__") else nullcontext()  # a context since torch 2.0


def _section(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = content.get(name)
    return section if isinstance(section, Mapping) else {}


def _size(value: Any) -> tuple[int, int]:
    try:
        height, width = (value, value) if isinstance(value, (int, float)) else value
        return int(height), int(width)
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"image_size in the configuration must be a number or [height, width], got {value!r}"
        ) from error
