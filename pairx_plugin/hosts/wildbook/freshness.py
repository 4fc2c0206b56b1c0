"""Whether a kept explanation is still about the animals and the network of today.

A query checks everything, since it has the network and the chips at hand. A reader asks for less: the host's own
fingerprints of both annotations, and the network's file, cost nothing to look at.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

from ...installed import plugin_version

__all__ = ["changed", "staleness", "visual_uuids"]


def staleness(record: Mapping[str, Any], ibs: Any) -> str | None:
    """Return why a record is stale, None where nothing says that it is.

    Args:
        record: as it is kept, with the host's facts under ``host``.
        ibs: the host's controller.
    """
    host = record.get("host")
    if not isinstance(host, Mapping) or not isinstance(host.get("key"), Mapping):
        return "the record does not say what it was made from"
    reason = _of_annotations(host, ibs) or _of_file(host.get("model_file"))
    if reason is None and host["key"].get("plugin_version") != plugin_version():
        reason = f"it was made by pairx-plugin {host['key'].get('plugin_version')}, this is {plugin_version()}"
    return reason


def changed(record: Mapping[str, Any], ibs: Any) -> str:
    """Return why evidence that was kept no longer holds, in the review page's words: a code, or an empty string."""
    host = record.get("host")
    if not isinstance(host, Mapping):
        return ""
    if _of_annotations(host, ibs):
        return "CHIP_CHANGED"
    return "MODEL_CHANGED" if _of_file(host.get("model_file")) else ""


def _of_annotations(host: Mapping[str, Any], ibs: Any) -> str | None:
    uuids = [str(host.get("qannot_uuid")), str(host.get("dannot_uuid"))]
    now = visual_uuids(ibs, uuids)
    for side, before, today in zip(("query", "candidate"), host.get("visual_uuids") or (None, None), now):
        if today is None:
            return f"the annotation of the {side} is not in the database any more"
        if today != before:
            return f"the box or the photograph of the {side} has changed since"
    mirrored = host.get("mirrored")
    if isinstance(mirrored, Mapping):
        for side, before, viewpoint in zip(("query", "candidate"), mirrored["sides"], _viewpoints(ibs, uuids)):
            if (viewpoint in mirrored["viewpoints"]) != before:
                return f"the viewpoint of the {side} has changed since, by which its network reads it mirrored or not"
    return None


def visual_uuids(ibs: Any, uuids: list[str]) -> list[str | None]:
    """Return the host's fingerprints of annotations as they are now; None for one that is gone."""
    aids = ibs.get_annot_aids_from_uuid([uuid.UUID(text) for text in uuids])
    return [None if aid is None else str(ibs.get_annot_visual_uuids(aid)) for aid in aids]


def _viewpoints(ibs: Any, uuids: list[str]) -> list[str | None]:
    aids = ibs.get_annot_aids_from_uuid([uuid.UUID(text) for text in uuids])
    found: list[str | None] = ibs.get_annot_viewpoints(aids)
    return found


def _of_file(file: Any) -> str | None:
    if not isinstance(file, Mapping) or not file.get("mtime_ns"):
        return None
    try:
        status = os.stat(str(file.get("path")))
    except OSError:
        return None  # another machine of the host may have read it from another place
    if (status.st_mtime_ns, status.st_size) != (file.get("mtime_ns"), file.get("size")):
        return f"the network's file {file.get('path')} has changed since"
    return None
