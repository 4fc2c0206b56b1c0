"""Which versions are installed, read from their metadata, so that nothing is imported for it."""

from __future__ import annotations

from importlib import metadata

__all__ = ["plugin_version", "version_of"]


def version_of(package: str) -> str | None:
    """Return the version of a distribution; None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def plugin_version() -> str:
    """Return the version of this distribution; "unknown" where it runs from a folder that nobody installed."""
    return version_of("pairx-plugin") or "unknown"
