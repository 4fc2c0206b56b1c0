"""Settings of an explanation: one frozen object, the same names in Python, in files and in the environment.

Every field carries its help, unit and range, from which the command line, the README's table and the checks are made.
Outside of Python a setting is called `pairx_` plus its name (``pairx_k_lines = 20``), or ``PAIRX_K_LINES`` in the
environment.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import SettingsError, nearest

__all__ = ["AUTO_LAYER", "PREFIX", "Settings"]

PREFIX = "pairx_"
AUTO_LAYER = "auto"  # instead of a layer key: see layer_choice.py

Filename = str  # a text that may be empty

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}


def _setting(default: Any, help_text: str, **checks: Any) -> Any:
    metadata = {"help": help_text, **checks}
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What to explain and how.

    Raises:
        SettingsError: a value has the wrong type, or lies outside of its range.
    """

    explain: bool = _setting(False, "the one flag: explain ranked candidates at all", shapes_evidence=False)
    explainer: str = _setting("pairx", "id of a registered explainer")
    layers: tuple[str, ...] = _setting(
        (), "layer keys, most important first; auto: chosen, see layer_choice; empty: the one suggested for the model"
    )
    layer_choice: Filename = _setting(
        "",
        "layer auto: file that `pairx-plugin choose-layer` wrote; empty for the host's own where it has one, none for "
        "the layer that is taken unasked",
        shapes_evidence=False,
    )
    top_k: int = _setting(
        5, "how many candidates are explained, best first", least=0, most=10_000, shapes_evidence=False
    )
    k_lines: int = _setting(20, "how many matches are drawn as lines", least=0, most=10_000)
    k_colors: int = _setting(5, "how many matches are carried back to pixels", least=0, most=1_000)
    pixel_tolerance: float = _setting(
        2e-3,
        "share of a match's relevance that may be cut off far from its cell, to save time; 0 for none",
        least=0.0,
        most=0.1,
    )
    mode: str = _setting(
        "reference",
        "relevance rules: the public code's numbers, or rules that conserve relevance and keep its sign",
        choices=("reference", "corrected"),
    )
    composite: str = _setting(
        "epsilon_plus",
        "relevance rule of each layer, by a name of zennit's composites: epsilon_plus, epsilon_plus_flat, "
        "epsilon_alpha2_beta1, epsilon_alpha2_beta1_flat, epsilon_gamma_box, excitation_backprop, guided_backprop, "
        "deconvnet, beta_smooth, or one that was registered with zennit",
    )
    allow_uncanonized: bool = _setting(
        False,
        "explain a network on which the relevance rules find nothing of what they look for, instead of refusing it",
        shapes_evidence=False,
    )
    channel_reduction: str = _setting(
        "sum_abs",
        "mode reference: a cell's relevance is the sum of magnitudes (WildMe's fork) or the sum's magnitude (paper)",
        choices=("sum_abs", "abs_sum"),
    )
    similarity_seed: str = _setting(
        "cosine",
        "mode reference: scale of the similarity's gradient, times the cosine (WildMe's fork) or one",
        choices=("cosine", "one"),
    )
    pictures: tuple[str, ...] = _setting(
        ("matches", "heatmask", "clean"),
        "views that are rendered",
        choices=("matches", "heatmask", "both", "clean"),
        shapes_evidence=False,
    )
    picture_format: str = _setting(
        "webp", "encoding of the pictures", choices=("png", "webp"), shapes_evidence=False
    )
    palette: str = _setting(
        "safe",
        "colours: distinct for colour-blind readers, or the public code's",
        choices=("safe", "reference"),
        shapes_evidence=False,
    )
    batch_size: int = _setting(
        1, "candidates that are propagated at once", least=1, most=1024, shapes_evidence=False
    )
    time_budget: float = _setting(
        0.0,
        "seconds that one explanation may take; what is there by then is kept, lines before colours; 0 for no limit",
        least=0.0,
        most=86_400.0,
        shapes_evidence=False,
    )
    calibration: Filename = _setting(
        "",
        "file that `pairx-plugin calibrate` wrote; empty for the host's own where it has one, none for no calibration",
        shapes_evidence=False,
    )
    seed: int = _setting(0, "seed of everything that draws random numbers", least=0, most=2**32 - 1)
    options: Mapping[str, Any] = _setting({}, "settings of third-party explainers, handed through")

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            object.__setattr__(self, item.name, _checked(item, getattr(self, item.name)))

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names of all settings."""
        return tuple(item.name for item in dataclasses.fields(cls))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, prefix: str = "", base: Settings | None = None) -> Settings:
        """Build settings from names and values, strings included, on top of `base`.

        Args:
            values: names to values; with `prefix`, only names that begin with it are read and the rest is the host's.
            prefix: ``"pairx_"`` in files of a host, empty in Python.

        Raises:
            SettingsError: an unknown name (the nearest one is named), or a value that does not fit.
        """
        chosen: dict[str, Any] = {}
        for name, value in values.items():
            if not name.startswith(prefix):
                continue
            short = name[len(prefix) :]
            if short not in cls.names():
                raise SettingsError(
                    f"unknown setting '{name}' (value {value!r}){nearest(short, cls.names())}; "
                    f"known: {', '.join(prefix + known for known in cls.names())}"
                )
            chosen[short] = value
        return dataclasses.replace(base, **chosen) if base is not None else cls(**chosen)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, *, base: Settings | None = None
    ) -> Settings:
        """Build settings from variables such as ``PAIRX_K_LINES=10``, on top of `base`."""
        environment = os.environ if environment is None else environment
        lowered = {key.lower(): value for key, value in environment.items() if key.startswith(PREFIX.upper())}
        return cls.from_mapping(lowered, prefix=PREFIX, base=base)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {name: _plain(getattr(self, name)) for name in self.names()}

    def params(self) -> dict[str, Any]:
        """Return, as JSON values, the settings that evidence depends on; how it is shown or batched is left out."""
        fields = dataclasses.fields(self)
        params = {
            item.name: _plain(getattr(self, item.name)) for item in fields if item.metadata.get("shapes_evidence", True)
        }
        for name in ("calibration", "layer_choice"):  # what a file says counts, not where it lies on one machine
            if getattr(self, name) not in ("", "none"):
                params[name] = _digest_of(getattr(self, name))
        return params


def _digest_of(path: str) -> str:
    try:
        return "sha256:" + hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
    except OSError:
        return "unreadable"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (tuple, list)) else value


def _checked(item: dataclasses.Field[Any], value: Any) -> Any:
    """Return `value` in the field's own type; strings come from files and the environment and are read as such."""
    try:
        return _within(item, _COERCE[str(item.type)](value))
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(
            f"setting '{item.name}' must be {_WANTED[str(item.type)]}, not {type(value).__name__} {value!r} "
            f"({item.metadata['help']})"
        ) from error


