"""Known models by id: shipped, on a disk, on the hub, or a bare backbone. Built when they are asked for."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import MissingExtra, ModelError, ModelNotFound, SettingsError, nearest
from .backbones import create_bare_timm, create_bare_torchvision
from .checkpoints import SUFFIXES, load_state_dict, read_state_dict
from .checks import cause_of
from .embedding import EmbeddingModel
from .file_stamps import cache_key, files_beside, stamps_of
from .hub import load_from_hub
from .hugging_face import load_vision_model
from .layers import MIN_CELLS
from .miewid_files import find_weights, load_miewid, read_config

SAMPLE_PACKAGE = "pairx_sample_data"

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
_SETTINGS = ("input_size", "mean", "std", "preprocess", "channel_order", "default_layer")
_ANY_SOURCE = (*_SETTINGS, "device", "trust_remote_code")
# The MiewID layer that WildMe's tools draw; only where it has enough cells for matches.
_MIEWID_LAYER, _MIEWID_STRIDE = "backbone.blocks.3", 16

Loaded = tuple[nn.Module, dict[str, Any], list[str]]


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What a model id stands for.

    Attributes:
        model_id: the id.
        source: "shipped", "hub", "file", "timm", "torchvision" or "transformers".
        summary: one sentence for people.
        options: names that :meth:`ModelCatalogue.load` takes for it.
        needs: extras of this distribution to install for it.
        runs_foreign_code: whether loading it runs code that comes with the weights.
    """

    model_id: str
    source: str
    summary: str
    options: tuple[str, ...]
    needs: tuple[str, ...]
    runs_foreign_code: bool = False


_HUB_SUMMARIES = {
    "conservationxlabs/miewid-msv3": "MiewID multispecies v3 for 440 x 440 pixels, through transformers.",
    "conservationxlabs/miewid-msv2": "MiewID multispecies v2 for 440 x 440 pixels, through transformers.",
}
# source: what it is, its own options, the extra that brings its packages
_SOURCES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "shipped": ("A small MiewID-shaped network, trained on this project's own drawn animals.", (), "sample"),
    "file": ("A MiewID checkpoint on this machine.", ("model_name", "config"), "models"),
    "hub": ("A model on the Hugging Face hub, through transformers.", ("revision",), "miewid"),
    "timm": ("A timm backbone, random unless pretrained=True.", ("pretrained", "checkpoint"), "models"),
    "torchvision": ("A torchvision backbone, likewise.", ("pretrained", "checkpoint"), "models"),
    "transformers": ("A vision model of transformers, from the hub or a folder.", ("pooling", "revision"), "miewid"),
}
_LIBRARIES = ("timm", "torchvision", "transformers")


