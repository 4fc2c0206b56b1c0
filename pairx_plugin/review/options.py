"""How the server is set up, apart from where its data come from."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SettingsError

__all__ = ["LANGUAGES", "VIEWS", "ReviewOptions"]

LANGUAGES = {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français", "it": "Italiano"}
VIEWS = ("plain", "lines", "colours")


@dataclass(frozen=True, kw_only=True)
class ReviewOptions:
    """How the server is set up.

    Attributes:
        token: asked of everybody who is not signed in; empty for none, on loopback or behind a host's own sign-in.
        hosts: names that the ``Host`` header may have, without port; empty for any, behind a proxy that checks it.
        secure: True where the page is reached by https, so that cookies say so.
        language: of a reader whose browser asks for none that there is.
        default_view: ``plain`` or ``lines``; colours are never first.
        k_lines, k_colors: how many matches are drawn, and carried back to pixels.
        queue_size: explanations that may wait at once.
        time_limit: seconds that one explanation may take; what is there of it by then is shown. 0 for no limit.
        memory_mb: of finished evidence that is kept.
        show_names: False for a blind test: individuals' names are left out.
        events: False where the server cannot hold a stream open; then the page looks for news by itself.

    Raises:
        SettingsError: a value is out of its range.
    """

    token: str = ""
    hosts: tuple[str, ...] = ()
    secure: bool = False
    language: str = "en"
    default_view: str = "lines"
    k_lines: int = 20
    k_colors: int = 5
    queue_size: int = 16
    time_limit: float = 300.0
    memory_mb: int = 256
    show_names: bool = True
    events: bool = True

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise SettingsError(f"no language {self.language!r}; choose from: {', '.join(LANGUAGES)}")
        if self.default_view not in ("plain", "lines"):
            raise SettingsError(f"the default view is {self.default_view!r}; it must be 'plain' or 'lines'")
        for name, least in (("k_lines", 1), ("k_colors", 0), ("queue_size", 1), ("memory_mb", 1), ("time_limit", 0)):
            if getattr(self, name) < least:
                raise SettingsError(f"'{name}' is {getattr(self, name)}; it must be {least} or more")
        if self.token and len(self.token) < 16:
            raise SettingsError("a token needs 16 characters or more; leave it out to have one made")