def _within(item: dataclasses.Field[Any], value: Any) -> Any:
    checks = item.metadata
    unit = f" {checks['unit']}" if "unit" in checks else ""
    if "least" in checks and not checks["least"] <= value <= checks["most"]:
        raise SettingsError(
            f"setting '{item.name}' is {value}{unit}; it must be {checks['least']} to {checks['most']}{unit}"
        )
    for part in value if isinstance(value, tuple) else (value,):
        if "choices" in checks and part not in checks["choices"]:
            raise SettingsError(
                f"setting '{item.name}' has no choice {part!r}{nearest(str(part), checks['choices'])}; "
                f"choose from: {', '.join(checks['choices'])}"
            )
    return value


def _as_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(value)


def _as_int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError(value)
    if isinstance(value, str):
        return int(value.strip())
    number = int(value)
    if number != value:
        raise ValueError(value)
    return number


def _as_float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(value)
    return float(value)


def _as_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(value)
    return value.strip()


def _as_filename(value: Any) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(value)
    return os.fspath(value).strip()


def _as_texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, Mapping) or not hasattr(value, "__iter__"):
        raise TypeError(value)
    return tuple(_as_text(part) for part in value)


def _as_mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return dict(value)


_COERCE: Mapping[str, Callable[[Any], Any]] = {
    "bool": _as_bool,
    "int": _as_int,
    "float": _as_float,
    "str": _as_text,
    "Filename": _as_filename,
    "tuple[str, ...]": _as_texts,
    "Mapping[str, Any]": _as_mapping,
}
_WANTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a non-empty text",
    "Filename": "the path of a file",
    "tuple[str, ...]": "a list of names, or one text with commas",
    "Mapping[str, Any]": "a mapping of names to values, on the command line --set options.NAME=VALUE",
}
