"""Settings as a request of the hook contract, and back: what a host asks of whichever plugin explains."""

from __future__ import annotations

import dataclasses

from pairx_hooks import ExplanationRequest

from .settings import Settings

__all__ = ["request_of", "settings_of"]

_FIELDS = ("explainer", "top_k", "layers", "pictures", "picture_format")


def request_of(settings: Settings, *, top_k: int | None = None) -> ExplanationRequest:
    """Return what a host asks for with these settings; the flag itself is the host's and stays there.

    Args:
        top_k: how many candidates to explain, where the settings do not decide that.
    """
    rest = {name: value for name, value in settings.to_json().items() if name not in ("explain", *_FIELDS)}
    request = ExplanationRequest(**{name: getattr(settings, name) for name in _FIELDS}, settings=rest)
    return request if top_k is None else dataclasses.replace(request, top_k=top_k)


def settings_of(request: ExplanationRequest) -> Settings:
    """Return the settings of a request, which may come from a host that knows only some of them.

    Raises:
        SettingsError: an unknown name, or a value that does not fit.
    """
    named = {name: getattr(request, name) for name in _FIELDS}
    if not request.pictures:
        del named["pictures"]
    return Settings.from_mapping({**named, **request.settings})
