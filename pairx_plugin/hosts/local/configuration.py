"""The sample host's configuration file.

The host's own keys are checked when the file is read. Keys that begin with ``pairx_`` belong to the plugin
and are kept as they stand: while ``pairx_explain`` is off nobody reads them, so that no value of theirs can
stop a ranking, and while it is on a value that does not fit costs the explanations and not the ranking
(:meth:`LocalHostConfig.settings`).
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import SettingsError, nearest
from ...settings import PREFIX, Settings
from ...settings_files import read_settings_file
from .calibrated import with_calibration

__all__ = ["FLAG", "LocalHostConfig", "QUERY_RULES"]

FLAG = f"{PREFIX}explain"
QUERY_RULES = ("all", "one_per_name")
_HELP = {
    "annotations": "path of the CSV file with the annotations",
    "images": "folder that relative paths of photographs start from",
    "output": "folder for pictures and records",
    "database": "SQLAlchemy URL of the review database",
    "model": "id of a known model, or path of a checkpoint",
    "queries": "'all', 'one_per_name', or a list of annotation ids, file names or individuals' names",
    "n_candidates": "how many candidates a review record holds",
    "batch_size": "how many chips are embedded at once",
    "chip_side": "longest side of a chip in pixels",
    "embedding_cache": "folder for embeddings that are kept between runs, or false",
}


@dataclass(frozen=True, kw_only=True)
class LocalHostConfig:
    """How the sample host runs.

    Attributes:
        annotations: CSV file in MiewID's layout.
        images: folder that relative ``file_path`` entries start from.
        output: folder for pictures and records; made when needed.
        database: SQLAlchemy URL, SQLite or PostgreSQL; by default an SQLite file beside `output`.
        model: an id of the model catalogue, or the path of a checkpoint.
        queries: ``"all"``, ``"one_per_name"`` (the first annotation of every individual that has another), or
            annotation ids, file names and individuals' names.
        n_candidates: how many candidates of each query are written to the review records.
        batch_size: how many chips are embedded at once.
        chip_side: longest side of a chip in pixels; larger ones are scaled down before the network and the
            pictures.
        embedding_cache: folder for embeddings kept between runs, or None.
        pairx: every ``pairx_*`` key of the file, as it stood there.

    Raises:
        SettingsError: a value has the wrong type or lies outside of its range.
    """

    annotations: Path
    images: Path
    output: Path
    database: str = ""
    model: str = "sample"
    queries: str | tuple[str, ...] = "all"
    n_candidates: int = 20
    batch_size: int = 16
    chip_side: int = 1024
    embedding_cache: Path | None = None
    pairx: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("n_candidates", 1, 100_000),
            ("batch_size", 1, 4096),
            ("chip_side", 32, 8192),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise SettingsError(
                    f"'{name}' must be a whole number from {least} to {most}, not {value!r} ({_HELP[name]})"
                )
        if isinstance(self.queries, str) and self.queries not in QUERY_RULES:
            raise SettingsError(
                f"'queries' has no rule {self.queries!r}{nearest(self.queries, QUERY_RULES)}; "
                f"give {_HELP['queries']}"
            )
        if not self.queries:
            raise SettingsError(
                f"'queries' is an empty list, so that nothing would be ranked; give {_HELP['queries']}"
            )
        if not self.database:
            beside = self.output.absolute().with_name(f"{self.output.absolute().name}.sqlite3")
            object.__setattr__(self, "database", f"sqlite:///{beside.as_posix()}")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> LocalHostConfig:
        """Read a TOML file; relative paths in it start from the file's own folder.

        Raises:
            SettingsError: the file cannot be read, a key is unknown (the nearest one is named) or a value
                does not fit.
        """
        return cls.from_mapping(read_settings_file(path), folder=Path(path).absolute().parent)

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], *, folder: str | os.PathLike[str] = "."
    ) -> LocalHostConfig:
        """Build the configuration from names and values; relative paths start from `folder`.

        Raises:
            SettingsError: as :meth:`from_file`.
        """
        root = Path(folder).absolute()
        own = {name: value for name, value in values.items() if not name.startswith(PREFIX)}
        for name in own:
            if name not in _HELP:
                known = (*_HELP, *(PREFIX + setting for setting in Settings.names()))
                raise SettingsError(
                    f"unknown key '{name}' (value {own[name]!r:.80}) in the host's configuration"
                    f"{nearest(name, known)}; "
                    f"known: {', '.join(_HELP)}, and the plugin's {PREFIX}* keys"
                )
        if "annotations" not in own:
            raise SettingsError(
                f"the host's configuration lacks 'annotations': give the {_HELP['annotations']}"
            )
        chosen: dict[str, Any] = {
            name: own[name] for name in ("n_candidates", "batch_size", "chip_side") if name in own
        }
        chosen["annotations"] = root / _text(own, "annotations")
        chosen["images"] = root / _text(own, "images") if "images" in own else chosen["annotations"].parent
        chosen["output"] = root / _text(own, "output", "output")
        chosen["database"] = _database(_text(own, "database"), root) if "database" in own else ""
        chosen["model"] = _model(_text(own, "model", "sample"), root)
        chosen["queries"] = _queries(own.get("queries", "all"))
        chosen["embedding_cache"] = _cache(own, root, chosen["output"])
        return cls(**chosen, pairx={name: value for name, value in values.items() if name.startswith(PREFIX)})

    @property
    def explain(self) -> bool:
        """True where the flag ``pairx_explain`` is on.

        A value that is neither on nor off counts as on, so that :meth:`settings` reports it and nobody
        wonders where the explanations are.
        """
        value = self.pairx.get(FLAG, False)
        if isinstance(value, str):
            return value.strip().lower() not in ("", "0", "false", "no", "off")
        return value is not False and value != 0

    def settings(self) -> Settings:
        """Return the plugin's settings, with the calibration that lies beside the database.

        Raises:
            SettingsError: a ``pairx_*`` key is unknown or its value does not fit.
        """
        return with_calibration(Settings.from_mapping(self.pairx, prefix=PREFIX), self.database)

    def doubt(self) -> str | None:
        """Return a warning where the flag looks misspelt, such as ``pairx_explian = true``, else None."""
        if FLAG in self.pairx:
            return None
        others = {PREFIX + name for name in Settings.names()} - {FLAG}
        for name in self.pairx:
            if name not in others and nearest(name, (FLAG, *others)).endswith(f"'{FLAG}'"):
                return f"'{name}' is not a setting, so nothing is explained; the flag is called '{FLAG}'"
        return None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values for the run's record: without the database, whose URL may hold a password."""
        plain = {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if item.name != "database"
        }
        return {name: _plain(value) for name, value in plain.items()}


