"""What is compared: an explainer with settings, under a name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ExplainerNotFound, SettingsError, nearest
from ..settings import Settings

__all__ = ["Variant", "parse_variant", "plain_variant"]

_NAME = re.compile(r"^[\w.+-]{1,60}$")
_NOT_COMPARED = ("explain", "top_k", "pictures", "picture_format", "palette", "batch_size", "calibration")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of the comparison.

    Attributes:
        baseline: whether it is a null baseline, which knows nothing of the pair and is expected to fail.
    """

    name: str
    explainer: str
    settings: Settings
    baseline: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "name": self.name,
            "explainer": self.explainer,
            "settings": self.settings.params(),
            "baseline": self.baseline,
        }


def plain_variant(explainer: str, *, seed: int = 0, baseline: bool = False) -> Variant:
    """Return an explainer with its usual settings, without pixel maps, which no figure looks at."""
    settings = Settings(explainer=explainer, k_colors=0, seed=seed)
    return Variant(name=explainer, explainer=explainer, settings=settings, baseline=baseline)


def parse_variant(text: str, known: Collection[str], *, seed: int = 0) -> Variant:
    """Read ``name:key=value,...``.

    Keys are those of the settings, ``explainer`` (by default the name itself where it is one, else pairx), and
    ``options.KEY`` for an explainer's own; ``layers`` takes keys joined by ``+``.

    Args:
        known: ids of the explainers there are.

    Raises:
        SettingsError: it cannot be read, or a setting does not fit.
        ExplainerNotFound: there is no such explainer.
    """
    name, _, rest = text.partition(":")
    name = name.strip()
    if not _NAME.match(name):
        raise SettingsError(
            f"--variant must be NAME:KEY=VALUE,..., such as corrected:mode=corrected, not {text!r}; a name is made of "
            f"letters, digits, '.', '_', '+' and '-'"
        )
    values, options = _values([part for part in rest.split(",") if part.strip()], text)
    explainer = str(values.pop("explainer", name if name in known else "pairx"))
    if explainer not in known:
        raise ExplainerNotFound(
            f"explainer '{explainer}' of --variant {text!r} is not registered{nearest(explainer, known)}; registered: "
            f"{', '.join(sorted(known))}"
        )
    settings = Settings.from_mapping({"k_colors": 0, "seed": seed, **values, "explainer": explainer})
    if options:
        settings = Settings.from_mapping({"options": options}, base=settings)
    return Variant(name=name, explainer=explainer, settings=settings)


def _values(parts: Sequence[str], text: str) -> tuple[dict[str, Any], Mapping[str, Any]]:
    values: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for part in parts:
        key, found, value = (piece.strip() for piece in part.partition("="))
        if not found or not key:
            raise SettingsError(f"--variant {text!r} has {part!r}, which is no KEY=VALUE")
        if key in _NOT_COMPARED:
            raise SettingsError(f"--variant {text!r} sets {key!r}, which changes no figure; leave it out")
        if key.startswith("options."):
            options[key.removeprefix("options.")] = _plain(value)
        else:
            values[key] = tuple(value.split("+")) if key == "layers" else value
    return values, options


def _plain(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)
