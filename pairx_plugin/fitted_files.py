"""JSON files that a command fits on a host's decisions and that a setting names: how they are written and read."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from .atomic_files import unwritten, write_whole
from .errors import SettingsError

__all__ = ["FittedFile"]

_File = TypeVar("_File", bound="FittedFile")


class FittedFile(ABC):
    """Base of a frozen dataclass whose fields are the content of a file.

    Attributes:
        schema: name and version of the format, in the file and checked on reading.
        noun: what messages call it.
        command: the command of ``pairx-plugin`` that makes it.
    """

    schema: ClassVar[str]
    noun: ClassVar[str]
    command: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"schema": self.schema, **json.loads(json.dumps(asdict(self)))}  # type: ignore[call-overload]

    @property
    def digest(self) -> str:
        """``sha256:...`` of everything in it."""
        return "sha256:" + hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def write(self, path: Path) -> Path:
        """Write the file, whole or not at all.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            write_whole(path, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise unwritten(f"the {self.noun}", path, error) from error
        return path

    @classmethod
    def from_file(cls: type[_File], path: str | os.PathLike[str]) -> _File:
        """Read a file that :meth:`write` wrote.

        Raises:
            SettingsError: it is missing, damaged, or of another version.
        """
        name, again = f"the {cls.noun} {os.fspath(path)!r}", f"make it again with `pairx-plugin {cls.command}`"
        try:
            data = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(f"{name} cannot be read: {error.strerror or error}; {again}") from error
        except ValueError as error:
            raise SettingsError(f"{name} is not JSON: {error}; {again}") from error
        if not isinstance(data, Mapping) or data.get("schema") != cls.schema:
            raise SettingsError(f"{name} is not of schema {cls.schema}; {again}")
        try:
            known = {item.name for item in fields(cls)}  # type: ignore[arg-type]
            return cls._from_json({key: value for key, value in data.items() if key in known})
        except (TypeError, ValueError, LookupError) as error:
            raise SettingsError(f"{name} is damaged ({type(error).__name__}: {error}); {again}") from error

    @classmethod
    @abstractmethod
    def _from_json(cls: type[_File], data: dict[str, Any]) -> _File:
        """Return what the values of a file say.

        Raises:
            TypeError, ValueError, LookupError: they do not fit together.
        """