def _text(own: Mapping[str, Any], name: str, default: str = "") -> str:
    value = own.get(name, default)
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise SettingsError(f"'{name}' must be a non-empty text, not {value!r} ({_HELP[name]})")
    return value.strip()


def _database(url: str, root: Path) -> str:
    """A relative SQLite file starts from the configuration's folder, like every other path of the file."""
    scheme, found, rest = url.partition(":///")
    if not found or not scheme.startswith("sqlite") or rest.startswith(("/", ":memory:", "file:")):
        return url
    return f"{scheme}:///{(root / rest).as_posix()}"


def _model(model: str, root: Path) -> str:
    """A file, or a path with a slash that exists, is a checkpoint; all else is an id of the catalogue."""
    path = root / model
    return str(path) if path.is_file() or ("/" in model and path.exists()) else model


def _queries(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, (list, tuple)) or not all(
        isinstance(part, str) and part.strip() for part in value
    ):
        raise SettingsError(f"'queries' must be {_HELP['queries']}, not {value!r:.120}")
    return tuple(dict.fromkeys(part.strip() for part in value))


def _cache(own: Mapping[str, Any], root: Path, output: Path) -> Path | None:
    if own.get("embedding_cache", True) is True:
        return output / "embeddings"
    return None if own["embedding_cache"] is False else root / _text(own, "embedding_cache")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)  # paths, dates, and the nan and inf that TOML has and JSON lacks
