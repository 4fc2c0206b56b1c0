"""What was measured on a review database: files beside it, which settings find by themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ...calibration import SUFFIX
from ...settings import AUTO_LAYER, Settings

__all__ = ["calibration_path", "layer_choice_path", "with_calibration"]

_LAYERS = ".layers.json"


def calibration_path(url: str) -> Path | None:
    """Return where the calibration of a database lies; None for one that is no file.

    >>> calibration_path("sqlite:////data/reviews.sqlite3").name
    'reviews.calibration.json'
    """
    return _beside(url, SUFFIX)


def layer_choice_path(url: str) -> Path | None:
    """Return where the choice of a layer lies, likewise."""
    return _beside(url, _LAYERS)


def _beside(url: str, suffix: str) -> Path | None:
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        return None
    if address.get_backend_name() != "sqlite" or not address.database or address.database == ":memory:":
        return None
    path = Path(address.database)
    return path.with_name(path.stem + suffix)


def with_calibration(settings: Settings, url: str) -> Settings:
    """Return settings that name the database's calibration, where there is one and they name none themselves.

    The same of the choice of a layer, where the setting `layers` asks for one.
    """
    path = calibration_path(url)
    if not settings.calibration and path is not None and path.is_file():
        settings = replace(settings, calibration=str(path))
    path = layer_choice_path(url)
    if AUTO_LAYER in settings.layers and not settings.layer_choice and path is not None and path.is_file():
        settings = replace(settings, layer_choice=str(path))
    return settings
