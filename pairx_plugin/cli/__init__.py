"""The command line, ``pairx-plugin``: each command a module, all of them light to import."""

from __future__ import annotations

from .app import app

__all__ = ["app"]
