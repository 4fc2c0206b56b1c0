"""What was fitted on the host's own decisions: files beside its database, which settings find by themselves.

A file holds for one network, and a host has one for each of several species; so files are named by the network.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...calibration import SUFFIX
from ...settings import AUTO_LAYER, Settings

__all__ = ["calibration_file", "files_of", "layer_choice_file", "with_own_files"]

_FOLDER, _LAYERS = "pairx", ".layers.json"


def layer_choice_file(ibs: Any, model_id: str) -> Path:
    """Return where the choice of a layer for a network lies, whether or not it is there."""
    return _file(ibs, model_id, _LAYERS)


def calibration_file(ibs: Any, model_id: str) -> Path:
    """Return where the calibration for a network lies, likewise."""
    return _file(ibs, model_id, SUFFIX)


def with_own_files(settings: Settings, ibs: Any, model_id: str) -> Settings:
    """Return settings that name the host's own files, where there are any and they name none themselves.

    Args:
        ibs: the host's controller.
        model_id: of the network that ranks.
    """
    path = calibration_file(ibs, model_id)
    if not settings.calibration and path.is_file():
        settings = replace(settings, calibration=str(path))
    path = layer_choice_file(ibs, model_id)
    if AUTO_LAYER in settings.layers and not settings.layer_choice and path.is_file():
        settings = replace(settings, layer_choice=str(path))
    return settings


def files_of(settings: Settings) -> dict[str, str]:
    """Return the files that settings name, by setting: parameters hold their digests alone."""
    named = {"calibration": settings.calibration, "layer_choice": settings.layer_choice}
    return {name: path for name, path in named.items() if path}


def _file(ibs: Any, model_id: str, suffix: str) -> Path:
    name = re.sub(r"[^A-Za-z0-9._-]", "_", model_id).lstrip(".")[:100] or "model"
    return Path(ibs.get_ibsdir()) / _FOLDER / f"{name}{suffix}"