class ModelCatalogue:
    """Loads models by id and keeps them for its own lifetime, so that one process loads each once.

    Ids: ``sample`` (the shipped checkpoint), the path of a MiewID checkpoint file or folder, a Hugging Face
    id such as ``conservationxlabs/miewid-msv3``, ``timm:NAME``, ``torchvision:NAME``, and ``transformers:ID`` for a
    vision model that needs no code of its own, such as ``transformers:facebook/dinov2-base``.

    Args:
        sample_folder: folder of the shipped checkpoint; found in the sample data's package when None.
    """

    def __init__(self, *, sample_folder: Path | None = None) -> None:
        self._sample_folder = sample_folder
        self._loaded: dict[Any, tuple[Any, EmbeddingModel]] = {}
        self._lock = threading.RLock()

    def ids(self) -> list[str]:
        """Return the ids that are known by name; paths and the libraries' names come on top."""
        return ["sample", *_HUB_SUMMARIES]

    def describe(self, model_id: str | Path) -> ModelDescription:
        """Say what an id stands for, without loading it.

        Raises:
            ModelNotFound: nothing is known under that id.
        """
        text = str(model_id)
        source = self._source(text)
        summary, options, needs = _SOURCES[source]
        summary = _HUB_SUMMARIES.get(text, summary)
        return ModelDescription(
            model_id=text, source=source, summary=summary, options=(*_ANY_SOURCE, *options), needs=(needs,),
            runs_foreign_code=source == "hub",
        )

    def load(self, id_or_path: str | Path, **overrides: Any) -> EmbeddingModel:
        """Load a model, or return it if it was loaded with the same overrides and its files have not changed.

        Args:
            id_or_path: see :class:`ModelCatalogue`.
            **overrides: settings of :class:`EmbeddingModel` (`input_size`, `mean`, `std`, `preprocess`,
                `channel_order`, `default_layer`) instead of the model's own; `device`; and by source
                `trust_remote_code` and `revision` (hub), `model_name` and `config` (checkpoints), `pretrained` and
                `checkpoint` (timm, torchvision), `pooling` and `revision` (transformers). None stands for "not given".

        Returns:
            The model in evaluation mode, its weights as float32 unless the hub gives others.

        Raises:
            ModelNotFound: the id is unknown, or its files are missing or could not be fetched.
            ModelError: the weights do not load.
            SettingsError: an override has an unknown name, or a value that it cannot have.
            MissingExtra: a package that this source needs is missing.
        """
        text = str(id_or_path)
        given = {name: value for name, value in overrides.items() if value is not None}
        description = self.describe(text)
        for name in given:
            if name not in description.options:
                raise SettingsError(
                    f"model option {name!r} does not apply to {text!r}{nearest(name, description.options)}; "
                    f"known options: {', '.join(description.options)}"
                )
        _check_values(given)
        with self._lock:
            key, stamps = cache_key(text, given), stamps_of(self._files(text, description.source, given))
            if key is not None and key in self._loaded and self._loaded[key][0] == stamps:
                return self._loaded[key][1]
            model = self._load(text, description.source, given)
            if key is not None:
                self._loaded[key] = (stamps, model)
            return model

    def clear(self) -> None:
        """Forget the loaded models; their memory is freed when no one else holds them."""
        with self._lock:
            self._loaded.clear()

    def _source(self, text: str) -> str:
        if text == "sample":
            return "shipped"
        prefix, colon, name = text.partition(":")
        if colon and prefix in _LIBRARIES and name:
            return prefix
        if text and Path(text).expanduser().exists():
            return "file"
        if text.lower().endswith(SUFFIXES) or text.startswith(("/", "./", "../", "~")) or "\\" in text:
            raise ModelNotFound(f"there is no file or folder {text!r}; check the path of the checkpoint")
        if _HUB_ID.match(text):
            return "hub"
        raise ModelNotFound(
            f"model {text!r} is unknown{nearest(text, self.ids())}; known: {', '.join(self.ids())}, "
            "'timm:NAME', 'torchvision:NAME', 'transformers:ID', or the path of a MiewID checkpoint such as "
            "./model.safetensors"
        )

    def _load(self, text: str, source: str, given: dict[str, Any]) -> EmbeddingModel:
        loaders: dict[str, Callable[[str, dict[str, Any]], Loaded]] = {
            "shipped": self._load_sample, "file": _load_file, "hub": _load_hub,
            "timm": _load_bare, "torchvision": _load_bare, "transformers": _load_vision,
        }
        network, settings, notes = loaders[source](text, given)
        settings = {**settings, **{name: given[name] for name in _SETTINGS if name in given}}
        network = _moved(network, given.get("device")).eval()
        model = EmbeddingModel(network, model_id=text, notes=notes, **settings)
        if model.default_layer is None:
            model.default_layer = _miewid_layer(model)
        return model

    def _load_sample(self, text: str, given: dict[str, Any]) -> Loaded:
        try:
            return load_miewid(self._sample())
        except MissingExtra as error:  # the sample's extra brings what else the sample host needs
            raise MissingExtra(
                error.package, extra="sample", purpose="the sample model", cause=error.__cause__
            ) from error

    def _sample(self) -> Path:
        folder = self._sample_folder
        if folder is None:
            spec = find_spec(SAMPLE_PACKAGE)
            places = list(spec.submodule_search_locations or ()) if spec is not None else []
            folder = Path(places[0]) / "checkpoint" if places else None
        if folder is None or not folder.is_dir():
            raise ModelNotFound(
                "the sample checkpoint is not installed; install the distribution with its sample data, or "
                "give the path of a checkpoint"
            )
        return folder

    def _files(self, text: str, source: str, given: dict[str, Any]) -> list[Path]:
        """Return the files behind a model: another content is another model."""
        if source == "hub":
            return []
        if source == "transformers":
            folder = Path(text.partition(":")[2]).expanduser()
            return files_beside(folder) if folder.is_dir() else []
        if source == "shipped":
            return files_beside(self._sample())
        path, config = (text if source == "file" else given.get("checkpoint")), given.get("config")
        files = [] if path is None else files_beside(Path(path).expanduser())
        return [*files, Path(config)] if isinstance(config, (str, Path)) and Path(config).is_file() else files


