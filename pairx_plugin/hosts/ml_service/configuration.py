"""How the service is set up: which models, which photographs, how much at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import SettingsError, nearest
from ...settings import PREFIX, Settings
from ...settings_files import read_settings_file
from ..photograph_gate import GateRules

__all__ = ["BATCH", "ModelSource", "ServiceConfig"]

BATCH = 16  # pairs of one request, as in ml-service
_TABLES = {
    "photographs": (
        *("roots", "url_hosts", "private_hosts", "inline"),
        *("max_bytes", "max_pixels", "fetch_seconds", "kept_bytes"),
    ),
    "service": ("waiting", "at_once", "time_limit", "max_body"),
}
_LISTS = ("roots", "url_hosts", "private_hosts")


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """Where a served model comes from.

    Attributes:
        where: an id of the model catalogue, or the path of a checkpoint.
        options: of :meth:`pairx_plugin.models.ModelCatalogue.load`.
        layer_choice: file that ``pairx-plugin choose-layer`` wrote, for requests that ask for the layer ``auto``;
            empty for that of the settings, if any.
    """

    where: str
    options: Mapping[str, Any] = field(default_factory=dict)
    layer_choice: str = ""


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """How the service is set up.

    Attributes:
        models: by the id that requests name; the sample model where none is given.
        photographs: what requests may name.
        settings: of the explanations, under what a request asks for.
        waiting: requests that may wait for their turn.
        at_once: requests that are computed at once.
        time_limit: seconds that one request may take, from its arrival.
        max_body: bytes of one request.

    Raises:
        SettingsError: a value does not fit.
    """

    models: Mapping[str, ModelSource] = field(default_factory=lambda: {"sample": ModelSource(where="sample")})
    photographs: GateRules = field(default_factory=GateRules)
    settings: Settings = field(default_factory=Settings)
    waiting: int = 16
    at_once: int = 1
    time_limit: float = 110.0
    max_body: int = 64_000_000

    def __post_init__(self) -> None:
        for name, least in (("waiting", 0), ("at_once", 1), ("max_body", 1024)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingsError(f"'{name}' is {value!r}; it must be a whole number from {least}")
        if not self.time_limit > 0:
            raise SettingsError(f"'time_limit' is {self.time_limit}; it must be above 0 seconds")
        if not self.models:
            raise SettingsError("no model is served; name one, such as miewid-msv4.1=CHECKPOINT")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ServiceConfig:
        """Read a TOML file; relative paths in it start from its own folder.

        Raises:
            SettingsError: the file cannot be read, a key is unknown, or a value does not fit.
        """
        return cls.from_mapping(read_settings_file(path), folder=Path(path).absolute().parent)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, folder: Path = Path(".")) -> ServiceConfig:
        """Build the configuration from tables ``models``, ``photographs``, ``service``, and ``pairx_*`` settings."""
        chosen: dict[str, Any] = {"settings": _settings(values, folder)}
        for name in values:
            if name not in (*_TABLES, "models") and not name.startswith(PREFIX):
                raise SettingsError(
                    f"unknown key '{name}' in the service's configuration{nearest(name, (*_TABLES, 'models'))}; "
                    f"known: models, {', '.join(_TABLES)}, and {PREFIX}* settings"
                )
        if "models" in values:
            chosen["models"] = {
                str(name): _model(str(name), value, folder) for name, value in _table(values, "models").items()
            }
        tables = {name: _known(name, _table(values, name)) for name in _TABLES if name in values}
        if "photographs" in tables:
            chosen["photographs"] = _rules(tables["photographs"], folder)
        return _made(cls, {**chosen, **tables.get("service", {})})


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values[name]
    if not isinstance(found, Mapping):
        raise SettingsError(f"'{name}' must be a table of the configuration, not {type(found).__name__}")
    return found


def _known(name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    for key in table:
        if key not in _TABLES[name]:
            raise SettingsError(
                f"unknown key '{key}' in [{name}]{nearest(key, _TABLES[name])}; known: {', '.join(_TABLES[name])}"
            )
    return dict(table)


def _rules(table: dict[str, Any], folder: Path) -> GateRules:
    for name in _LISTS:
        texts = table.get(name, [])
        if not isinstance(texts, list) or not all(isinstance(item, str) for item in texts):
            raise SettingsError(f"'{name}' in [photographs] must be a list of texts, not {texts!r:.80}")
        table[name] = tuple(texts)
    table["roots"] = tuple(folder / Path(item).expanduser() for item in table["roots"])
    return _made(GateRules, table)


def _model(name: str, value: Any, folder: Path) -> ModelSource:
    table = {"source": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping) or not isinstance(table.get("source"), str) or not table["source"].strip():
        raise SettingsError(f"model '{name}' needs a 'source': an id of the catalogue, or the path of a checkpoint")
    path = folder / Path(table["source"]).expanduser()
    where = str(path) if path.exists() else table["source"]
    options = {key: item for key, item in table.items() if key not in ("source", "layer_choice")}
    choice = table.get("layer_choice", "")
    if not isinstance(choice, str):
        raise SettingsError(f"'layer_choice' of model '{name}' must be the path of a file, not {choice!r:.80}")
    return ModelSource(where=where, options=options, layer_choice=_placed(choice, folder))


def _settings(values: Mapping[str, Any], folder: Path) -> Settings:
    found = Settings.from_mapping(values, prefix=PREFIX)
    return replace(
        found, calibration=_placed(found.calibration, folder), layer_choice=_placed(found.layer_choice, folder)
    )


def _placed(path: str, folder: Path) -> str:
    """Return a path of the configuration as one that starts from its folder; the word ``none`` is no path."""
    return path if path in ("", "none") else str(folder / Path(path).expanduser())


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    """Build a frozen record; a value of another type is told as such."""
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"the service's configuration does not fit: {error}") from error
