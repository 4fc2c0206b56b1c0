"""The calibration of a review database: a file beside it, which settings find by themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ...calibration import SUFFIX
from ...settings import Settings

__all__ = ["calibration_path", "with_calibration"]


def calibration_path(url: str) -> Path | None:
    """Return where the calibration of a database lies; None for one that is no file.

    >>> calibration_path("sqlite:////data/reviews.sqlite3").name
    'reviews.calibration.json'
    """
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        return None
    if address.get_backend_name() != "sqlite" or not address.database or address.database == ":memory:":
        return None
    path = Path(address.database)
    return path.with_name(path.stem + SUFFIX)


def with_calibration(settings: Settings, url: str) -> Settings:
    """Return settings that name the database's calibration, where there is one and they name none themselves."""
    path = calibration_path(url)
    if settings.calibration or path is None or not path.is_file():
        return settings
    return replace(settings, calibration=str(path))
