"""Bare backbones from timm and torchvision, without their classifiers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..errors import ModelError, ModelNotFound, nearest
from .checks import cause_of
from .optional import import_optional

# Where torchvision's families keep the classifier.
_TORCHVISION_HEADS = ("fc", "classifier", "heads", "head")


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Build networks inside: initial weights draw numbers, and the caller's sequence goes on as if not."""
    with torch.random.fork_rng(devices=[]):
        yield


def create_timm(
    name: str, *, pretrained: bool = False, image_size: tuple[int, int] | None = None, **kwargs: Any
) -> nn.Module:
    """Create a timm model as timm does, with its classifier, in training mode.

    Args:
        name: timm's name, with or without the tag of its weights.
        pretrained: fetch weights; needs a network connection or timm's cache.
        image_size: (height, width) for models built for one size; ignored by the others.
        **kwargs: further arguments of ``timm.create_model``.

    Raises:
        ModelNotFound: timm knows no such model, or the weights could not be fetched.
        MissingExtra: timm cannot be imported.
    """
    timm = import_optional("timm", extra="models", purpose=f"the backbone {name!r}")
    if not timm.is_model(name.split(".")[0]):
        raise ModelNotFound(
            f"timm {timm.__version__} has no model "
            f"{name!r}{nearest(name.split('.')[0], timm.list_models())}; timm.list_models() lists them"
        )
    with random_state_kept():
        try:
            if image_size is not None:
                return _sized_timm(timm, name, image_size, pretrained=pretrained, **kwargs)
            return timm.create_model(name, pretrained=pretrained, **kwargs)
        except Exception as error:  # downloads, caches and constructors fail in many ways
            raise _creation_error(f"timm model {name!r}", error, pretrained) from error


def _sized_timm(timm: Any, name: str, image_size: tuple[int, int], **kwargs: Any) -> nn.Module:
    try:
        return timm.create_model(name, img_size=image_size, **kwargs)
    except TypeError:  # convolutional networks take any size, and no such argument
        return timm.create_model(name, **kwargs)


def create_bare_timm(name: str, *, pretrained: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """Create a timm model that returns pooled features, and the preprocessing its weights were made for."""
    network = create_timm(name, pretrained=pretrained, num_classes=0)
    config = getattr(network, "pretrained_cfg", None) or getattr(network, "default_cfg", None) or {}
    settings = {key: config[key] for key in ("mean", "std") if config.get(key)}
    size = config.get("input_size")
    if size:
        settings["input_size"] = tuple(size[-2:])
    return network, settings


def create_bare_torchvision(name: str, *, pretrained: bool = False) -> tuple[nn.Module, dict[str, Any]]:
    """Create a torchvision classification model with Identity for its classifier, and its preprocessing.

    Raises:
        ModelNotFound: torchvision knows no such model, or the weights could not be fetched.
        ModelError: the model keeps its classifier in an unknown place.
        MissingExtra: torchvision cannot be imported, or was made for another torch.
    """
    models = import_optional("torchvision", extra="models", purpose=f"the backbone {name!r}").models
    known = models.list_models(module=models)
    if name not in known:
        raise ModelNotFound(
            f"torchvision has no classification model {name!r}{nearest(name, known)}; "
            f"torchvision.models.list_models() lists them"
        )
    weights = models.get_model_weights(name).DEFAULT if pretrained else None
    with random_state_kept():
        try:
            # GoogLeNet and Inception warn without an explicit choice, and add outputs that embeddings do not
            # need.
            choose = weights is None and name in ("googlenet", "inception_v3")
            network = models.get_model(name, weights=weights, **({"init_weights": True} if choose else {}))
        except Exception as error:
            raise _creation_error(f"torchvision model {name!r}", error, pretrained) from error
    heads = [head for head in _TORCHVISION_HEADS if isinstance(getattr(network, head, None), nn.Module)]
    if not heads:
        raise ModelError(
            f"torchvision model {name!r} has its classifier under none of {_TORCHVISION_HEADS}, so it cannot "
            "be taken off; pass your own torch.nn.Module that returns the embedding"
        )
    setattr(network, heads[0], nn.Identity())
    return network, _torchvision_settings(weights)


def _torchvision_settings(weights: Any) -> dict[str, Any]:
    if weights is None:
        return {"input_size": (224, 224)}
    preset = weights.transforms()
    size = int(preset.crop_size[0])
    return {"input_size": (size, size), "mean": tuple(preset.mean), "std": tuple(preset.std)}


def _creation_error(what: str, error: Exception, pretrained: bool) -> ModelError:
    cause = cause_of(error)
    if pretrained:
        return ModelNotFound(
            f"the pretrained weights of {what} could not be fetched ({cause}); "
            f"check the connection, or give a file with checkpoint=PATH"
        )
    return ModelError(f"{what} could not be built ({cause})")
