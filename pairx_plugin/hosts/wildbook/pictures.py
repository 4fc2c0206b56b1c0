"""The host's three versions of a match picture, taken from the explanations that are kept.

The host draws a pair by ``render_single_result`` and keeps what it returns under a name that knows neither model nor
chip. So the pictures come from our records, and whenever a record is written the host's own copies are dropped.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairx_hooks import Status

from ...rendering.pictures import decode
from .answers import ANSWER_KEY
from .annotations import uuid_text
from .freshness import staleness
from .parameters import options_of
from .seams import harmless
from .shelf import Shelf

__all__ = ["forget_thumbs", "reference_of", "version_of", "with_our_pictures"]

logger = logging.getLogger(__name__)

_DRAWN = {"matches": (True, False), "heatmask": (False, True), "clean": (False, False)}


def reference_of(request: Any) -> str:
    """Return the host's ``dannot_extern_reference`` of a request: the hash of its configuration."""
    import utool

    return str(utool.hashstr27(request.get_cfgstr()))


def version_of(arguments: Mapping[str, Any]) -> str:
    """Return which version the host asks for, from the arguments of its renderer.

    >>> version_of({"draw_fmatch": True}), version_of({"heatmask": True}), version_of({})
    ('matches', 'heatmask', 'clean')
    """
    if arguments.get("heatmask"):
        return "heatmask"
    return "matches" if arguments.get("draw_fmatch") or arguments.get("show_matches") else "clean"


def with_our_pictures(render: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the host's ``render_single_result(cm, aid, **kwargs)``; the host draws plain what is not explained."""

    def render_single_result(request: Any, match: Any, aid: Any, *args: Any, **kwargs: Any) -> Any:
        if not options_of(request).explain:
            return render(request, match, aid, *args, **kwargs)
        picture = harmless("taking an explanation's picture", kept_picture, request, match, aid, version_of(kwargs))
        if picture is not None:
            return picture
        return render(request, match, aid, *args, **{**kwargs, "use_gradcam": False})

    return render_single_result


def kept_picture(request: Any, match: Any, aid: int, version: str) -> NDArray[np.uint8] | None:
    """Return a picture of a pair as the host takes it, (H, W, 3) uint8 blue first; None where the pair has none.

    After a query, only what that query explained is shown. A match that comes from elsewhere, as on the host's
    review page, is looked up among what is kept, and a stale picture is not shown.
    """
    options = options_of(request)
    if options.failure is not None:
        return None
    ibs = request.ibs
    query, candidate = uuid_text(ibs, match.qaid), uuid_text(ibs, aid)
    shelf = Shelf(ibs.cachedir, reference_of(request))
    if hasattr(match, ANSWER_KEY):
        record = _record_in(getattr(match, ANSWER_KEY), candidate)
    else:
        record = shelf.read_pair(query, candidate)
        if record is not None and staleness(record, ibs) is not None:
            record = None
    if record is None or not Status(record["status"]).usable:
        return None
    found = shelf.picture_of(record, query, candidate, version)
    return None if found is None else np.ascontiguousarray(decode(found[0])[..., ::-1])


def forget_thumbs(request: Any, match: Any, aid: int) -> None:
    """Remove the host's cached pictures of a pair under the configuration of `request`, which has the flag on."""
    from wbia.gui.id_review_api import get_match_thumb_fname

    folder = request.ibs.get_match_thumbdir()
    for draw_matches, draw_heatmask in _DRAWN.values():
        for orientation in ("horizontal", "vertical"):
            name = get_match_thumb_fname(
                match,
                aid,
                request,
                view_orientation=orientation,
                draw_matches=draw_matches,
                draw_heatmask=draw_heatmask,
            )
            try:
                os.unlink(os.path.join(folder, name))
            except FileNotFoundError:
                pass
            except OSError as error:
                logger.warning("the host's picture %s is out of date and cannot be removed: %s", name, error)


def _record_in(answer: Mapping[str, Any] | None, candidate: str) -> Mapping[str, Any] | None:
    records = answer["explanations"] if answer else ()
    return next((record for record in records if record["host"]["dannot_uuid"] == candidate), None)
