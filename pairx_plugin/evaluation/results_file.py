"""Results as JSON lines: one line for each pair, variant and measure, written as soon as it is there.

The first line says what the results belong to, so that an interrupted evaluation goes on and another one is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SettingsError, StoreError

__all__ = ["SCHEMA", "ResultsFile"]

SCHEMA = "pairx.evaluation/1"
Key = tuple[str, str, str]


class ResultsFile:
    """A file that results are appended to.

    Args:
        path: made when the first result is written.
        identity: what all results depend on: network, pictures, plan, versions.

    Raises:
        SettingsError: the file holds results of something else.
        StoreError: it cannot be read or written.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self._path, self._identity = path, json.loads(json.dumps(identity))
        self.results: dict[Key, dict[str, Any]] = {}
        if path.exists():
            self._read()
        else:
            self._append({"schema": SCHEMA, "identity": self._identity}, fresh=True)

    def done(self, key: Key) -> bool:
        """Return whether a result is there; one that failed is tried again."""
        return key in self.results and not self.results[key].get("failed")

    def add(self, key: Key, result: Mapping[str, Any]) -> None:
        """Append one result; it stays there whatever happens next."""
        variant, pair, measure = key
        line = {"variant": variant, "pair": pair, "measure": measure, **result}
        self._append(line)
        self.results[key] = line

    def _read(self) -> None:
        try:
            lines = self._path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"the results {str(self._path)!r} cannot be read: {error}") from error
        rows = [row for row in map(_row, lines) if row is not None]
        head = rows[0] if rows else {}
        if head.get("schema") != SCHEMA or head.get("identity") != self._identity:
            raise SettingsError(
                f"{str(self._path)!r} holds results of another evaluation ({_difference(head, self._identity)}); "
                f"choose another --output folder, or remove them with --fresh"
            )
        for row in rows[1:]:
            if {"variant", "pair", "measure"} <= row.keys():
                self.results[row["variant"], row["pair"], row["measure"]] = row
        if lines[-1]:  # a line that was cut off would swallow the next one
            self._append_text("\n")

    def _append(self, line: Mapping[str, Any], *, fresh: bool = False) -> None:
        if fresh:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"the folder {str(self._path.parent)!r} cannot be made: {error}") from error
        self._append_text(json.dumps(line, allow_nan=False) + "\n")

    def _append_text(self, text: str) -> None:
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise StoreError(f"the results {str(self._path)!r} cannot be written: {error}; make room") from error


def _row(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:  # the line that was being written when it was interrupted
        return None
    return row if isinstance(row, dict) else None


def _difference(head: Mapping[str, Any], identity: Mapping[str, Any]) -> str:
    there = head.get("identity")
    if not isinstance(there, Mapping):
        return "or it is no file of results"
    names = [name for name in identity if there.get(name) != identity[name]]
    return f"of another {', '.join(names)}" if names else "of another version"
