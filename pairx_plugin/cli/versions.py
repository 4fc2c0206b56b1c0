"""``--version``: what is installed, read from metadata, so that nothing heavy is imported for it."""

from __future__ import annotations

import platform
import sys

import typer

from ..installed import plugin_version, version_of

__all__ = ["installed_versions", "print_versions"]

_PACKAGES = ("torch", "torchvision", "timm", "zennit", "numpy", "pillow", "pluggy", "transformers")
# Whichever flavour of OpenCV the host brought.
_OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


def installed_versions() -> dict[str, str]:
    """Return versions by name: this distribution's first, then Python and the packages that are there."""
    found = {"pairx-plugin": plugin_version(), "python": platform.python_version()}
    for package in (*_PACKAGES, *_OPENCV):
        version = version_of(package)
        if version is not None:
            found[package] = version
    return found


def print_versions(wanted: bool | None) -> None:
    """Print the versions and end, if they are wanted."""
    if not wanted:
        return
    for name, version in installed_versions().items():
        typer.echo(f"{name} {version}", file=sys.stdout)
    raise typer.Exit()
