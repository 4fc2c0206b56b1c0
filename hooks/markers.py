"""The name under which hosts and plugins find each other, and the two decorators that carry it."""

from __future__ import annotations

from typing import Final

import pluggy

__all__ = ["ENTRY_POINT_GROUP", "PROJECT_NAME", "hookimpl", "hookspec"]

#: pluggy's project name, in snake case because it becomes part of attribute names
PROJECT_NAME: Final = "match_review"

#: distributions that bring a plugin name it in this group of their entry points
ENTRY_POINT_GROUP: Final = "match_review"

hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