def _load_file(text: str, given: dict[str, Any]) -> Loaded:
    path = Path(text).expanduser()
    if given.get("trust_remote_code") is True and _brings_code(path):
        network, settings = load_from_hub(str(path), trust_remote_code=True)
        return network, settings, ["Loaded by the code in its folder, through transformers."]
    return load_miewid(path, model_name=given.get("model_name"), config=given.get("config"))


def _brings_code(path: Path) -> bool:
    config = path / "config.json"
    return config.is_file() and "auto_map" in read_config(config)


def _load_hub(text: str, given: dict[str, Any]) -> Loaded:
    network, settings = load_from_hub(
        text, trust_remote_code=given.get("trust_remote_code", False), revision=given.get("revision")
    )
    return network, settings, ["Loaded by the repository's own code, through transformers."]


def _load_vision(text: str, given: dict[str, Any]) -> Loaded:
    return load_vision_model(
        text.partition(":")[2], pooling=given.get("pooling", "class"), revision=given.get("revision")
    )


def _load_bare(text: str, given: dict[str, Any]) -> Loaded:
    library, _, name = text.partition(":")
    create = create_bare_timm if library == "timm" else create_bare_torchvision
    network, settings = create(name, pretrained=bool(given.get("pretrained", False)))
    notes = []
    if "checkpoint" in given:
        path = find_weights(Path(given["checkpoint"]).expanduser())
        dropped = load_state_dict(network, read_state_dict(path), source=path.name)
        if dropped:
            notes.append(f"Left out of {path.name}, as embeddings do not need it: {', '.join(dropped)}.")
    elif not given.get("pretrained"):
        notes.append(
            "The weights are random: embeddings mean nothing. Pass pretrained=True or checkpoint=PATH, on the "
            "command line as --model-option pretrained=true or --model-option checkpoint=PATH."
        )
    return network, settings, notes


def _check_values(given: dict[str, Any]) -> None:
    """Refuse what would be taken for something else: any text but the empty one is true, "off" too."""
    pretrained, checkpoint = given.get("pretrained", False), given.get("checkpoint", "")
    if pretrained not in (True, False):
        raise SettingsError(f"model option 'pretrained' must be true or false, not {pretrained!r}")
    if not isinstance(checkpoint, (str, os.PathLike)):
        raise SettingsError(f"model option 'checkpoint' must be the path of a file, not {checkpoint!r}")
    if pretrained and checkpoint:
        raise SettingsError(
            f"model options 'pretrained' and 'checkpoint' ({os.fspath(checkpoint)!r}) both say where the weights come "
            f"from; leave one of them out"
        )
    layer = given.get("default_layer", "")
    if not isinstance(layer, str):
        raise SettingsError(f"model option 'default_layer' must be the key of a layer, a text, not {layer!r}")


def _moved(network: nn.Module, device: Any) -> nn.Module:
    if device is None:
        return network
    try:
        return network.to(device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ModelError(
            f"the model cannot be moved to the device {device!r} ({cause_of(error)}); use 'cpu'"
        ) from error


def _miewid_layer(model: EmbeddingModel) -> str | None:
    enough = min(model.input_size) >= MIN_CELLS * _MIEWID_STRIDE
    has_layer = _MIEWID_LAYER in dict(model.network.named_modules())
    return _MIEWID_LAYER if enough and has_layer else None
